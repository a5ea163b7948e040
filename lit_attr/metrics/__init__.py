"""Metrics of attributions: pure per-sample functions and torchmetrics classes."""

from lit_attr.metrics._base import METRICS, AttributionMetric, Summary, available
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics.average_drop import AverageDrop, AverageGain, AverageIncrease
from lit_attr.metrics.completeness import Completeness
from lit_attr.metrics.deletion import Deletion
from lit_attr.metrics.gap import Gap
from lit_attr.metrics.infidelity import Infidelity
from lit_attr.metrics.insertion import Insertion
from lit_attr.metrics.pic import AIC, SIC
from lit_attr.metrics.road import ROAD, ROADLeRF, ROADMoRF
from lit_attr.metrics.subset_correlation import SubsetCorrelation
from lit_attr.metrics.suite import MetricSuite

__all__ = [
    "AIC",
    "METRICS",
    "ROAD",
    "SIC",
    "AttributionMetric",
    "AverageDrop",
    "AverageGain",
    "AverageIncrease",
    "Completeness",
    "Deletion",
    "Evaluation",
    "Gap",
    "Infidelity",
    "Insertion",
    "MetricSuite",
    "ROADLeRF",
    "ROADMoRF",
    "SubsetCorrelation",
    "Summary",
    "available",
]
