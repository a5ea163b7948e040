"""The functions are those of the metrics' own files, one of each; their values are tested in `test_all_metrics.py`."""

from lit_attr.metrics import METRICS, functional


def test_one_function_per_metric_in_order():
    assert functional.__all__ == sorted(METRICS.names())
