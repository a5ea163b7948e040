"""The matrices against scipy's transforms, and torch's interpolation, padding and convolution."""

import pytest
import torch
import torch.nn.functional as F
from scipy import fft, stats

from lit_attr.updates._maps import between, cosines, diversify, smooth

SIZES = [(8, 8), (5, 12), (1, 7), (224, 3)]


def noise(size, channels=2):
    return torch.randn(3, channels, *size, dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cosine_transform_and_its_inverse(size):
    images = noise(size)
    rows, columns = cosines(images)
    found = between(rows, images, columns)
    expected = torch.from_numpy(fft.dctn(images.numpy(), type=2, norm="ortho", axes=(2, 3)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(between(rows.mT, found, columns.mT), images, rtol=0, atol=1e-10)


def test_varied_frequencies_are_those_of_the_pair_that_is_not_normalised():
    images, factors = noise((6, 9)), torch.rand(3, 2, 6, 9, dtype=torch.float64)
    rows, columns = cosines(images)
    found = between(rows.mT, between(rows, images, columns) * factors, columns.mT)
    varied = fft.idctn(fft.dctn(images.numpy(), axes=(2, 3)) * factors.numpy(), axes=(2, 3))
    torch.testing.assert_close(found, torch.from_numpy(varied), rtol=0, atol=1e-10)


def by_torch(images, size, corner):
    """Resized, put at a corner of a black ground of 115 %, resized back."""
    height, width = images.shape[2:]
    ground = int(1.15 * height), int(1.15 * width)
    (top, left), options = corner, {"mode": "bilinear", "align_corners": False}
    below, beside = (g - s - c for g, s, c in zip(ground, size, corner, strict=True))
    larger = F.pad(F.interpolate(images, size=size, **options), (left, beside, top, below))
    return F.interpolate(larger, size=(height, width), **options)


def test_diversity_is_resizing_padding_and_resizing_back_for_the_draws_of_the_generator():
    images = noise((20, 31))
    seen = set()
    for seed in range(60):
        found = diversify(images, 1.0, torch.Generator().manual_seed(seed))
        _, larger, *places = torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()
        size = 20 + int(4 * larger), 31 + int(5 * larger)  # 20..23 and 31..35, with one draw for both
        corner = tuple(int(p * (g - s + 1)) for p, g, s in zip(places, (23, 35), size, strict=True))
        torch.testing.assert_close(found, by_torch(images, size, corner))
        seen.add((size[0], corner[0]))
    assert seen == {(size, top) for size in range(20, 24) for top in range(24 - size)}


def test_diversity_is_as_frequent_as_its_probability():
    images, generator = noise((8, 8)), torch.Generator().manual_seed(0)
    changed = [diversify(images, 0.3, generator) is not images for _ in range(1000)]
    assert 250 < sum(changed) < 350
    assert diversify(images, 0.0, generator) is images


def test_diversity_draws_as_many_numbers_whether_it_changes_something_or_not():
    states = []
    for probability in (0.0, 1.0):
        generator = torch.Generator().manual_seed(0)
        diversify(noise((8, 8)), probability, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("side", [1, 3, 7])
@pytest.mark.parametrize("size", [(8, 8), (5, 12), (2, 3)], ids=str)
def test_smoothing_is_a_convolution_with_zeros_around(side, size):
    images = noise(size)
    line = stats.norm.pdf(torch.linspace(-3, 3, side, dtype=torch.float64).numpy())
    kernel = torch.from_numpy(line[:, None] * line / line.sum() ** 2)[None, None].repeat(2, 1, 1, 1)
    expected = F.conv2d(images, kernel, padding=side // 2, groups=2)
    torch.testing.assert_close(smooth(images, side), expected)


def test_precision_under_autocast():
    images = noise((8, 8)).float()
    plain = [smooth(images, 7), diversify(images, 1.0, torch.Generator().manual_seed(3))]
    with torch.autocast("cpu", torch.bfloat16):
        found = [smooth(images, 7), diversify(images, 1.0, torch.Generator().manual_seed(3))]
    for one, other in zip(found, plain, strict=True):
        assert torch.equal(one, other)
