import colorsys
import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import hsv2rgb, rgb2hsv

from _reference.corruptions import VARIANTS, assert_same_levels, cut, eight_bit, levels
from lit_attr.corruptions import Brightness, Contrast, JPEGCompression, Pixelate, Saturate, get_corruption

GRID = [(variant, severity) for variant in VARIANTS for severity in range(1, 6)]
IMAGES = eight_bit(1, 3, 40, 33)
EXTREMES = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 1], [0.2, 0.2, 0.2], [0, 0, 1]])


def with_extremes():
    """Black, white, grey and pure colours among the pixels, for the divisions in HSV."""
    images = IMAGES.clone()
    images[0, :, 0, : len(EXTREMES)] = EXTREMES.T
    return images


def in_hsv(images, change):
    hsv = rgb2hsv(levels(images) / 255)
    return cut(hsv2rgb(change(hsv)))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_brightness_raises_the_value(variant, severity):
    corruption = Brightness(severity, variant)
    images = with_extremes()

    def raised(hsv):
        hsv[..., 2] = np.clip(hsv[..., 2] + corruption.level, 0, 1)
        return hsv

    # Raised values are often levels, which the published code's rounding errors put below or not.
    assert_same_levels(corruption(images), in_hsv(images, raised))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_saturate_changes_the_saturation(variant, severity):
    corruption = Saturate(severity, variant)
    images = with_extremes()
    factor, shift = corruption.level

    def changed(hsv):
        hsv[..., 1] = np.clip(hsv[..., 1] * factor + shift, 0, 1)
        return hsv

    assert_same_levels(corruption(images), in_hsv(images, changed))


def test_colours_are_exact_where_no_cast_hides_it():
    """Against Python's own conversion, before the cut to 8 bits."""
    images = torch.rand(1, 3, 8, 9, dtype=torch.float64)
    brighter = Brightness().distort(images, 0.2, None)[0].flatten(1).T
    richer = Saturate().distort(images, (1.5, 0.1), None)[0].flatten(1).T
    for before, bright, rich in zip(images[0].flatten(1).T, brighter, richer, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*before.tolist())
        np.testing.assert_allclose(bright, colorsys.hsv_to_rgb(h, s, min(v + 0.2, 1)), atol=1e-12)
        np.testing.assert_allclose(rich, colorsys.hsv_to_rgb(h, min(1.5 * s + 0.1, 1), v), atol=1e-12)


def test_a_brighter_grey_image_is_its_sum():
    grey = eight_bit(1, 1, 9, 9)
    assert_same_levels(Brightness(2)(grey), np.minimum(levels(grey) + 51, 255))


def test_grey_images_have_no_saturation():
    with pytest.raises(ValueError, match="`images` must be RGB: 'saturate' changes colours, got grey images"):
        Saturate()(eight_bit(1, 1, 9, 9))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_contrast_draws_to_the_mean_of_each_channel(variant, severity):
    corruption = Contrast(severity, variant)
    x = levels(IMAGES) / 255
    mean = x.mean((0, 1))
    assert_same_levels(corruption(IMAGES), cut(mean + corruption.level * (x - mean)))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_pixelate_is_a_box_mean(variant, severity):
    """Against the box filter as Pillow defines it: whole pixels, their middles within half a new pixel."""
    share = Pixelate(severity, variant).level
    image = levels(eight_bit(1, 1, 24, 24))[..., 0]

    def resized(rows, size):
        scale = len(rows) / size
        made = []
        for place in range(size):
            middle, half = (place + 0.5) * scale, max(scale, 1) / 2
            within = [r for r in range(len(rows)) if -half < r + 0.5 - middle <= half]
            made.append(np.floor(rows[within].mean(0) + 0.5 + 1e-9))
        return np.stack(made)

    small = int(24 * share)
    shrunk = resized(resized(image.T, small).T, small)
    expected = resized(resized(shrunk.T, 24).T, 24)
    apart = np.abs(levels(Pixelate(severity, variant)(eight_bit(1, 1, 24, 24)))[..., 0] - expected)
    assert apart.max() <= 1  # means that lie between two levels: Pillow's weights are of 22 bits
    assert (apart > 0).mean() < 0.2


def test_blocks_of_a_halved_image():
    image = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).repeat(4, 4)[None, None]
    found = Pixelate(2)(image)
    torch.testing.assert_close(found, torch.full_like(found, 128 / 255))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_jpeg_has_the_published_quality(variant, severity, channels):
    images = eight_bit(1, channels, 40, 33)
    corruption = JPEGCompression(severity, variant)
    stream = io.BytesIO()
    array = levels(images).astype(np.uint8)
    Image.fromarray(array if channels == 3 else array[..., 0]).save(stream, format="jpeg", quality=corruption.level)
    expected = np.asarray(Image.open(stream), dtype=float).reshape(40, 33, channels)
    np.testing.assert_array_equal(levels(corruption(images)), expected)


def test_published_strengths():
    rows = {
        "brightness": [(0.1, 0.5), (0.05, 0.3), (0.1, 0.5)],
        "contrast": [(0.4, 0.05), (0.75, 0.15), (0.4, 0.05)],
        "saturate": [((0.3, 0), (20, 0.2)), ((0.3, 0), (2.5, 0.2)), ((0.3, 0), (30, 0.2))],
        "pixelate": [(0.6, 0.25), (0.95, 0.65), (0.9, 0.5)],
        "jpeg_compression": [(25, 7), (80, 40), (65, 25)],
    }
    for name, ends in rows.items():
        for variant, row in zip(VARIANTS, ends, strict=True):
            assert tuple(get_corruption(name, severity=s, variant=variant).level for s in (1, 5)) == row
