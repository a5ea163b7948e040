import heapq
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from _reference.corruptions import VARIANTS, assert_same_levels, cut, eight_bit, levels, stream
from lit_attr.corruptions import Spatter
from lit_attr.corruptions.spatter import distance, drops, edges, equalised

GRID = [(variant, severity) for variant in VARIANTS for severity in range(1, 6)]
KEYS = [11, 12]


def slow_edges(image, low=50, high=150):
    """Canny pixel by pixel; directions by angle."""
    padded = np.pad(image.astype(int), 1, mode="edge")
    right = ndimage.correlate(padded, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])[1:-1, 1:-1]
    down = ndimage.correlate(padded, [[-1, -2, -1], [0, 0, 0], [1, 2, 1]])[1:-1, 1:-1]
    size = np.pad(abs(right) + abs(down), 1)
    peaks = np.zeros(image.shape, bool)
    for y, x in np.ndindex(*image.shape):
        here, gx, gy = size[y + 1, x + 1], right[y, x], down[y, x]
        angle = math.degrees(math.atan2(abs(gy), abs(gx)))
        if angle < 22.5:
            ok = here > size[y + 1, x] and here >= size[y + 1, x + 2]
        elif angle > 67.5:
            ok = here > size[y, x + 1] and here >= size[y + 2, x + 1]
        elif (gx < 0) == (gy < 0):
            ok = here > size[y, x] and here > size[y + 2, x + 2]
        else:
            ok = here > size[y, x + 2] and here > size[y + 2, x]
        peaks[y, x] = ok and here > low
    groups, count = ndimage.label(peaks, np.ones((3, 3)))
    strong = [g for g in range(1, count + 1) if (size[1:-1, 1:-1][groups == g] > high).any()]
    return np.isin(groups, strong)


def slow_distance(marked):
    """Shortest ways by Dijkstra."""
    found = np.full(marked.shape, np.inf)
    queue = [(0.0, *place) for place in np.argwhere(marked).tolist()]
    while queue:
        way, y, x = heapq.heappop(queue)
        if way >= found[y, x]:
            continue
        found[y, x] = way
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                length = {(0, 1): 1.0, (1, 1): 1.4, (1, 2): 2.1969}.get(tuple(sorted((abs(dy), abs(dx)))))
                row, column = y + dy, x + dx
                if length and 0 <= row < len(found) and 0 <= column < found.shape[1]:
                    heapq.heappush(queue, (way + length, row, column))
    return found


def slow_equalised(image):
    counts = np.bincount(image.ravel().astype(int), minlength=256)
    lowest = int(image.min())
    above = counts[lowest + 1 :].sum()
    if not above:
        return image
    return np.vectorize(lambda level: round(counts[lowest + 1 : int(level) + 1].sum() * 255 / above))(image)


def box(image):
    return ndimage.uniform_filter(image.astype(float), 3, mode="mirror")


def slow_drops(liquid):
    far = np.minimum(slow_distance(slow_edges(liquid)), 20)
    far = np.floor(box(far) + 1e-6)
    relief = ndimage.correlate(slow_equalised(far).astype(int), [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], mode="mirror")
    shown = liquid * np.round(box(np.clip(relief, 0, 255)))
    return shown / max(shown.max(), 1)


def slow_liquid(level, rng, shape):
    mean, deviation, blur, threshold, *_ = level
    noise = mean + deviation * rng.standard_normal((1, *shape), np.float32)[0].astype(float)
    liquid = ndimage.gaussian_filter(noise, blur, mode="nearest")
    return np.where(liquid < threshold, 0, liquid)


def liquids():
    for variant, severity in [("imagenet", 1), ("imagenet", 3), ("cifar", 1), ("cifar", 3)]:
        for key in KEYS:
            liquid = slow_liquid(Spatter(severity, variant).level, stream(key), (40, 33))
            yield np.floor(liquid * 255) % 256


def batch(image):
    return torch.from_numpy(np.asarray(image, dtype=float))[None, None]


@pytest.mark.parametrize("liquid", list(liquids()))
def test_edges_are_cannys(liquid):
    expected = slow_edges(liquid)
    assert expected.any()
    np.testing.assert_array_equal(edges(batch(liquid))[0, 0], expected)


def test_weak_edges_count_only_beside_strong_ones():
    ramp = np.zeros((9, 40))
    ramp[:, 10:] += 20  # four times 20 is above 50 and below 150
    assert not edges(batch(ramp)).any()
    ramp[4, 10:] += 40
    found = edges(batch(ramp))[0, 0].numpy()
    np.testing.assert_array_equal(found, slow_edges(ramp))
    assert found[0].any()


@pytest.mark.parametrize("count", [1, 3, 40])
def test_distance_is_the_shortest_way(count):
    marked = np.zeros((45, 38), bool)
    marked.ravel()[np.random.default_rng(count).permutation(marked.size)[:count]] = True
    found = distance(batch(marked) > 0)[0, 0]
    np.testing.assert_allclose(found, np.minimum(slow_distance(marked), 20), atol=1e-4)


def test_without_a_mark_everything_is_far():
    assert torch.equal(distance(torch.zeros(1, 1, 4, 4, dtype=torch.bool)), torch.full((1, 1, 4, 4), 20.0))


def test_equalised_levels():
    image = np.random.default_rng(0).integers(0, 21, (17, 12)) ** 2 // 2 + 3
    np.testing.assert_array_equal(equalised(batch(image))[0, 0], slow_equalised(image))
    flat = batch(np.full((4, 4), 20.0))
    assert torch.equal(equalised(flat), flat)


@pytest.mark.parametrize("liquid", list(liquids()))
def test_drops_are_the_same_step_by_step(liquid):
    found = drops(batch(liquid))[0, 0].numpy()
    expected = slow_drops(liquid)
    assert expected.max() == 1
    # A level between two, where float32 rounds the other way, moves the pixels around it a little.
    assert np.abs(found - expected).max() < 0.05
    assert (np.abs(found - expected) > 1e-3).mean() < 0.02


@pytest.mark.parametrize(("variant", "severity"), GRID)
def test_spatter(variant, severity):
    images, corruption = eight_bit(2, 3, 40, 33), Spatter(severity, variant)
    found = corruption(images, torch.tensor(KEYS))
    *_, threshold, strength, mud = corruption.level
    for row, key in enumerate(KEYS):
        image = levels(images[row : row + 1]) / 255
        liquid = slow_liquid(corruption.level, stream(key), (40, 33))
        if mud:
            mask = ndimage.gaussian_filter((liquid > threshold).astype(float), strength, mode="nearest")
            mask = np.where(mask < 0.8, 0, mask)[..., None]
            expected = (1 - mask) * image + mask * np.array([63, 42, 20]) / 255
        else:
            water = slow_drops(np.floor(liquid * 255) % 256)[..., None]
            expected = image + strength * water * np.array([175, 238, 238]) / 255
        assert np.abs(expected - image).max() > 0.05  # something was hit
        assert_same_levels(found[row : row + 1], cut(expected))


def test_an_image_that_no_drop_hits_stays():
    assert torch.equal(drops(torch.zeros(1, 1, 8, 8)), torch.zeros(1, 1, 8, 8))


def test_grey_images_get_the_luminance_of_mud():
    grey = torch.zeros(1, 1, 64, 64)
    found = Spatter(5)(grey)
    assert found.max() * 255 == int(0.299 * 63 + 0.587 * 42 + 0.114 * 20)


def test_published_strengths():
    rows = [
        ((0.65, 0.3, 4, 0.69, 0.6, 0), (0.67, 0.4, 1, 0.65, 1.5, 1)),
        ((0.62, 0.1, 0.7, 0.7, 0.5, 0), (0.65, 0.1, 0.5, 0.68, 0.6, 1)),
        ((0.62, 0.1, 0.7, 0.7, 0.6, 0), (0.65, 0.1, 0.5, 0.67, 0.6, 1)),
    ]
    for variant, row in zip(VARIANTS, rows, strict=True):
        assert tuple(Spatter(s, variant).level for s in (1, 5)) == row
