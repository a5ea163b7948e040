"""Noise that all samples share."""

import pytest
import torch

from lit_attr.metrics._noise import Noise


def test_uniform_within_the_radius_and_the_same_for_all_samples():
    inputs = torch.full((3, 1, 40, 40), 0.5, dtype=torch.float64)
    drawn = torch.stack(list(Noise(5, 0.1, "auto", 0).copies(inputs))) - 0.5
    assert drawn.shape == (5, 3, 1, 40, 40)
    assert drawn.abs().max() <= 0.1
    assert drawn.std() == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    assert not torch.equal(drawn[0], drawn[1])


def test_more_draws_begin_as_fewer_and_seeds_differ():
    inputs = torch.rand(2, 1, 4, 4)
    few, many = (list(Noise(draws, 0.1, "auto", 3).copies(inputs)) for draws in (2, 4))
    assert all(torch.equal(a, b) for a, b in zip(few, many, strict=False))
    assert not torch.equal(few[0], next(Noise(2, 0.1, "auto", 4).copies(inputs)))


def test_bounds():
    images, features = torch.zeros(1, 1, 9, 9), torch.zeros(1, 81)
    assert next(Noise(1, 0.1, "auto", 0).copies(images)).min() == 0
    assert next(Noise(1, 0.1, None, 0).copies(images)).min() < 0
    assert next(Noise(1, 0.1, "auto", 0).copies(features)).min() < 0
    assert next(Noise(1, 0.1, (-0.05, 0.05), 0).copies(features)).abs().max() == pytest.approx(0.05)
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\]"):
        next(Noise(1, 0.1, "auto", 0).copies(images - 1))


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    list(Noise(3, 0.1, None, 0).copies(torch.zeros(1, 2)))
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_are_checked():
    for settings, message in [
        ((0, 0.1, None, 0), "`draws` must be a positive integer"),
        ((1, 0.0, None, 0), "`radius` must be a positive number"),
        ((1, float("nan"), None, 0), "`radius` must be a positive number"),
        ((1, 0.1, (1, 0), 0), "`bounds` must be 'auto', None, or two numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            Noise(*settings)
