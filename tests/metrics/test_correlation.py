"""Correlations against scipy and closed forms."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_attr.metrics._correlation import correlation

REFERENCE = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr}


@pytest.mark.parametrize("kind", REFERENCE)
@given(seed=st.integers(0, 10**6), size=st.integers(3, 30), levels=st.integers(2, 40), offset=st.floats(-1e4, 1e4))
@settings(max_examples=40, deadline=None)
def test_equals_scipy_with_ties(kind, seed, size, levels, offset):
    numbers = np.random.default_rng(seed).integers(levels, size=(2, 4, size)).astype(float) + offset
    numbers[..., 0] -= 1.5  # no row is constant
    found = correlation(kind, *torch.from_numpy(numbers))
    expected = [REFERENCE[kind](a, b).statistic for a, b in zip(*numbers, strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)


def test_small_numbers_are_no_zeros():
    a = torch.randn(2, 9, dtype=torch.float64) * 1e-200
    torch.testing.assert_close(correlation("pearson", a, -a), -torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("kind", REFERENCE)
def test_a_constant_row_has_no_correlation(kind):
    a = torch.tensor([[1.0, 1, 1], [1, 2, 3]])
    assert correlation(kind, a, torch.tensor([[1.0, 2, 3], [1, 1, 1]])).isnan().all()
