"""Metrics of attributions: pure per-sample functions and torchmetrics classes."""

from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading, Summary, available
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._image_text import ImageTextEvaluation
from lit_attr.metrics._perturbation import Perturbation
from lit_attr.metrics.average_drop import AverageDrop, AverageGain, AverageIncrease
from lit_attr.metrics.completeness import Completeness
from lit_attr.metrics.deletion import Deletion
from lit_attr.metrics.explanation_similarity import ExplanationSimilarity
from lit_attr.metrics.gap import Gap
from lit_attr.metrics.gradient_masking import Check, GradientMasking
from lit_attr.metrics.image_text import (
    ImageConfidenceDrop,
    ImageConfidenceIncrease,
    TextConfidenceDrop,
    TextConfidenceIncrease,
)
from lit_attr.metrics.infidelity import Infidelity
from lit_attr.metrics.insertion import Insertion
from lit_attr.metrics.kl_deletion import KLDeletion
from lit_attr.metrics.kl_gap import KLGap
from lit_attr.metrics.kl_insertion import KLInsertion
from lit_attr.metrics.localisation import (
    AttributionLocalisation,
    MaskAUC,
    MaskTopK,
    PointingGame,
    RelevanceMass,
    RelevanceRank,
)
from lit_attr.metrics.mprt import MPRT
from lit_attr.metrics.off_target_mass import OffTargetMass
from lit_attr.metrics.perturbation_curves import PerturbationCurves
from lit_attr.metrics.pic import AIC, SIC
from lit_attr.metrics.random_logit import RandomLogit
from lit_attr.metrics.region_curves import RegionDeletion, RegionInsertion
from lit_attr.metrics.region_robustness import RegionRobustness
from lit_attr.metrics.road import ROAD, ROADLeRF, ROADMoRF
from lit_attr.metrics.robust_accuracy import Outcome, RobustAccuracy, RobustSummary, WorstCase
from lit_attr.metrics.sensitivity import AverageSensitivity, MaxSensitivity
from lit_attr.metrics.shape import Complexity, EffectiveComplexity, Gini
from lit_attr.metrics.subset_correlation import SubsetCorrelation
from lit_attr.metrics.suite import MetricSuite
from lit_attr.metrics.target_drop import LeakageRatio, OffTargetDrop, TargetDrop
from lit_attr.metrics.throughput import Speed, Throughput
from lit_attr.metrics.transfer import Transfer, transfer_matrix
from lit_attr.metrics.wilson import wilson_interval

__all__ = [
    "AIC",
    "METRICS",
    "MPRT",
    "ROAD",
    "SIC",
    "AttributionLocalisation",
    "AttributionMetric",
    "AverageDrop",
    "AverageGain",
    "AverageIncrease",
    "AverageSensitivity",
    "Check",
    "Completeness",
    "Complexity",
    "Deletion",
    "EffectiveComplexity",
    "Evaluation",
    "Explained",
    "ExplanationSimilarity",
    "Gap",
    "Gini",
    "GradientMasking",
    "ImageConfidenceDrop",
    "ImageConfidenceIncrease",
    "ImageTextEvaluation",
    "Infidelity",
    "Insertion",
    "KLDeletion",
    "KLGap",
    "KLInsertion",
    "LeakageRatio",
    "MaskAUC",
    "MaskTopK",
    "MaxSensitivity",
    "MetricSuite",
    "OffTargetDrop",
    "OffTargetMass",
    "Outcome",
    "Passes",
    "Perturbation",
    "PerturbationCurves",
    "PointingGame",
    "ROADLeRF",
    "ROADMoRF",
    "RandomLogit",
    "Reading",
    "RegionDeletion",
    "RegionInsertion",
    "RegionRobustness",
    "RelevanceMass",
    "RelevanceRank",
    "RobustAccuracy",
    "RobustSummary",
    "Speed",
    "SubsetCorrelation",
    "Summary",
    "TargetDrop",
    "TextConfidenceDrop",
    "TextConfidenceIncrease",
    "Throughput",
    "Transfer",
    "WorstCase",
    "available",
    "transfer_matrix",
    "wilson_interval",
]
