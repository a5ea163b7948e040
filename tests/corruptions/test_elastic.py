import numpy as np
import pytest
import torch
from scipy import ndimage

from _reference.corruptions import VARIANTS, assert_same_levels, cut, eight_bit, levels, stream
from lit_attr.corruptions import ElasticTransform

GRID = [(variant, severity) for variant in VARIANTS for severity in range(1, 6)]


def slow_elastic(image, level, rng):
    """Through SciPy: the affine map by least squares from its three corners, then the field."""
    alpha, sigma, shift = level
    n = len(image)
    reach, middle = n // 3, n // 2
    corners = np.array([[middle + reach] * 2, [middle + reach, middle - reach], [middle - reach] * 2], float)
    moved = corners + (-shift + 2 * shift * rng.random((3, 2), np.float32))
    x_of_new, y_of_new = np.linalg.lstsq(np.c_[moved, np.ones(3)], corners, rcond=None)[0].T
    rows, columns = np.mgrid[:n, :n].astype(float)
    places = [to[0] * columns + to[1] * rows + to[2] for to in (y_of_new, x_of_new)]
    image = np.stack([ndimage.map_coordinates(image[..., c], places, order=1, mode="mirror") for c in range(3)], -1)
    fields = []
    for _ in range(2):
        noise = -1 + 2 * rng.random((n, n), np.float32).astype(float)
        fields.append(alpha * ndimage.gaussian_filter(noise, sigma, mode="reflect", truncate=3))
    places = [rows + fields[1], columns + fields[0]]
    return np.stack([ndimage.map_coordinates(image[..., c], places, order=1, mode="reflect") for c in range(3)], -1)


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_elastic_transform_at_the_variants_own_size(variant, severity):
    n = VARIANTS[variant]
    images, corruption = eight_bit(1, 3, n, n), ElasticTransform(severity, variant)
    expected = slow_elastic(levels(images) / 255, corruption.level, stream(11))
    assert_same_levels(corruption(images, torch.tensor([11])), cut(expected))


def test_lengths_grow_with_the_image():
    n = 48
    images, corruption = eight_bit(1, 3, n, n), ElasticTransform(4, "cifar")
    expected = slow_elastic(levels(images) / 255, [n / 32 * length for length in corruption.level], stream(0))
    assert_same_levels(corruption(images), cut(expected))


def test_a_long_image_is_warped_around_its_middle():
    """The affine map leaves the middle of the corners about where it was, on both axes."""
    images = torch.zeros(1, 1, 32, 320)
    images[..., 12:20, 156:164] = 1
    found = ElasticTransform(1, "cifar")(images)
    assert found[..., 140:180].sum() == pytest.approx(64, rel=0.5)
    assert found[..., :120].sum() == 0


def test_published_strengths():
    rows = [
        ((244 * 2, 244 * 0.7, 244 * 0.1), (244 * 0.12, 244 * 0.01, 244 * 0.02)),
        ((0, 0, 32 * 0.08), (32 * 0.1, 32 * 0.03, 32 * 0.03)),
        ((0, 0, 64 * 0.08), (64 * 0.16, 64 * 0.03, 64 * 0.02)),
    ]
    for variant, row in zip(VARIANTS, rows, strict=True):
        assert tuple(ElasticTransform(s, variant).level for s in (1, 5)) == row
