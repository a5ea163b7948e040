"""Metrics of attributions: pure per-sample functions and torchmetrics classes."""

from lit_attr.metrics._base import METRICS, AttributionMetric, Summary, available
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics._image_text import ImageTextEvaluation
from lit_attr.metrics.deletion import Deletion
from lit_attr.metrics.explanation_similarity import ExplanationSimilarity
from lit_attr.metrics.gap import Gap
from lit_attr.metrics.image_text import (
    ImageConfidenceDrop,
    ImageConfidenceIncrease,
    TextConfidenceDrop,
    TextConfidenceIncrease,
)
from lit_attr.metrics.insertion import Insertion
from lit_attr.metrics.localisation import (
    AttributionLocalisation,
    MaskAUC,
    MaskTopK,
    PointingGame,
    RelevanceMass,
    RelevanceRank,
)
from lit_attr.metrics.mprt import MPRT
from lit_attr.metrics.random_logit import RandomLogit
from lit_attr.metrics.sensitivity import AverageSensitivity, MaxSensitivity
from lit_attr.metrics.shape import Complexity, EffectiveComplexity, Gini
from lit_attr.metrics.suite import MetricSuite
from lit_attr.metrics.throughput import Speed, Throughput

__all__ = [
    "METRICS",
    "MPRT",
    "AttributionLocalisation",
    "AttributionMetric",
    "AverageSensitivity",
    "Complexity",
    "Deletion",
    "EffectiveComplexity",
    "Evaluation",
    "ExplanationSimilarity",
    "Gap",
    "Gini",
    "ImageConfidenceDrop",
    "ImageConfidenceIncrease",
    "ImageTextEvaluation",
    "Insertion",
    "MaskAUC",
    "MaskTopK",
    "MaxSensitivity",
    "MetricSuite",
    "PointingGame",
    "RandomLogit",
    "RelevanceMass",
    "RelevanceRank",
    "Speed",
    "Summary",
    "TextConfidenceDrop",
    "TextConfidenceIncrease",
    "Throughput",
    "available",
]
