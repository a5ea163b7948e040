"""Per-sample values of the metrics, without states."""

from lit_attr.metrics.deletion import deletion
from lit_attr.metrics.gap import gap
from lit_attr.metrics.infidelity import infidelity
from lit_attr.metrics.insertion import insertion

__all__ = ["deletion", "gap", "infidelity", "insertion"]
