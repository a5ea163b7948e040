"""Metrics of attributions: pure per-sample functions and torchmetrics classes."""

from lit_attr.metrics._base import METRICS, AttributionMetric, Summary, available
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics._perturbation import Perturbation
from lit_attr.metrics.deletion import Deletion
from lit_attr.metrics.gap import Gap
from lit_attr.metrics.insertion import Insertion
from lit_attr.metrics.kl_deletion import KLDeletion
from lit_attr.metrics.kl_gap import KLGap
from lit_attr.metrics.kl_insertion import KLInsertion
from lit_attr.metrics.perturbation_curves import PerturbationCurves
from lit_attr.metrics.suite import MetricSuite

__all__ = [
    "METRICS",
    "AttributionMetric",
    "Deletion",
    "Evaluation",
    "Gap",
    "Insertion",
    "KLDeletion",
    "KLGap",
    "KLInsertion",
    "MetricSuite",
    "Perturbation",
    "PerturbationCurves",
    "Summary",
    "available",
]
