import numpy as np
import pytest
import torch

from _reference.corruptions import VARIANTS, assert_same_levels, cut, eight_bit, stream
from lit_attr.corruptions import get_corruption

KEY = 11
IMAGES = eight_bit(1, 3, 40, 33)
GRID = [(variant, severity) for variant in VARIANTS for severity in range(1, 6)]


def found(name, variant, severity):
    corruption = get_corruption(name, severity=severity, variant=variant)
    return corruption(IMAGES, torch.tensor([KEY])), corruption.level


def channels_last(values):
    return np.moveaxis(values, 0, -1)


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_gaussian_noise(variant, severity):
    noisy, sigma = found("gaussian_noise", variant, severity)
    expected = IMAGES[0].numpy() + sigma * stream(KEY).standard_normal((3, 40, 33), np.float32)
    assert_same_levels(noisy, cut(channels_last(expected)))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_speckle_noise(variant, severity):
    noisy, sigma = found("speckle_noise", variant, severity)
    image = IMAGES[0].numpy()
    expected = image + image * sigma * stream(KEY).standard_normal((3, 40, 33), np.float32)
    assert_same_levels(noisy, cut(channels_last(expected)))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_shot_noise(variant, severity):
    noisy, photons = found("shot_noise", variant, severity)
    counts = stream(KEY).poisson((IMAGES[0] * photons).double().numpy())
    # A count may be a level: the cast of the published code then depends on the last bit.
    assert_same_levels(noisy, cut(channels_last(counts / photons)))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_impulse_noise(variant, severity):
    noisy, amount = found("impulse_noise", variant, severity)
    rng = stream(KEY)
    hit, salt = rng.random((3, 40, 33), np.float32) < amount, rng.random((3, 40, 33), np.float32) < 0.5
    expected = np.where(hit, np.where(salt, 1, 0), IMAGES[0].double().numpy())
    assert_same_levels(noisy, np.round(channels_last(expected) * 255))


def test_published_strengths():
    """The ends of each row, as published."""
    ends = {
        "gaussian_noise": [(0.08, 0.38), (0.04, 0.10), (0.04, 0.18)],
        "shot_noise": [(60, 3), (500, 50), (250, 15)],
        "impulse_noise": [(0.03, 0.27), (0.01, 0.07), (0.01, 0.14)],
        "speckle_noise": [(0.15, 0.6), (0.06, 0.2), (0.15, 0.35)],
    }
    for name, rows in ends.items():
        for variant, row in zip(VARIANTS, rows, strict=True):
            assert tuple(get_corruption(name, severity=s, variant=variant).level for s in (1, 5)) == row
