"""What was logged as charts over epochs, related names in one, and as a table of last, lowest and highest values."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from lit_attr.report.reading import History
from lit_attr.visual.charts import Series, line_sample, lines_svg
from lit_attr.visual.html import figures, sortable

__all__ = ["cards", "history_charts", "history_table", "keys"]

_STAGES = ("train", "val", "test")
_STRENGTH = re.compile(r"\d+(_\d+)?(\.\d+)?")  # "8_255", "0.1", "3"
# What stands at the top, where it was logged: name and how it is called.
_CARDS = [
    ("accuracy", "accuracy"),
    ("acc", "accuracy"),
    ("miou", "mean IoU"),
    ("loss", "loss"),
]
_FEW = 12  # names that are shown at once
Values = Sequence[tuple[float, float]]


class Chart(NamedTuple):
    """The section of a chart, what is drawn, and the name of a line in it."""

    section: str
    title: str
    line: str


def history_charts(history: History, order: Sequence[str] = ()) -> dict[str, str]:
    """Charts by the part of the page that they belong to; names with one value are left to the table.

    Args:
        history: what was logged.
        order: of the names of lines, for one colour in all charts; others come after these.
    """
    found: dict[str, dict[str, dict[str, Values]]] = {}
    for name, values in history.values.items():
        chart = chart_of(name)
        if len(values) > 1:
            found.setdefault(chart.section, {}).setdefault(chart.title, {})[chart.line] = values
    end = max((place for values in history.values.values() for place, _ in values), default=1.0)
    return {
        section: figures(
            (title, _chart(title, lines, history.along, end, order)) for title, lines in sorted(charts.items())
        )
        for section, charts in found.items()
    }


def chart_of(name: str) -> Chart:
    """Where a logged name is drawn: the same quantity of train and val, of all methods, of all strengths together.

    Example:
        >>> chart_of("val/loss"), chart_of("explain/ig/gap/below_0.7")
        (Chart(section='Training', title='loss', line='val'), Chart(section='Explanations', title='gap, below_0.7', ...
        >>> chart_of("robust/pgd/8_255"), chart_of("robust/pgd/auc").title
        (Chart(section='Robustness', title='accuracy under pgd', line='8/255'), 'auc')
    """
    first, *rest = name.split("/")
    if not rest:
        stage, _, metric = name.partition("_")  # "val_loss", as many modules log it
        return Chart("Training", metric, stage) if stage in _STAGES and metric else Chart("Other", name, name)
    if first in _STAGES:
        return Chart("Training", "/".join(rest), first)
    if first.startswith("explain") and len(rest) > 1:
        return Chart("Explanations", ", ".join(rest[1:]), rest[0])
    if first.startswith("robust"):
        return _robust(rest)
    return Chart("Other", name, "/".join(rest))


def _robust(rest: list[str]) -> Chart:
    if len(rest) == 1:
        return Chart("Robustness", rest[0] if rest[0] == "mce" else "accuracy", rest[0])
    if _STRENGTH.fullmatch(rest[1]) or rest[1] == "accuracy":
        return Chart("Robustness", f"accuracy under {rest[0]}", rest[1].replace("_", "/"))
    return Chart("Robustness", "/".join(rest[1:]), rest[0])


def keys(names: Mapping[str, int | None], told: Mapping[str, str]) -> str:
    """The legend of a chart: a piece of each line, its name and what is told of it."""
    parts = []
    for name, number in names.items():
        parts.append(f"<span>{line_sample(number)}{escape(name)} <b>{escape(told.get(name, ''))}</b></span>")
    return f'<div class="keys">{"".join(parts)}</div>'


def history_table(history: History) -> str:
    """Every name: its last value, and of several the lowest and highest with their places; many are behind a click."""
    several = any(len(values) > 1 for values in history.values.values())
    at = f"at {history.along}"
    columns = ["name", "last", *(["lowest", at, "highest", at] * several)]
    body: list[list[tuple[str, object]]] = []
    for name, values in sorted(history.values.items(), key=lambda item: (not item[0].startswith(_STAGES), item[0])):
        cells: list[tuple[str, object]] = [(name, None), _cell(values[-1][1])]
        for end in [min, max] * several:
            place, value = end(values, key=lambda point: point[1])
            cells += [_cell(value), (f"{place:.4g}", place)]
        body.append(cells)
    few = body if len(body) <= _FEW else [row for row in body if row[0][0].startswith(_STAGES)]
    shown = sortable("Logged values", columns, few)
    if len(few) == len(body):
        return shown
    every = sortable("All logged values", columns, body)
    return f"{shown}<details><summary>All {len(body)} logged values</summary>{every}</details>"


def cards(history: History) -> str:
    """The few numbers that are looked for first."""
    found: list[tuple[str, float]] = []
    for stage in ("test", "val"):
        for metric, called in _CARDS:
            found += [(f"{called} ({stage})", v[-1][1]) for n, v in history.values.items() if n == f"{stage}/{metric}"]
    for name, called in (("clean", "accuracy, tried samples"), ("worst_case", "of them under every attack")):
        found += [(called, v[-1][1]) for n, v in history.values.items() if n == f"robust/{name}"]
    gaps = {n.split("/")[1]: v[-1][1] for n, v in history.values.items() if re.fullmatch("explain/[^/]+/gap", n)}
    if gaps:
        best = max(gaps, key=gaps.__getitem__)
        found.append((f"largest gap ({best})", gaps[best]))
    inside = "".join(f"<div><b>{_number(value)}</b><span>{escape(text)}</span></div>" for text, value in found)
    return f'<div class="cards">{inside}</div>' if inside else ""


def _chart(title: str, lines: Mapping[str, Values], along: str, end: float, order: Sequence[str]) -> str:
    names = {name: i for i, name in enumerate(_ordered(lines, order))}
    series = {name: Series([x for x, _ in lines[name]], [y for _, y in lines[name]]) for name in names}
    few = max(len(line.xs) for line in series.values()) <= 40
    told = {name: _number(line.ys[-1]) for name, line in series.items()}
    svg = lines_svg(series, names, f"{title} over {along}s", f"{along}s", x_range=(0, end), marks=few)
    return svg + keys(names, told)


def _ordered(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """Strengths by their size, other names as asked for, then as they came."""
    every = list(names)
    if all(_STRENGTH.fullmatch(name.replace("/", "_")) for name in every):
        return sorted(every, key=_size)
    first = [*_STAGES, *order]
    return sorted(every, key=lambda name: first.index(name) if name in first else len(first))


def _size(strength: str) -> float:
    over, _, under = strength.partition("/")
    return float(over) / float(under or 1)


def _cell(value: float) -> tuple[str, float | None]:
    return _number(value), value if math.isfinite(value) else None


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"
