"""Comparing methods: statistics that claim no more than the scores show, and the choice of a method."""

from lit_attr.benchmark.candidates import CANDIDATES, candidates
from lit_attr.benchmark.comparisons import Comparison, compare
from lit_attr.benchmark.controls import CONTROLS, Control
from lit_attr.benchmark.files import write_files
from lit_attr.benchmark.forecast import Progress
from lit_attr.benchmark.identity import model_identity
from lit_attr.benchmark.joined import join_runs
from lit_attr.benchmark.published import paper_tables
from lit_attr.benchmark.results import Results, collect
from lit_attr.benchmark.runner import Batch, Benchmark
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
from lit_attr.benchmark.store import Store
from lit_attr.benchmark.tables import place_tables, print_tables, score_tables

__all__ = [
    "CANDIDATES",
    "CONTROLS",
    "Batch",
    "Benchmark",
    "Bootstrap",
    "Comparison",
    "Control",
    "CriticalDifference",
    "Intervals",
    "PairedTests",
    "Progress",
    "Ranking",
    "Results",
    "Row",
    "Selection",
    "Store",
    "candidates",
    "collect",
    "compare",
    "critical_difference",
    "join_runs",
    "model_identity",
    "paired_bootstrap",
    "paper_tables",
    "place_tables",
    "print_tables",
    "ranking",
    "score_tables",
    "select",
    "wilcoxon_holm",
    "write_files",
]
