"""Weights of positions, against a plain loop."""

import pytest
import torch

from lit_attr.metrics._masking import above_median, at_every_occurrence, value_range, weights


@pytest.mark.parametrize("keep", [None, 0.01, 0.3, 0.5, 1])
@pytest.mark.parametrize("free", [None, [0, 2, 3, 5, 6], [4], []])
def test_against_a_plain_loop(keep, free):
    maps = torch.randn(3, 7, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    places = range(7) if free is None else free
    maskable = None if free is None else torch.isin(torch.arange(7), torch.tensor(free)).expand(3, 7)
    found = weights(maps, keep, maskable)
    assert found.dtype == torch.float64
    for values, row in zip(maps.double().tolist(), found.tolist(), strict=True):
        ordered = sorted(places, key=lambda place, values=values: -values[place])
        expected = [1.0] * 7
        if len(ordered) > 1:
            low, high = values[ordered[-1]], values[ordered[0]]
            for rank, place in enumerate(ordered):
                soft = (values[place] - low) / (high - low)
                expected[place] = soft if keep is None else float(rank < max(1, round(keep * len(ordered))))
        assert row == pytest.approx(expected, abs=1e-12)


def test_a_map_without_order_keeps_everything_and_shapes_stay():
    assert torch.equal(weights(torch.full((2, 1, 3, 4), 5.0), None), torch.ones(2, 1, 3, 4, dtype=torch.float64))
    assert torch.equal(weights(torch.zeros(2, 3), 0.5), torch.ones(2, 3, dtype=torch.float64))
    assert weights(torch.tensor([[0.0, torch.nan, 1.0]]), None).isnan().any()


def test_above_the_median_of_what_is_free():
    maps = torch.tensor([[5.0, 1.0, 2.0, 9.0], [3.0, 3.0, 3.0, 3.0]])
    free = torch.tensor([[True, True, True, False], [True, True, True, True]])
    assert above_median(maps, free).tolist() == [[1, 0, 0, 1], [0, 0, 0, 0]]


def test_weights_multiply_at_every_occurrence():
    kept, names = torch.tensor([[0.5, 0.2, 0.1, 1.0]]), torch.tensor([[7, 3, 7, 3]])
    torch.testing.assert_close(at_every_occurrence(kept, names), torch.tensor([[0.05, 0.2, 0.05, 0.2]]))


def test_range_of_what_is_free():
    low, high = value_range(torch.tensor([[1.0, 5.0, 3.0]]), torch.tensor([[True, False, True]]))
    assert (low.item(), high.item()) == (1, 3)
