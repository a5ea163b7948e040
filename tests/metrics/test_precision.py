"""Sums are as wide as the device has numbers."""

import pytest
import torch

from lit_attr.metrics import Gini, TextConfidenceDrop, Throughput, _precision


def test_float64_where_there_is_one(monkeypatch):
    values = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    assert _precision.wide(values).dtype == torch.float64
    assert not _precision.wide(values).requires_grad
    monkeypatch.setattr(_precision, "WITHOUT_FLOAT64", ("cpu",))
    assert _precision.wide(values).dtype == torch.float32


@pytest.mark.parametrize("metric", [Throughput(), TextConfidenceDrop(), Gini()], ids=lambda m: type(m).__name__)
def test_states_where_there_is_none(metric, monkeypatch):
    wide = {name for name in metric._defaults if getattr(metric, name).dtype == torch.float64}
    monkeypatch.setattr(_precision, "WITHOUT_FLOAT64", ("meta",))
    metric.to("cpu")
    assert {name for name in metric._defaults if getattr(metric, name).dtype == torch.float64} == wide
    assert wide
    metric.to("meta")
    assert {getattr(metric, name).dtype for name in wide} == {torch.float32}
