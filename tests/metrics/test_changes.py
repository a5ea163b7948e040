import pytest
import torch
from scipy import ndimage

from lit_attr.metrics._changes import CHANGES


@pytest.fixture
def images():
    """Neither near 0 nor near 1, so that nothing is cut off."""
    return 0.3 + 0.4 * torch.rand(2, 3, 9, 7, dtype=torch.float64)


def test_brightness_and_contrast(images):
    torch.testing.assert_close(CHANGES["brighter"](images, 0), images * 1.1)
    torch.testing.assert_close(CHANGES["darker"](images, 0), images * 0.9)
    found = CHANGES["contrast"](images, 0)
    for one, changed in zip(images, found, strict=True):
        torch.testing.assert_close(changed - one.mean(), 0.85 * (one - one.mean()))


def test_blur_is_scipys(images):
    found = CHANGES["blur"](images, 0)
    for one, changed in zip(images.flatten(0, 1), found.flatten(0, 1), strict=True):
        expected = ndimage.gaussian_filter(one.numpy(), 1.0, mode="nearest", truncate=4.0)
        torch.testing.assert_close(changed, torch.from_numpy(expected))


def test_noise_is_the_same_for_all_images_and_follows_the_seed():
    images = torch.full((3, 3, 60, 60), 0.5)
    moved = [CHANGES["noise"](images, seed) - images for seed in (0, 0, 1)]
    assert torch.equal(moved[0], moved[1])
    assert not torch.allclose(moved[0], moved[2])
    torch.testing.assert_close(moved[0][0], moved[0][2])
    assert float(moved[0][0].std()) == pytest.approx(0.03, rel=0.03)
    assert abs(float(moved[0][0].mean())) < 1e-3


def test_flip_and_the_way_back(images):
    flip = CHANGES["flip"]
    assert torch.equal(flip(images, 0), images.flip(3))
    assert torch.equal(flip.back(flip(images, 0)), images)
    assert torch.equal(CHANGES["blur"].back(images), images)


@pytest.mark.parametrize("name", CHANGES)
def test_images_stay_in_range_and_depend_on_no_other(name):
    images = torch.rand(3, 3, 8, 8)
    images[0], images[1] = 1.0, 0.0
    found = CHANGES[name](images, 0)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    torch.testing.assert_close(CHANGES[name](images[2:], 0), found[2:])


@pytest.mark.parametrize("name", CHANGES)
def test_images_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=r"must be .*in \[0, 1\]"):
        CHANGES[name](torch.rand(1, 3, 8, 8) * 3, 0)
