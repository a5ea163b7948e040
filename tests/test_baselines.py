import math

import pytest
import torch

from lit_attr._checks import ArgumentError
from lit_attr.baselines import check_baseline, get_baseline

IMAGES = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("baseline", "value"), [("black", 0), ("white", 1), (0.5, 0.5), (-2, -2)])
def test_one_value_everywhere(baseline, value):
    assert torch.equal(get_baseline("b", baseline, IMAGES), torch.full_like(IMAGES, value))


def test_mean_is_of_each_image_and_channel():
    found = get_baseline("b", "mean", IMAGES)
    assert found.shape == IMAGES.shape
    for i in range(2):
        for c in range(3):
            assert torch.allclose(found[i, c], IMAGES[i, c].mean().expand(4, 5))


def test_mean_of_flat_inputs_is_of_each_sample():
    found = get_baseline("b", "mean", torch.tensor([[1.0, 3.0], [10.0, 30.0]]))
    assert found.tolist() == [[2, 2], [20, 20]]


@pytest.mark.parametrize("shape", [(), (5,), (3, 1, 1), (1, 3, 4, 5), (2, 1, 1, 1), (2, 3, 4, 5)])
def test_a_tensor_is_broadcast(shape):
    given = torch.rand(shape)
    assert torch.equal(get_baseline("b", given, IMAGES), given.expand_as(IMAGES))


def test_a_function_sees_the_inputs():
    assert torch.equal(get_baseline("b", lambda x: x.flip(0), IMAGES), IMAGES.flip(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("baseline", ["white", "mean", 0.5, torch.ones(1, dtype=torch.float32), lambda x: x.float()])
def test_dtype_is_that_of_the_inputs(dtype, baseline):
    assert get_baseline("b", baseline, IMAGES.to(dtype)).dtype == dtype


def test_it_is_detached():
    assert not get_baseline("b", torch.zeros(3, 1, 1, requires_grad=True), IMAGES).requires_grad


@pytest.mark.parametrize("colour", ["black", "white"])
def test_a_colour_needs_pixels(colour):
    with pytest.raises(ArgumentError, match=r"`inputs` must be images in \[0, 1\].*give `fill` as a number"):
        get_baseline("fill", colour, IMAGES * 4 - 2)


@pytest.mark.parametrize("refused", [check_baseline, lambda name, word: get_baseline(name, word, IMAGES)])
def test_an_unknown_word_is_refused(refused):
    with pytest.raises(ValueError, match=r"`fill` is 'blak'; accepted: black, mean, white; did you mean 'black'\?"):
        refused("fill", "blak")


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(
        ArgumentError, match=r"`fill` must be a tensor that broadcasts to \(2, 3, 4, 5\), got shape \(2, 3\)"
    ):
        get_baseline("fill", torch.zeros(2, 3), IMAGES)


@pytest.mark.parametrize("bad", [math.nan, torch.full((5,), math.inf), lambda x: x / 0])
def test_a_value_that_is_not_finite_is_refused(bad):
    with pytest.raises(ArgumentError, match="`fill` must be finite"):
        get_baseline("fill", bad, IMAGES)
