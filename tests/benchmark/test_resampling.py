"""Resampled means: drawn once for rows of one length, the same whether kept or drawn again."""

import numpy as np
import pytest

from lit_attr.benchmark import _resampling
from lit_attr.benchmark._resampling import bca


def rows(count=3, size=12):
    return np.random.default_rng(1).standard_normal((count, size))


def test_resamples_that_are_too_many_to_keep_are_the_same(monkeypatch):
    kept = bca(rows(), 0.95, 400, 0)
    monkeypatch.setattr(_resampling, "_KEPT", 0)
    again = bca(rows(), 0.95, 400, 0)
    assert all(np.array_equal(one, other) for one, other in zip(kept, again, strict=True))


def test_samples_are_drawn_once_for_several_metrics(monkeypatch):
    drawn, values = [], rows()
    monkeypatch.setattr(_resampling.np.random, "default_rng", lambda seed: drawn.append(seed) or Generator(seed))
    for _ in range(3):
        bca(values, 0.95, 77, 5)
    assert drawn == [5]


class Generator(np.random.Generator):
    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))


def test_draws_are_of_the_size_of_the_sample():
    (block,) = _resampling._draws(12, 50, 0)
    assert (block.sum(1) == 12).all()
    assert block.shape == (50, 12)


def test_a_row_with_gaps_does_not_change_the_others():
    """Of complete rows the divisor is their length, without another product."""
    values = rows()
    gaps = np.concatenate([values, values[:1]])
    gaps[3, 2] = np.nan
    whole, mixed = bca(values, 0.95, 300, 0), bca(gaps, 0.95, 300, 0)
    for one, other in zip(whole, mixed, strict=True):
        assert one == pytest.approx(other[:3], abs=1e-12)
