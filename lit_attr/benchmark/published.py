"""Tables of papers, in their columns, with their figures beside ours where the same model was measured.

Papers: ABE (arXiv 2505.06258), Table V; LAAI (OpenReview vOOcJdLHkS), Tables 1 to 6.
The figures are rows of `published.csv` (paper, table, torchvision model, data, group, registered method, column,
value): those that have been checked, not all of the papers.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from lit_attr.attribution import METHODS
from lit_attr.benchmark.results import Results
from lit_attr.benchmark.tables import Cell, Table, number
from lit_attr.metrics import AttributionMetric

__all__ = ["paper_tables"]

_SPLITS = ("below_0.7", "from_0.7", "all")
_SAMPLES = "Which images were taken is not told, so the samples differ."
_FPS = "Neither device nor batch size of the published FPS is told."
_UNION = (
    "The papers' code ranks each colour channel alone and changes a pixel in all channels at once (preset 'abe'): at "
    "a nominal third of the pixels two thirds are changed, which favours maps with three channels."
)
_LAAI = [
    _SAMPLES,
    _UNION,
    "The published values of all images do not always lie between those of the two groups, and the shares of the "
    "groups that they imply differ between the tables: they cannot all come from one set of images.",
]
_METHODS = {
    "expected_gradients": "Expected gradients: the published code explains the first sample's class for the whole "
    "batch, so all others get no gradient.",
    "fast_ig": "Fast-IG: the published numbers have the sign turned round (GAP below zero on all networks).",
    "guided_ig": "Guided IG: 287 FPS in LAAI's Table 10 and 0.77 in ABE's table cannot both be.",
}


@dataclass(frozen=True)
class _Column:
    """A column: its name in the paper, and which of our metrics it is."""

    name: str
    fits: Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class _Paper:
    """Tables that have the same columns."""

    paper: str
    tables: tuple[str, ...]
    columns: tuple[_Column, ...]
    reasons: tuple[str, ...]
    groups: tuple[str, ...] = ("all",)
    speed: bool = False

    @property
    def title(self) -> str:
        several = len(self.tables) > 1
        return f"{self.paper}, {'Tables' if several else 'Table'} {' and '.join(self.tables)}"


def _curve(metric: str, *, fair: bool = False) -> Callable[[Mapping[str, Any]], bool]:
    """A curve from black or, where it is fair, from the colour of most confusion."""

    def fits(protocol: Mapping[str, Any]) -> bool:
        fill = str(protocol.get("fill", "")).lower()
        return protocol.get("metric") == metric and ("confusion" in fill if fair else fill == "black")

    return fits


def _three(prefix: str, metric: str, *, fair: bool = False) -> tuple[_Column, ...]:
    names = {"INS": "insertion", "DEL": "deletion", "GAP": "gap"}
    columns = (_Column(prefix + short, _curve(metric + long, fair=fair)) for short, long in names.items())
    return tuple(columns)


_PAPERS = (
    _Paper(
        "ABE",
        ("V",),
        (*_three("", "")[:2], _Column("INFD", lambda protocol: protocol.get("metric") == "infidelity")),
        (
            _SAMPLES,
            _UNION,
            "INFD was published for the label of the data set, of 100 draws that differ from image to image; it is in "
            "squared logits, so a model with other weights has another scale.",
            _FPS,
        ),
        speed=True,
    ),
    _Paper("LAAI", ("1", "3"), _three("", ""), (*_LAAI, "The number of steps is not told."), _SPLITS),
    _Paper(
        "LAAI",
        ("4", "5"),
        _three("F-", "", fair=True),
        (
            *_LAAI,
            "Equation 4 has the wrong sign for the colour of most confusion, and its step size, restarts and end are "
            "not told: ours climbs the entropy.",
        ),
        _SPLITS,
    ),
    _Paper(
        "LAAI",
        ("2", "6"),
        _three("KL-", "kl_"),
        (
            *_LAAI,
            "Text, appendix and tables give three definitions of the divergence; ours is KL(uniform || prediction), "
            "the one that the tables are possible with. It grows with the scale of the logits.",
        ),
        _SPLITS,
    ),
)


def paper_tables(results: Results, model: str = "", data: str = "") -> list[Table]:
    """The tables of the papers whose columns were measured.

    Args:
        results: of a benchmark.
        model: what was measured, as torchvision names it.
        data: on what, as `ImageDataModule` names it.
    """
    figures = _figures(model, data)
    return [table for paper in _PAPERS if (table := _table(paper, results, figures, f"{model} on {data}"))]


Figures = dict[tuple[str, str, str, str], float]
"""By paper, group, registered method and column."""


def _figures(model: str, data: str) -> Figures:
    text = files("lit_attr.benchmark").joinpath("published.csv").read_text()
    rows = (row for row in csv.DictReader(text.splitlines()) if row["model"] == model and row["data"] == data)
    return {(row["paper"], row["group"], row["method"], row["column"]): float(row["value"]) for row in rows}


def _table(paper: _Paper, results: Results, figures: Figures, measured: str) -> Table | None:
    metrics = results.benchmark.metrics
    found = {column.name: _label(column, metrics) for column in paper.columns}
    labels = {name: label for name, label in found.items() if label is not None}
    if not labels:
        return None
    groups = [group for group in paper.groups if group in results.groups]
    ours = [(group, name) for group in groups for name in labels]
    theirs = {(group, name) for source, group, _, name in figures if source == paper.paper} & set(ours)
    head = [name if len(groups) == 1 else f"{name} {_group(group)}" for group, name in ours]
    columns = ["method"]
    for (group, name), title in zip(ours, head, strict=True):
        columns += [title, f"{title}, published"] if (group, name) in theirs else [title]
    rows, notes = [], list[str]()
    for method, item in results.benchmark.methods.items():
        registered, cells = METHODS.name_of(item), [Cell(method)]
        for group, name in ours:
            cells.append(number(float(results.summaries[method, labels[name]][group].value)))
            if (group, name) in theirs:
                figure = figures.get((paper.paper, group, registered, name))
                cells.append(number(figure))
                notes += [_METHODS[registered]] if figure is not None and registered in _METHODS else []
        rows.append([*cells, number(results.speed[method].per_second)] if paper.speed else cells)
    if paper.speed:
        columns.append("FPS")
    return Table(paper.title, columns, rows, _notes(paper, theirs, measured, notes))


def _notes(paper: _Paper, theirs: set[tuple[str, str]], measured: str, notes: list[str]) -> list[str]:
    if not theirs:
        missing = f"No published figure is at hand for {measured}: the columns are the paper's, the numbers ours."
        return [f"{missing} Even of the same model they would have to differ.", *paper.reasons]
    return ["Ours and the published figures must differ.", *paper.reasons, *dict.fromkeys(notes)]


def _group(group: str) -> str:
    return {"all": "(all)", "below_0.7": "(<70%)", "from_0.7": "(\N{GREATER-THAN OR EQUAL TO}70%)"}[group]


def _label(column: _Column, metrics: Mapping[str, AttributionMetric]) -> str | None:
    """Our metric for a column; of several the one in the papers' own protocol."""
    fitting = [label for label, metric in metrics.items() if column.fits(metric.protocol)]
    own = [label for label in fitting if metrics[label].protocol.get("preset") in {"abe", "laai"}]
    return next(iter([*own, *fitting]), None)
