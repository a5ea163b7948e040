import numpy as np
import pytest
import torch

from _reference.corruptions import stream
from lit_attr.corruptions._draws import Draws

LIKE = torch.zeros((), dtype=torch.float64)


def test_each_sample_has_the_stream_of_seed_and_key():
    draws = Draws(3, [7, 5, 7], LIKE)
    found = draws.normal(2, 4)
    assert found.dtype == torch.float64
    for row, key in zip(found, [7, 5, 7], strict=True):
        np.testing.assert_array_equal(row, stream(key, 3).standard_normal((2, 4), np.float32))


def test_seed_and_key_are_not_mixed_up():
    pairs = [(0, 1), (1, 0), (1, 1), (0, 2**32), (2**32, 0)]
    found = {Draws(seed, [key], LIKE).normal().item() for seed, key in pairs}
    assert len(found) == len(pairs)


def test_calls_go_on_along_the_stream():
    draws, whole = Draws(0, [4], LIKE), stream(4)
    np.testing.assert_array_equal(draws.uniform(-2, 6, 5)[0], -2 + 8 * whole.random(5, np.float32).astype(float))
    np.testing.assert_array_equal(draws.integers(-3, 3, 5, 2)[0], whole.integers(-3, 3, (5, 2)))
    np.testing.assert_array_equal(draws.normal(5)[0], whole.standard_normal(5, np.float32))


def test_counts_have_the_rates_of_their_sample():
    rates = torch.tensor([[0.0, 50.0], [1000.0, 3.0]])
    found = Draws(0, [0, 1], LIKE).poisson(rates)
    for row, rate, key in zip(found, rates, [0, 1], strict=True):
        np.testing.assert_array_equal(row, stream(key).poisson(rate.numpy()))


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1), (-45, 45)])
def test_uniform_numbers_stay_in_their_range(low, high):
    found = Draws(0, [0], LIKE).uniform(low, high, 10_000)
    assert low <= found.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < found.max() < high
