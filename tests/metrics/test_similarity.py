"""Similarity of maps against SciPy, scikit-image and plain Python."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from lit_attr.metrics.similarity import cosine, spearman, ssim, topk_intersection

FUNCTIONS = [cosine, spearman, ssim, topk_intersection]


def maps(seed, size=3, height=5, width=7, levels=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-3, levels - 3, (2, size, height, width), generator=generator).double()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40))
def test_spearman_against_scipy(seed, levels):
    one, other = maps(seed, levels=levels)
    for found, a, b in zip(spearman(one, other), one, other, strict=True):
        if a.unique().numel() > 1 and b.unique().numel() > 1:
            assert float(found) == pytest.approx(spearmanr(a.flatten(), b.flatten()).statistic, abs=1e-12)
        else:
            assert found.isnan()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 35, 99, 0.02, 0.5]))
def test_topk_against_sets(seed, k):
    one, other = maps(seed)
    count = min(35, k if k >= 1 else max(1, round(k * 35)))
    for found, a, b in zip(topk_intersection(one, other, k), one, other, strict=True):
        lists = [values.flatten().tolist() for values in (a, b)]
        top = [set(sorted(range(35), key=lambda i, v=v: (-v[i], i))[:count]) for v in lists]
        assert float(found) == pytest.approx(len(top[0] & top[1]) / count, abs=1e-15)


def scaled_pair(height, width):
    generator = torch.Generator().manual_seed(0)
    one, noise = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    return one, one + 0.5 * noise


def unit(values):
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.parametrize(("height", "width"), [(16, 23), (11, 11)])
def test_ssim_against_scikit_image(height, width):
    one, other = scaled_pair(height, width)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    for found, a, b in zip(ssim(one, other), one.numpy(), other.numpy(), strict=True):
        assert float(found) == pytest.approx(structural_similarity(unit(a), unit(b), **settings), abs=1e-12)


@pytest.mark.parametrize(("height", "width", "window"), [(6, 9, 5), (7, 40, 7), (1, 12, 1), (2, 2, 1)])
def test_ssim_of_small_maps_window_by_window(height, width, window):
    one, other = scaled_pair(height, width)
    places = np.arange(window) - window // 2
    weights = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    weights /= weights.sum()
    for found, a, b in zip(ssim(one, other), unit_each(one), unit_each(other), strict=True):
        values = []
        for y in range(height - window + 1):
            for x in range(width - window + 1):
                p, q = a[y : y + window, x : x + window], b[y : y + window, x : x + window]
                m, n = (weights * p).sum(), (weights * q).sum()
                v, w = (weights * (p - m) ** 2).sum(), (weights * (q - n) ** 2).sum()
                both = (weights * (p - m) * (q - n)).sum()
                light, form = (2 * m * n + 1e-4) / (m * m + n * n + 1e-4), (2 * both + 9e-4) / (v + w + 9e-4)
                values.append(light * form)
        assert float(found) == pytest.approx(np.mean(values), abs=1e-12)


def unit_each(maps):
    return [unit(values) for values in maps.numpy()]


def test_ssim_of_constant_maps():
    flat, other = torch.full((1, 12, 12), 3.0), torch.rand(1, 12, 12)
    assert ssim(flat, 0 * flat).item() == 1
    assert ssim(flat, other).item() == pytest.approx(ssim(torch.zeros(1, 12, 12), other).item())
    assert ssim(flat, other).item() < 0.5
    assert ssim(flat[:, None], other[:, None]).item() == ssim(flat, other).item()


def test_cosine_against_numpy():
    one, other = maps(4)
    for found, a, b in zip(cosine(one, other), one.flatten(1).numpy(), other.flatten(1).numpy(), strict=True):
        assert float(found) == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-12)
    assert cosine(one * 1e200, other * 1e-200).tolist() == pytest.approx(cosine(one, other).tolist(), abs=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_symmetric_one_for_equal_maps_and_alone_as_in_a_batch(function):
    generator = torch.Generator().manual_seed(2)
    one, other = torch.randn(2, 4, 12, 12, generator=generator)
    torch.testing.assert_close(function(one, one), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(function(one, other), function(other, one))
    alone = torch.cat([function(one[i : i + 1], other[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(function(one, other), alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("function", [spearman, topk_intersection])
def test_only_the_order_counts(function):
    one, other = maps(5)
    assert torch.equal(function(one.exp() * 3, other), function(one, other))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_maps_without_a_value(function, bad):
    one, other = torch.rand(2, 3, 12, 12)
    one[0, 3, 3] = bad
    other[1] = 0
    expected = [True, function is not ssim, False]
    assert function(one, other).isnan().tolist() == expected
    assert function(other, one).isnan().tolist() == expected


@pytest.mark.parametrize("function", FUNCTIONS)
def test_maps_of_different_size_are_refused(function):
    with pytest.raises(ValueError, match=r"`other` must be maps of the size of `one`, \(2, 5, 7\), got shape"):
        function(torch.rand(2, 5, 7), torch.rand(2, 5, 6))


def test_ssim_is_for_pictures():
    with pytest.raises(ValueError, match=r"maps \[B, H, W\] or \[B, 1, H, W\] for SSIM, got shape \(2, 5\)"):
        ssim(torch.rand(2, 5), torch.rand(2, 5))
