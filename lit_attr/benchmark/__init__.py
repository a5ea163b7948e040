"""Comparing methods: statistics that claim no more than the scores show, and the choice of a method."""

from lit_attr.benchmark.candidates import CANDIDATES, candidates
from lit_attr.benchmark.selection import Row, Selection, select
from lit_attr.benchmark.statistics import (
    Bootstrap,
    CriticalDifference,
    Intervals,
    PairedTests,
    Ranking,
    critical_difference,
    paired_bootstrap,
    ranking,
    wilcoxon_holm,
)

__all__ = [
    "CANDIDATES",
    "Bootstrap",
    "CriticalDifference",
    "Intervals",
    "PairedTests",
    "Ranking",
    "Row",
    "Selection",
    "candidates",
    "critical_difference",
    "paired_bootstrap",
    "ranking",
    "select",
    "wilcoxon_holm",
]
