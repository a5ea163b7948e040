"""Sums are as wide as the device has numbers."""

import torch

from lit_attr.metrics import _precision


def test_float64_where_there_is_one(monkeypatch):
    values = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    assert _precision.wide(values).dtype == torch.float64
    assert not _precision.wide(values).requires_grad
    monkeypatch.setattr(_precision, "WITHOUT_FLOAT64", ("cpu",))
    assert _precision.wide(values).dtype == torch.float32
