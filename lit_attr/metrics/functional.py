"""Per-sample values of the metrics, without states."""

from lit_attr.metrics.deletion import deletion
from lit_attr.metrics.gap import gap
from lit_attr.metrics.insertion import insertion
from lit_attr.metrics.kl_deletion import kl_deletion
from lit_attr.metrics.kl_gap import kl_gap
from lit_attr.metrics.kl_insertion import kl_insertion
from lit_attr.metrics.perturbation_curves import perturbation_curves

__all__ = ["deletion", "gap", "insertion", "kl_deletion", "kl_gap", "kl_insertion", "perturbation_curves"]
