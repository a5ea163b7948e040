"""The tables of a benchmark, as data that a terminal and a page show alike."""

from collections.abc import Iterable
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from lit_attr.benchmark.results import Results

__all__ = ["Cell", "Table", "number", "print_tables", "score_tables"]

_ARROWS = {True: " \N{UPWARDS ARROW}", False: " \N{DOWNWARDS ARROW}", None: ""}


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
    columns = ["method", *(label + _ARROWS[metric.higher_is_better] for label, metric in metrics.items())]
    columns += ["forward", "backward", "samples/s"] if whole else []
    rows, least = [], set[int]()
    for name in results.names:
        cells = [Cell(name if name in results.benchmark.methods else f"{name} (control)")]
        for label in metrics:
            summary = results.summaries.get((name, label), {}).get(group)
            cells.append(number(float(summary.value), float(summary.standard_error)) if summary else number(None))
            least |= {summary.samples} if summary else set()
        if whole:
            speed = results.speed[name].per_second if name in results.benchmark.methods else None
            cells += [*map(number, results.passes[name]), number(speed)]
        rows.append(cells)
    counted = f"{max(least, default=0)} samples" if len(least) <= 1 else f"{min(least)} to {max(least)} samples"
    title = f"All samples ({counted})" if whole else f"Confidence {group.replace('_', ' ')} ({counted})"
    return Table(title, columns, rows, _notes(results) if whole else [])


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
