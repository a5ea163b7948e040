"""Methods compared: a runner that knows no task, its results on disk, tables and a page."""

from lit_attr.benchmark.controls import CONTROLS, Control
from lit_attr.benchmark.files import write_files
from lit_attr.benchmark.forecast import Progress
from lit_attr.benchmark.identity import model_identity
from lit_attr.benchmark.published import paper_tables
from lit_attr.benchmark.results import Results, collect
from lit_attr.benchmark.runner import Batch, Benchmark
from lit_attr.benchmark.store import Store
from lit_attr.benchmark.tables import print_tables, score_tables

__all__ = [
    "CONTROLS",
    "Batch",
    "Benchmark",
    "Control",
    "Progress",
    "Results",
    "Store",
    "collect",
    "model_identity",
    "paper_tables",
    "print_tables",
    "score_tables",
    "write_files",
]
