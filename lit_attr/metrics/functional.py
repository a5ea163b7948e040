"""Per-sample values of the metrics, without states."""

from lit_attr.metrics.average_drop import average_drop, average_gain, average_increase
from lit_attr.metrics.completeness import completeness
from lit_attr.metrics.deletion import deletion
from lit_attr.metrics.gap import gap
from lit_attr.metrics.infidelity import infidelity
from lit_attr.metrics.insertion import insertion
from lit_attr.metrics.pic import aic, sic
from lit_attr.metrics.road import road, road_lerf, road_morf
from lit_attr.metrics.subset_correlation import subset_correlation

__all__ = [
    "aic",
    "average_drop",
    "average_gain",
    "average_increase",
    "completeness",
    "deletion",
    "gap",
    "infidelity",
    "insertion",
    "road",
    "road_lerf",
    "road_morf",
    "sic",
    "subset_correlation",
]
