"""Metrics of attributions: pure per-sample functions and torchmetrics classes."""

from lit_attr.metrics._base import METRICS, AttributionMetric, Summary, available
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics.deletion import Deletion
from lit_attr.metrics.gap import Gap
from lit_attr.metrics.insertion import Insertion
from lit_attr.metrics.localisation import (
    AttributionLocalisation,
    MaskAUC,
    MaskTopK,
    PointingGame,
    RelevanceMass,
    RelevanceRank,
)
from lit_attr.metrics.shape import Complexity, EffectiveComplexity, Gini
from lit_attr.metrics.suite import MetricSuite

__all__ = [
    "METRICS",
    "AttributionLocalisation",
    "AttributionMetric",
    "Complexity",
    "Deletion",
    "EffectiveComplexity",
    "Evaluation",
    "Gap",
    "Gini",
    "Insertion",
    "MaskAUC",
    "MaskTopK",
    "MetricSuite",
    "PointingGame",
    "RelevanceMass",
    "RelevanceRank",
    "Summary",
    "available",
]
