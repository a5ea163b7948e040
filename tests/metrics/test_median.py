"""Medians from counts, against NumPy's."""

import numpy as np
import pytest
import torch

from lit_attr.metrics._median import LEVELS, counted, median


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_equals_numpys_at_the_levels(size):
    values = torch.rand(size, 7, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    values[:, 0], values[0, 1] = 1, 0
    counts = torch.zeros(2, 7, LEVELS, dtype=torch.int64)
    for row in values:
        counts = counted(counts, torch.tensor([1]), row[None])
    assert (counts[0].sum(), counts[1].sum()) == (0, size * 7)
    rounded = np.round(values.numpy() * 1000) / 1000
    np.testing.assert_allclose(median(counts[1]).numpy(), np.median(rounded, axis=0), atol=1e-12)
    np.testing.assert_allclose(median(counts[1]).numpy(), np.median(values.numpy(), axis=0), atol=5e-4)
    assert median(counts[0]).isnan().all()
