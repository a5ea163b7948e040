import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from _reference.corruptions import eight_bit
from lit_attr.corruptions import _filters as filters

IMAGES = eight_bit(2, 3, 19, 14).double()
BORDERS = {"edge": "nearest", "mirror": "mirror", "reflect": "reflect"}  # and SciPy's names


@pytest.mark.parametrize(("border", "scipy"), BORDERS.items())
def test_places_outside_stand_for_those_inside(border, scipy):
    row = np.arange(5.0)
    padded = np.pad(row, 17, mode={"nearest": "edge", "mirror": "reflect", "reflect": "symmetric"}[scipy])
    found = filters.inside(torch.arange(-17, 22), 5, border)
    np.testing.assert_array_equal(found, padded)


@pytest.mark.parametrize(("border", "scipy"), BORDERS.items())
@pytest.mark.parametrize(("sigma", "reach"), [(0.05, 4), (0.4, 4), (1.7, 4), (6, 3), (40, 3), (0.0, 3)])
def test_gaussian_blur_is_scipys(border, scipy, sigma, reach):
    found = filters.gaussian_blur(IMAGES, sigma, border, reach)
    expected = ndimage.gaussian_filter(IMAGES.numpy(), sigma, axes=(2, 3), mode=scipy, truncate=reach)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.11, 1.3, 1.75, 2.25, 3.0, 4.5])
@pytest.mark.parametrize("size", [8, 9, 32, 224])
def test_clipped_zoom_is_scipys(size, factor):
    image = np.random.default_rng(0).random((size, size))
    kept = math.ceil(size / factor)
    first = (size - kept) // 2
    large = ndimage.zoom(image[first : first + kept, first : first + kept], factor, order=1)
    cut = (len(large) - size) // 2
    found = filters.clipped_zoom(torch.from_numpy(image), factor)
    np.testing.assert_allclose(found, large[cut : cut + size, cut : cut + size], atol=1e-12)


def test_zoom_of_each_axis_alone():
    image = torch.rand(1, 1, 12, 20, dtype=torch.float64)
    found = filters.clipped_zoom(image, 2.0)
    expected = F.interpolate(image[..., 3:9, 5:15], (12, 20), mode="bilinear", align_corners=True)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [1, 3, 17, 21])
def test_convolution_is_scipys(size):
    kernel = np.random.default_rng(0).random((size, size))
    found = filters.convolve(IMAGES[:1, :1], torch.from_numpy(kernel))
    expected = ndimage.correlate(IMAGES[0, 0].numpy(), kernel, mode="mirror")
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-12)


def slow_motion_blur(image, radius, sigma, angle):
    """ImageMagick's loop over pixels."""
    height, width = image.shape
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)]
    found = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for i, weight in enumerate(weights):
                row = y + math.ceil(i * math.sin(math.radians(angle)) - 0.5)
                column = x + math.ceil(i * math.cos(math.radians(angle)) - 0.5)
                found[y, x] += weight * image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return found / sum(weights)


def test_motion_blur_is_imagemagicks():
    angles = [-45.0, 23.4]
    found = filters.motion_blur(IMAGES, 6, 2.5, angles)
    for sample, angle in enumerate(angles):
        for channel in range(3):
            expected = slow_motion_blur(IMAGES[sample, channel].numpy(), 6, 2.5, angle)
            np.testing.assert_allclose(found[sample, channel], expected, atol=1e-12)


def test_motion_blur_of_a_point():
    """At 0 degrees the point is smeared to its left, as each pixel looks to its right; made by ImageMagick 6.9.11."""
    point = torch.zeros(1, 1, 3, 5, dtype=torch.float64)
    point[0, 0, 1, 3] = 1
    found = (filters.motion_blur(point, 1, 1.0, [0.0]) * 255).round()
    assert found[0, 0].tolist() == [[0, 0, 0, 0, 0], [0, 20, 89, 146, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize(("border", "scipy"), BORDERS.items())
def test_reading_between_pixels_is_scipys(border, scipy):
    places = np.random.default_rng(0).uniform(-30, 45, (2, 2, 7, 5))
    found = filters.sampled(IMAGES, torch.from_numpy(places[0]), torch.from_numpy(places[1]), border)
    for sample in range(2):
        for channel in range(3):
            expected = ndimage.map_coordinates(IMAGES[sample, channel], places[:, sample], order=1, mode=scipy)
            np.testing.assert_allclose(found[sample, channel], expected, atol=1e-12)


def test_luminance():
    colours = torch.eye(3).view(3, 3, 1, 1)
    torch.testing.assert_close(filters.luminance(colours).flatten(), torch.tensor([0.299, 0.587, 0.114]))
    grey = torch.rand(2, 1, 3, 3)
    assert filters.luminance(grey) is grey
