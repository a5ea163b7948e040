"""Per-sample values of the metrics, without states."""

from lit_attr.metrics.deletion import deletion
from lit_attr.metrics.explanation_similarity import explanation_similarity
from lit_attr.metrics.gap import gap
from lit_attr.metrics.insertion import insertion
from lit_attr.metrics.localisation import (
    attribution_localisation,
    mask_auc,
    mask_topk,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from lit_attr.metrics.mprt import mprt
from lit_attr.metrics.random_logit import random_logit
from lit_attr.metrics.sensitivity import average_sensitivity, max_sensitivity
from lit_attr.metrics.shape import complexity, effective_complexity, gini

__all__ = [
    "attribution_localisation",
    "average_sensitivity",
    "complexity",
    "deletion",
    "effective_complexity",
    "explanation_similarity",
    "gap",
    "gini",
    "insertion",
    "mask_auc",
    "mask_topk",
    "max_sensitivity",
    "mprt",
    "pointing_game",
    "random_logit",
    "relevance_mass",
    "relevance_rank",
]
