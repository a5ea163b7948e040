"""Per-sample values of the metrics, without states."""

from lit_attr.metrics.average_drop import average_drop, average_gain, average_increase
from lit_attr.metrics.completeness import completeness
from lit_attr.metrics.deletion import deletion
from lit_attr.metrics.explanation_similarity import explanation_similarity
from lit_attr.metrics.gap import gap
from lit_attr.metrics.infidelity import infidelity
from lit_attr.metrics.insertion import insertion
from lit_attr.metrics.kl_deletion import kl_deletion
from lit_attr.metrics.kl_gap import kl_gap
from lit_attr.metrics.kl_insertion import kl_insertion
from lit_attr.metrics.localisation import (
    attribution_localisation,
    mask_auc,
    mask_topk,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from lit_attr.metrics.mprt import mprt
from lit_attr.metrics.off_target_mass import off_target_mass
from lit_attr.metrics.perturbation_curves import perturbation_curves
from lit_attr.metrics.pic import aic, sic
from lit_attr.metrics.random_logit import random_logit
from lit_attr.metrics.region_curves import region_deletion, region_insertion
from lit_attr.metrics.region_robustness import region_robustness
from lit_attr.metrics.road import road, road_lerf, road_morf
from lit_attr.metrics.robust_accuracy import robust_accuracy, worst_case
from lit_attr.metrics.sensitivity import average_sensitivity, max_sensitivity
from lit_attr.metrics.shape import complexity, effective_complexity, gini
from lit_attr.metrics.subset_correlation import subset_correlation
from lit_attr.metrics.target_drop import leakage_ratio, off_target_drop, target_drop

__all__ = [
    "aic",
    "attribution_localisation",
    "average_drop",
    "average_gain",
    "average_increase",
    "average_sensitivity",
    "completeness",
    "complexity",
    "deletion",
    "effective_complexity",
    "explanation_similarity",
    "gap",
    "gini",
    "infidelity",
    "insertion",
    "kl_deletion",
    "kl_gap",
    "kl_insertion",
    "leakage_ratio",
    "mask_auc",
    "mask_topk",
    "max_sensitivity",
    "mprt",
    "off_target_drop",
    "off_target_mass",
    "perturbation_curves",
    "pointing_game",
    "random_logit",
    "region_deletion",
    "region_insertion",
    "region_robustness",
    "relevance_mass",
    "relevance_rank",
    "road",
    "road_lerf",
    "road_morf",
    "robust_accuracy",
    "sic",
    "subset_correlation",
    "target_drop",
    "worst_case",
]
