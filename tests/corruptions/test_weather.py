import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from _reference.corruptions import VARIANTS, assert_same_levels, cut, eight_bit, levels, stream, write_pictures
from lit_attr.corruptions import Fog, Frost, Snow, get_corruption
from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions.weather import plasma

KEY = torch.tensor([11])
GRID = [(variant, severity) for variant in VARIANTS for severity in range(1, 6)]


def slow_plasma(size, decay, rng):
    """Diamond and square, point by point, around the borders."""
    heights = np.zeros((size, size))
    step, wobble = size, 100.0
    while step >= 2:
        half = step // 2
        noise = rng.random((3, size // step, size // step), np.float32).astype(float)
        noise = iter(wobble**2 * (2 * noise.ravel() - 1))
        at = lambda y, x: heights[y % size, x % size]  # noqa: E731
        points = [(y, x) for y in range(0, size, step) for x in range(0, size, step)]
        for y, x in points:
            corners = at(y, x) + at(y + step, x) + at(y, x + step) + at(y + step, x + step)
            heights[y + half, x + half] = corners / 4 + next(noise)
        for down, right in ((0, half), (half, 0)):
            for y, x in points:
                row, column = y + down, x + right
                ends = at(row - right, column - down) + at(row + right, column + down)
                ends += at(row - down, column - right) + at(row + down, column + right)
                heights[row, column] = ends / 4 + next(noise)
        step, wobble = half, wobble / decay
    return (heights - heights.min()) / (heights.max() - heights.min())


@pytest.mark.parametrize("decay", [1.4, 3.0])
@pytest.mark.parametrize("size", [2, 8, 32])
def test_height_map_is_made_by_diamond_and_square(size, decay):
    like = torch.zeros(2, 1, 1, 1, dtype=torch.float64)
    found = plasma(size, decay, Draws(0, [4, 5], like), like)
    for row, key in zip(found, [4, 5], strict=True):
        np.testing.assert_allclose(row, slow_plasma(size, decay, stream(key)), atol=1e-12)


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_fog(variant, severity):
    images, corruption = eight_bit(1, 3, 40, 33), Fog(severity, variant)
    thickness, decay = corruption.level
    image = levels(images) / 255
    layer = slow_plasma(64, decay, stream(11))[:40, :33, None]
    expected = (image + thickness * layer) * image.max() / (image.max() + thickness)
    assert_same_levels(corruption(images, KEY), cut(expected))


def test_fog_of_published_sizes_has_the_published_maps():
    """224 pixels are cut from a map of 256, 32 and 64 fill theirs."""
    for size, made in ((224, 256), (32, 32), (64, 64)):
        black_and_white = torch.zeros(1, 1, size, size, dtype=torch.float64)
        black_and_white[..., 0] = 1
        layer = slow_plasma(made, 2.5, stream(0))[:size, 1:size] if size < 224 else None
        found = Fog(3, "cifar")(black_and_white)
        if layer is not None:
            assert_same_levels(found[..., 1:], cut(0.75 * layer / 1.75)[..., None])
        assert found.shape == black_and_white.shape


def slow_snow(image, level, rng):
    mean, deviation, zoom, threshold, radius, sigma, kept = level
    n = len(image)
    noise = mean + deviation * rng.standard_normal((1, n, n), np.float32)[0].astype(float)
    inner = int(np.ceil(n / zoom))
    first = (n - inner) // 2
    large = ndimage.zoom(noise[first : first + inner, first : first + inner], zoom, order=1)
    over = (len(large) - n) // 2
    flakes = large[over : over + n, over : over + n]
    flakes = cut(np.where(flakes < threshold, 0, flakes))
    angle = np.radians(-135 + 90 * float(rng.random((), np.float32)))
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    padded, blurred = np.pad(flakes, 99, mode="edge"), np.zeros((n, n))
    for i, weight in enumerate(weights / weights.sum()):
        down, right = int(np.ceil(i * np.sin(angle) - 0.5)), int(np.ceil(i * np.cos(angle) - 0.5))
        blurred += weight * padded[99 + down : 99 + down + n, 99 + right : 99 + right + n]
    flakes = (np.round(blurred) / 255)[..., None]
    grey = image @ [0.299, 0.587, 0.114]
    pale = np.maximum(image, 1.5 * grey[..., None] + 0.5)
    return kept * image + (1 - kept) * pale + flakes + flakes[::-1, ::-1]


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_snow(variant, severity):
    images, corruption = eight_bit(1, 3, 64, 64), Snow(severity, variant)
    expected = slow_snow(levels(images) / 255, corruption.level, stream(11))
    assert_same_levels(corruption(images, KEY), cut(expected))


def slow_frost(image, level, share, folder, rng):
    kept, added = level
    number = int(rng.integers(0, 5))
    picture = np.asarray(Image.open(f"{folder}/frost{number + 1}.png"), dtype=float)
    if share < 1:
        rows, columns = ((np.arange(round(n * share)) + 0.5) / share - 0.5 for n in picture.shape[:2])
        places = np.meshgrid(rows, columns, indexing="ij")
        planes = [ndimage.map_coordinates(picture[..., c], places, order=1, mode="nearest") for c in range(3)]
        picture = np.round(np.stack(planes, -1))
    height, width = image.shape[:2]
    corner = rng.random(2, np.float32)
    top, left = (int(c * (n - m)) for c, n, m in zip(corner, picture.shape, (height, width), strict=False))
    return kept * image + added * picture[top : top + height, left : left + width] / 255


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_frost(variant, severity, tmp_path):
    folder = write_pictures(tmp_path)
    images, corruption = eight_bit(3, 3, 40, 33), Frost(severity, variant, folder)
    found = corruption(images, torch.arange(3))
    share = {"imagenet": 1, "cifar": 0.2, "tinyimagenet": 0.3}[variant]
    for key in range(3):
        image = levels(images[key : key + 1]) / 255
        expected = cut(slow_frost(image, corruption.level, share, folder, stream(key)))
        # Shrinking to 0.3 reads at sixths of a pixel: means that lie between two levels.
        assert_same_levels(found[key : key + 1], expected, share=0.1 if share == 0.3 else 1e-3)


def test_frost_uses_the_first_five_pictures(tmp_path):
    for number in range(6):
        Image.new("RGB", (40, 40), (0, 0, 40 * number)).save(tmp_path / f"frost{number}.png")
    (tmp_path / "README.md").write_text("not a picture")
    found = Frost(1, pictures=str(tmp_path))(torch.zeros(200, 3, 8, 8))
    blues = {int(level) for level in (found[:, 2, 0, 0] * 255).round().tolist()}
    assert blues == {int(0.4 * 40 * number + 1e-6) for number in range(5)}


def test_frost_on_grey_images_is_its_luminance(tmp_path):
    Image.new("RGB", (40, 40), (100, 200, 50)).save(tmp_path / "frost.png")
    found = Frost(1, pictures=str(tmp_path))(torch.zeros(1, 1, 8, 8))
    expected = int(0.4 * (0.299 * 100 + 0.587 * 200 + 0.114 * 50)) / 255
    torch.testing.assert_close(found, torch.full_like(found, expected))


def test_frost_without_pictures_says_where_they_are():
    with pytest.raises(ValueError, match=r"`pictures` must be a folder of .* github.com/hendrycks/robustness, .* None"):
        get_corruption("frost")


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`pictures` must be a folder of pictures, got "):
        Frost(pictures=str(tmp_path))(torch.zeros(1, 3, 8, 8))


def test_images_that_cover_the_pictures_are_refused(tmp_path):
    folder = write_pictures(tmp_path, size=(50, 60))
    with pytest.raises(ValueError, match="`images` must be smaller than the pictures of frost, got 50 x 32 pixels"):
        Frost(pictures=folder)(torch.zeros(1, 3, 50, 32))


def test_published_strengths():
    rows = {
        "fog": [((1.5, 2), (3, 1.4)), ((0.2, 3), (1.5, 1.75)), ((0.4, 3), (2, 1.75))],
        "frost": [((1, 0.4), (0.6, 0.75)), ((1, 0.2), (0.75, 0.45)), ((1, 0.3), (0.7, 0.55))],
        "snow": [
            ((0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)),
            ((0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)),
            ((0.1, 0.2, 1, 0.6, 8, 3, 0.8), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6)),
        ],
    }
    for name, ends in rows.items():
        folder = {"pictures": "frost"} if name == "frost" else {}
        for variant, row in zip(VARIANTS, ends, strict=True):
            found = [get_corruption(name, severity=s, variant=variant, **folder).level for s in (1, 5)]
            assert tuple(found) == row
