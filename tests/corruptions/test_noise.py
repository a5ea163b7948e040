import numpy as np
import pytest
import torch

from _reference.corruptions import eight_bit, stream
from lit_attr.corruptions import GaussianNoise, SaltAndPepper, SpeckleNoise

IMAGES = eight_bit(2, 3, 16, 12)


def expected(formula, key):
    image = IMAGES[key].numpy()
    return torch.from_numpy(np.clip(formula(image, stream(key)), 0, 1).astype(np.float32))


@pytest.mark.parametrize("sigma", [0.0, 0.1, 2.0])
def test_gaussian_noise_is_added(sigma):
    found = GaussianNoise(sigma)(IMAGES)
    for key in (0, 1):
        noisy = expected(lambda x, rng: x + sigma * rng.standard_normal(x.shape, np.float32), key)
        torch.testing.assert_close(found[key], noisy)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 2.0])
def test_speckle_noise_grows_with_the_pixel(sigma):
    found = SpeckleNoise(sigma)(IMAGES)
    for key in (0, 1):
        noisy = expected(lambda x, rng: x * (1 + sigma * rng.standard_normal(x.shape, np.float32)), key)
        torch.testing.assert_close(found[key], noisy)


def test_salt_and_pepper_replace_as_many_values_as_said():
    grey = torch.full((1, 3, 200, 200), 0.5)
    found = SaltAndPepper(0.3)(grey)
    changed = found != 0.5
    n = found.numel()
    assert set(found[changed].unique().tolist()) == {0.0, 1.0}
    assert abs(int(changed.sum()) - 0.3 * n) < 4 * (0.3 * 0.7 * n) ** 0.5
    salt = int((found == 1).sum())
    assert abs(salt - 0.15 * n) < 4 * (0.15 * 0.85 * n) ** 0.5
    assert not torch.equal(found[:, 0], found[:, 1])  # channels apart


def test_salt_and_pepper_at_the_ends():
    assert torch.equal(SaltAndPepper(0.0)(IMAGES), IMAGES)
    assert set(SaltAndPepper(1.0)(IMAGES).unique().tolist()) == {0.0, 1.0}


def test_stronger_noise_is_the_same_noise_stretched():
    """So a curve over strengths is smooth."""
    grey = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    weak, strong = (GaussianNoise(sigma)(grey) - grey for sigma in (0.01, 0.05))
    torch.testing.assert_close(5 * weak, strong)


def test_noise_of_strange_channel_counts():
    images = torch.rand(2, 5, 6, 7)
    for corruption in (GaussianNoise(), SpeckleNoise(), SaltAndPepper()):
        assert corruption(images).shape == images.shape


@pytest.mark.parametrize("noise", [GaussianNoise, SpeckleNoise])
def test_deviations_are_checked(noise):
    with pytest.raises(ValueError, match=r"`sigma` must be a number of at least 0, got -0.1"):
        noise(-0.1)


def test_amounts_are_checked():
    with pytest.raises(ValueError, match=r"`amount` must be in \[0, 1\], got 1.5"):
        SaltAndPepper(1.5)
