"""Each metric has a function; what it gives is tested in `test_all_metrics.py`."""

from lit_attr.metrics import METRICS, functional


def test_a_function_per_metric():
    assert set(METRICS.names()) <= set(functional.__all__)
    assert functional.__all__ == sorted(functional.__all__)
