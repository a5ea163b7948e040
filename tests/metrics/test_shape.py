"""Sparseness of maps: closed forms, slow restatements, and what scale and order must not change."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lit_attr.metrics import Complexity, EffectiveComplexity, Evaluation, Gini
from lit_attr.metrics.functional import complexity, effective_complexity, gini

ALL = {gini: Gini, complexity: Complexity, effective_complexity: EffectiveComplexity}
maps = arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 12)), elements=st.floats(-8, 8, width=16))


@settings(max_examples=60, deadline=None)
@given(maps)
def test_gini_is_half_the_mean_difference_over_the_mean(values):
    for row, found in zip(np.abs(values).astype(np.float64), gini(torch.from_numpy(values)), strict=True):
        if row.sum() == 0:
            assert found.isnan()
            continue
        expected = np.abs(row[:, None] - row).mean() / (2 * row.mean())
        assert float(found) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(maps)
def test_complexity_and_count(values):
    given = torch.from_numpy(values)
    for row, entropy, count in zip(np.abs(values), complexity(given), effective_complexity(given, 0.1), strict=True):
        if row.sum() == 0:
            assert entropy.isnan()
            assert count.isnan()
            continue
        shares = [float(value) / float(row.sum(dtype=np.float64)) for value in row if value > 0]
        assert float(entropy) == pytest.approx(-sum(share * math.log(share) for share in shares), abs=1e-6)
        assert int(count) == sum(float(value) > 0.1 * float(row.max()) for value in row)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("scale", [-1.0, 1e-30, 1e30, 0.125])
def test_neither_scale_nor_order_matters(function, scale, batch):
    values = batch()[1].sum(1).float()
    order = torch.randperm(36)
    found = function((values.flatten(1)[:, order] * scale).reshape(4, 6, 6))
    torch.testing.assert_close(found, function(values), rtol=1e-6, atol=0)


def test_extremes():
    one, equal = torch.eye(1, 50), torch.full((1, 50), -2.5)
    assert gini(one).item() == pytest.approx(1 - 1 / 50, abs=1e-15)
    assert gini(equal).item() == 0
    assert complexity(one).item() == 0
    assert complexity(equal).item() == pytest.approx(math.log(50), abs=1e-12)
    assert (effective_complexity(one).item(), effective_complexity(equal).item()) == (1, 50)
    assert effective_complexity(torch.tensor([[0.5, 1.0]]), epsilon=0.5).item() == 1  # more than, not as much as


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_no_value_for_zeros_and_what_is_not_finite(function, bad):
    values = torch.ones(3, 4)
    values[0] = 0
    values[1, 2] = bad
    assert function(values).isnan().tolist() == [True, True, False]
    assert function(values[:0]).shape == (0,)


@pytest.mark.parametrize(("function", "cls"), ALL.items())
def test_class_takes_the_channel_sum_and_counts_zeros(function, cls, cnn, counting, batch):
    images, attribution = batch()
    attribution[1] = 0
    attribution[2, 0, 0, 0] = torch.nan
    model, metric = counting(cnn()), cls()
    for rows in ([0, 1], [2, 3]):
        metric.update(model, images[rows], None, attribution[rows])
    expected = function(attribution.sum(1))
    assert (metric.count, metric.undefined, metric.invalid) == (2, 1, 1)
    with pytest.warns(UserWarning, match="zero everywhere"):
        assert float(metric.compute()) == pytest.approx(float(expected.nanmean()), rel=1e-6)
    torch.testing.assert_close(
        metric.per_sample(Evaluation(model, images).of(attribution)), expected, equal_nan=True, rtol=0, atol=1e-12
    )
    assert model.samples == metric.passes.forward == metric.explanations == 0


def test_epsilon_is_checked_and_told():
    assert EffectiveComplexity(0.2).protocol["epsilon"] == 0.2
    with pytest.raises(ValueError, match=r"`epsilon` must be in \[0, 1\), got 1"):
        EffectiveComplexity(1.0)
