"""The tables of a benchmark, as data that a terminal and a page show alike."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from lit_attr.benchmark.comparisons import Comparison
from lit_attr.benchmark.results import Results

__all__ = [
    "ARROWS",
    "Cell",
    "Table",
    "number",
    "pair_table",
    "place_tables",
    "print_tables",
    "rank_table",
    "score_tables",
]

ARROWS = {True: " \N{UPWARDS ARROW}", False: " \N{DOWNWARDS ARROW}", None: ""}
_PLACES = (
    "A place is a range: above a method are only those that are shown to be better, below it only those that are shown "
    "to be worse. Shown: the {level} interval of the paired difference excludes 0, and Wilcoxon's test rejects after "
    "Holm's correction over all pairs of a metric. For other samples of the same data, not for other data."
)


class Cell(NamedTuple):
    """What stands in a table, and what it is sorted by: the number, or the text where there is none."""

    text: str
    value: float | None = None


class Table(NamedTuple):
    """A table: the first column names the rows, all others hold numbers."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    notes: list[str]


def number(value: float | None, error: float | None = None) -> Cell:
    """A number, with its standard error where that is known; a dash for none.

    Example:
        >>> number(0.51234, 0.012).text, number(1234.5).text, number(2e-5).text, number(None).value is None
        ('0.512 ± 0.012', '1234', '2.0e-05', True)
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return Cell("\N{EN DASH}")
    text = _short(value)
    return Cell(text if error is None or error != error else f"{text} \N{PLUS-MINUS SIGN} {_short(error)}", value)  # noqa: PLR0124


def _short(value: float) -> str:
    size = abs(value)
    if size and not 1e-4 <= size < 1e6:
        return f"{value:.1e}"
    decimals = next((n for least, n in ((1000, 0), (100, 1), (1e-3, 3)) if size >= least), 4 if size else 3)
    return f"{value:.{decimals}f}"


def score_tables(results: Results) -> list[Table]:
    """Methods and control maps by metrics: of all samples, then of each group by confidence that has any."""
    some = {"all", *(sample.group for sample in results.samples)}
    return [_scores(results, group) for group in results.groups if group in some]


def _scores(results: Results, group: str) -> Table:
    metrics, whole = results.benchmark.metrics, group == "all"
    columns = ["method", *(label + ARROWS[metric.higher_is_better] for label, metric in metrics.items())]
    columns += ["forward", "backward", "samples/s"] if whole else []
    rows, least = [], set[int]()
    for name in results.names:
        cells = [Cell(_called(results, name))]
        for label in metrics:
            summary = results.summaries.get((name, label), {}).get(group)
            cells.append(number(float(summary.value), float(summary.standard_error)) if summary else number(None))
            least |= {summary.samples} if summary else set()
        if whole:
            speed = results.speed[name].per_second if name in results.benchmark.methods else None
            cells += [*map(number, results.passes[name]), number(speed)]
        rows.append(cells)
    counted = f"{max(least, default=0)} samples" if len(least) <= 1 else f"{min(least)} to {max(least)} samples"
    return Table(f"{_told(group).capitalize()} ({counted})", columns, rows, _notes(results) if whole else [])


def _notes(results: Results) -> list[str]:
    told = sorted({speed.told for name, speed in results.speed.items() if name in results.benchmark.methods})
    notes = [
        "Mean \N{PLUS-MINUS SIGN} standard error; an arrow points to better. Forward and backward: declared passes per "
        f"sample of one explanation. Samples per second: of one process, {'; '.join(told)}."
    ]
    lost = [
        f"{name}/{label}: {summary['all'].undefined} undefined, {summary['all'].invalid} invalid"
        for (name, label), summary in results.summaries.items()
        if summary["all"].undefined or summary["all"].invalid
    ]
    return [*notes, f"Left out: {'; '.join(lost)}."] if lost else notes


def place_tables(results: Results, comparisons: Sequence[Comparison]) -> list[Table]:
    """The places of methods and control maps by metrics, a table per group of samples."""
    tables = []
    for group in dict.fromkeys(comparison.group for comparison in comparisons):
        known = {comparison.metric: comparison for comparison in comparisons if comparison.group == group}
        rows = []
        for name in results.names:
            places = [_place(one.place(name) if name in one.names else None) for one in known.values()]
            rows.append([Cell(_called(results, name)), *places])
        notes = [_PLACES.format(level=f"{next(iter(known.values())).level:.0%}")]
        tables.append(Table(f"Places ({_told(group)})", ["method", *known], rows, notes))
    return tables


def rank_table(results: Results, comparison: Comparison) -> Table:
    """The mean of each method with its interval, its mean rank and its place, the best place first."""
    level, means = f"{comparison.level:.0%}", comparison.bootstrap.means
    rows = []
    for name in comparison.by_rank:
        i = comparison.names.index(name)
        numbers = (means.value[i], means.low[i], means.high[i], comparison.ranks.ranks[i])
        cells = [number(float(value)) for value in numbers]
        rows.append([Cell(_called(results, name)), _place(comparison.place(name)), *cells, _count(means.samples[i])])
    columns = ["method", "place", "mean", f"{level} from", "to", "mean rank", "samples"]
    return Table(comparison.metric, columns, rows, [_ranks(comparison)])


def pair_table(comparison: Comparison) -> Table:
    """All pairs: the difference with its interval, the tests, and whether a difference is shown."""
    rows, better = [], comparison.ranking.better
    for pair in comparison.pairs():
        a, b = (comparison.names.index(pair[side]) for side in "ab")
        shown = bool(better[a, b] or better[b, a])
        values = [number(pair[key]) for key in ("difference", "low", "high", "p", "p_holm")]
        counts = [_count(pair[key]) for key in ("n", "left_out")]
        name = f"{pair['a']} \N{MINUS SIGN} {pair['b']}"
        rows.append([Cell(name), *values, Cell("yes" if shown else "no", float(shown)), *counts])
    columns = ["pair", "difference", f"{comparison.level:.0%} from", "to", "p", "p, Holm", "shown", "pairs", "left out"]
    return Table(f"{len(rows)} pairs", columns, rows, [])


def _place(place: tuple[int, int] | None) -> Cell:
    """A range of places, sorted by its middle."""
    if place is None:
        return number(None)
    first, last = place
    return Cell(str(first) if first == last else f"{first}\N{EN DASH}{last}", (first + last) / 2)


def _count(value: int) -> Cell:
    return Cell(str(value), float(value))


def _ranks(comparison: Comparison) -> str:
    found = comparison.ranks
    if not found.samples:
        return "No sample has a value of every method, so there are no mean ranks."
    left = f", {found.dropped} left out" if found.dropped else ""
    return (
        f"Mean ranks over the {found.samples} samples with a value of every method{left}; Friedman's test: "
        f"p = {_short(found.p)}; critical difference {_short(found.distance)}."
    )


def _called(results: Results, name: str) -> str:
    return name if name in results.benchmark.methods else f"{name} (control)"


def _told(group: str) -> str:
    return "all samples" if group == "all" else f"confidence {group.replace('_', ' ')}"


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print at full width: Rich would rather cut numbers than exceed a narrow terminal, or the 80 columns of a file."""
    before, said = console.width, set[str]()
    try:
        for table in tables:
            shown = RichTable(title=escape(table.title), box=box.SIMPLE_HEAD, title_style="bold", title_justify="left")
            for i, column in enumerate(table.columns):
                shown.add_column(escape(column), justify="right" if i else "left")
            for row in table.rows:
                shown.add_row(*(escape(cell.text) for cell in row))
            wide = console.measure(shown, options=console.options.update(max_width=10_000)).maximum
            console.width = max(before, wide)
            console.print(shown)
            console.width = before
            for note in table.notes:  # several tables have some in common
                if note not in said:
                    console.print(f"  [dim]{escape(note)}[/dim]", highlight=False, soft_wrap=True)
            said.update(table.notes)
            console.print()
    finally:
        console.width = before
