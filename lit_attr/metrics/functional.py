"""Per-sample values of the metrics, without states."""

from lit_attr.metrics.deletion import deletion
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
from lit_attr.metrics.shape import complexity, effective_complexity, gini

__all__ = [
    "attribution_localisation",
    "complexity",
    "deletion",
    "effective_complexity",
    "gap",
    "gini",
    "insertion",
    "mask_auc",
    "mask_topk",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
]
