import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.filters import gaussian

from _reference.corruptions import VARIANTS, assert_same_levels, cut, eight_bit, levels, stream
from lit_attr.corruptions import DefocusBlur, GaussianBlur, GlassBlur, MotionBlur, ZoomBlur, get_corruption
from lit_attr.corruptions.blurs import disk, replaced_by

KEY = torch.tensor([11])
IMAGES = eight_bit(1, 3, 40, 33)
SQUARE = eight_bit(1, 3, 48, 48)
GRID = [(variant, severity) for variant in VARIANTS for severity in range(1, 6)]


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_gaussian_blur_is_scikit_images(variant, severity):
    corruption = GaussianBlur(severity, variant)
    expected = gaussian(levels(IMAGES) / 255, sigma=corruption.level, channel_axis=-1)
    assert_same_levels(corruption(IMAGES), cut(expected))


def slow_disk(radius, softness):
    """The disk in its frame, blurred row by row with a Gaussian of 3 or 5 weights, mirrored at the frame."""
    half, reach = (8, 1) if radius <= 8 else (int(radius), 2)
    size = 2 * half + 1
    kernel = np.array(
        [[float((y - half) ** 2 + (x - half) ** 2 <= radius**2) for x in range(size)] for y in range(size)]
    )
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * softness**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, weights / weights.sum(), axis, mode="mirror")
    return kernel


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_defocus_blur_is_the_mean_over_a_soft_disk(variant, severity):
    corruption = DefocusBlur(severity, variant)
    kernel = slow_disk(*corruption.level)
    np.testing.assert_allclose(disk(*corruption.level), kernel, atol=1e-12)
    image = levels(IMAGES) / 255
    expected = np.stack([ndimage.correlate(image[..., c], kernel, mode="mirror") for c in range(3)], -1)
    # Tiny weights beside a large one leave values a hair from a level, which counts as the level.
    assert_same_levels(corruption(IMAGES), cut(expected), share=0.1)


def slow_glass(image, sigma, reach, turns):
    """One pixel after the other; `turns` are moves [2, h, w]."""
    image = cut(gaussian(image / 255, sigma=sigma, channel_axis=-1))
    height, width = image.shape[:2]
    for moves in turns:
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                down, right = moves[:, row - reach - 1, column - reach - 1]
                image[row, column] = image[row + down, column + right]
    return cut(gaussian(image / 255, sigma=sigma, channel_axis=-1))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_glass_blur_goes_pixel_by_pixel(variant, severity):
    corruption = GlassBlur(severity, variant)
    sigma, reach, times = corruption.level
    rng = stream(11)
    turns = [rng.integers(-reach, reach, (2, 40 - 2 * reach, 33 - 2 * reach)) for _ in range(times)]
    expected = slow_glass(levels(IMAGES), sigma, reach, turns)
    # Tiny weights, as above; and a pixel that the first cast puts one level apart is spread by the second blur.
    assert_same_levels(corruption(IMAGES, KEY), expected, share=0.05)


def test_glass_blur_of_a_tiny_image_moves_nothing():
    """No pixel of 8 x 8 is further than 4 from the rim; what is left are two blurs."""
    images = eight_bit(1, 3, 8, 8)
    once = cut(gaussian(levels(images) / 255, sigma=1.5, channel_axis=-1))
    assert_same_levels(GlassBlur(5)(images), cut(gaussian(once / 255, sigma=1.5, channel_axis=-1)))


def test_a_colour_may_travel_far():
    """Where each pixel takes from the one after it, the last colour runs through all of them."""
    moves = torch.zeros(2, 2, 1, 4, dtype=torch.long)
    moves[0, 1], moves[1, 1] = 1, -1
    after, before = replaced_by(moves, 5, 8, 2).view(2, 5, 8) - 24  # counted from the row that is replaced
    assert after[3].tolist() == [0, 1, 2, 7, 7, 7, 7, 7]
    assert before[3].tolist() == [0, 1, 2, 2, 3, 4, 5, 7]
    rest = torch.arange(24).view(3, 8) - 24
    assert torch.equal(after[:3], rest)


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_motion_blur_has_a_random_angle_and_8_bits(variant, severity):
    corruption = MotionBlur(severity, variant)
    radius, sigma = corruption.level
    angle = np.radians(-45 + 90 * float(stream(11).random((), np.float32)))
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    rows, columns = (np.ceil(steps * part - 0.5).astype(int) for part in (np.sin(angle), np.cos(angle)))
    padded = np.pad(levels(IMAGES), ((99, 99), (99, 99), (0, 0)), mode="edge")
    parts = [padded[99 + r : 139 + r, 99 + c : 132 + c] for r, c in zip(rows, columns, strict=True)]
    expected = np.tensordot(weights / weights.sum(), np.stack(parts), 1)
    assert_same_levels(corruption(IMAGES, KEY), np.round(expected))


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_zoom_blur_is_a_mean_of_enlargements(variant, severity):
    corruption = ZoomBlur(severity, variant)
    end, step = corruption.level
    image, n = levels(SQUARE) / 255, 48
    layers = [image]
    for factor in np.arange(1, end, step):
        kept = int(np.ceil(n / factor))
        first = (n - kept) // 2
        large = ndimage.zoom(image[first : first + kept, first : first + kept], (factor, factor, 1), order=1)
        over = (len(large) - n) // 2
        layers.append(large[over : over + n, over : over + n])
    assert_same_levels(corruption(SQUARE), cut(np.mean(layers, 0)))


def test_published_strengths():
    rows = {
        "gaussian_blur": [(1, 6), (0.4, 1), (0.5, 1.5)],
        "defocus_blur": [((3, 0.1), (10, 0.5)), ((0.3, 0.4), (1.5, 0.1)), ((0.5, 0.6), (3, 0.1))],
        "glass_blur": [((0.7, 1, 2), (1.5, 4, 2)), ((0.05, 1, 1), (0.4, 1, 2)), ((0.1, 1, 1), (0.9, 2, 2))],
        "motion_blur": [((10, 3), (20, 15)), ((6, 1), (9, 2.5)), ((10, 1), (12, 3))],
        "zoom_blur": [((1.11, 0.01), (1.31, 0.03)), ((1.06, 0.01), (1.26, 0.01)), ((1.06, 0.01), (1.26, 0.01))],
    }
    for name, ends in rows.items():
        for variant, row in zip(VARIANTS, ends, strict=True):
            assert tuple(get_corruption(name, severity=s, variant=variant).level for s in (1, 5)) == row
