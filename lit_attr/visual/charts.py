"""Curves, scatter plots and ranks as SVG that takes its colours from the page: text, lines, points, no files."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Point", "Series", "curves_svg", "line_sample", "lines_svg", "ranks_svg", "scatter_svg", "value_range"]

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 40
_COLOURS = 10
_RANKS_TOP, _ROW, _BAR = 44, 17, 7


class Point(NamedTuple):
    """A method in a scatter plot."""

    name: str
    x: float
    y: float
    number: int
    """Which colour it has."""


class Series(NamedTuple):
    """A line: positions, values there, and the ends of their intervals where they have some."""

    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()


class _Axis(NamedTuple):
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """A few round values."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = 10 ** math.floor(math.log10((self.high - self.low) or 1.0))
        step = next(s for s in (step / 5, step / 2, step, 2 * step) if (self.high - self.low) / s <= 6)
        return [n * step for n in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def curves_svg(curves: Mapping[str, Sequence[float]], numbers: Mapping[str, int], title: str, along: str) -> str:
    """Mean curves over 0..1 of `along`.

    Args:
        curves: values per name; control maps are those without a number.
        numbers: which colour a name has.
        title: what is drawn, for those who do not see it.
        along: the label of the x axis.
    """
    lines = {
        name: Series([i / max(1, len(values) - 1) for i in range(len(values))], values)
        for name, values in curves.items()
    }
    return lines_svg(lines, numbers, title, along, x_range=(0.0, 1.0))


def lines_svg(
    lines: Mapping[str, Series],
    numbers: Mapping[str, int],
    title: str,
    along: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    marks: bool = False,
) -> str:
    """Lines over positions of their own, each maybe with an interval.

    Args:
        lines: by name; what is not finite is left out of a line.
        numbers: which colour a name has; control maps are those without a number.
        title: what is drawn, for those who do not see it.
        along: the label of the x axis.
        x_range: the ends of the x axis; None for those of the lines.
        y_range: likewise of the y axis, for plots that are to be compared. None begins at 0 where that costs little.
        marks: show the points of a line, each with its numbers.
    """
    xs = [x for line in lines.values() for x in line.xs]
    left, right = x_range or (min(xs, default=0.0), max(xs, default=1.0))
    low, high = y_range or value_range([v for of in lines.values() for v in (*of.ys, *of.lows, *of.highs)])
    x = _Axis(left, right if right > left else left + 1, _LEFT, _WIDTH - _RIGHT)
    y = _Axis(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = [*_frame(x, y, along, "")]
    for name, line in lines.items():
        of = style(numbers.get(name))
        ends = [(a, *b) for a, *b in zip(line.xs, line.lows, line.highs, strict=False) if all(map(math.isfinite, b))]
        around = [(a, b) for a, b, _ in ends] + [(a, b) for a, _, b in reversed(ends)]
        shape = f'<polygon class="{of}" points="{_path(around, x, y)}"/>' if around else ""
        points = [(a, b) for a, b in zip(line.xs, line.ys, strict=True) if math.isfinite(b)]
        shown = "".join(
            f'<circle class="{of}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.6">'
            f"<title>{escape(name)}: {b:.4g} at {a:.4g}</title></circle>"
            for a, b in (points if marks or len(points) == 1 else [])
        )
        line_shown = f'<polyline class="{of}" points="{_path(points, x, y)}"/><title>{escape(name)}</title>'
        parts.append(f'<g data-name="{escape(name)}">{shape}{line_shown}{shown}</g>')
    return _svg(title, parts)


def value_range(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis that shows all finite values."""
    every = [value for value in values if math.isfinite(value)]
    low, high = min(every, default=0.0), max(every, default=1.0)
    low = 0.0 if 0 <= low <= high / 2 else low  # zero is shown where that costs little
    return low, high if high > low else low + 1


def scatter_svg(
    points: Sequence[Point], levels: Mapping[str, float], title: str, x_name: str, y_name: str, *, log: bool = True
) -> str:
    """Methods as points over an x axis, control maps, which have no cost, as levels.

    Args:
        points: with finite x, positive on a logarithmic axis.
        levels: values of y by name.
        title: what is drawn, for those who do not see it.
        x_name: label of the x axis.
        y_name: label of the y axis.
        log: whether the x axis is logarithmic.
    """
    xs, ys = [point.x for point in points], [*(point.y for point in points), *levels.values()]
    margin = 0.08 * ((max(ys) - min(ys)) or abs(max(ys)) or 1.0)
    reach = (max(xs) - min(xs)) or abs(max(xs)) or 1.0
    ends = (min(xs) / 1.6, max(xs) * 3.2) if log else (min(xs) - 0.1 * reach, max(xs) + 0.25 * reach)
    x = _Axis(*ends, _LEFT, _WIDTH - _RIGHT, log=log)  # room for names on the right
    y = _Axis(min(ys) - margin, max(ys) + margin, _HEIGHT - _BOTTOM, _TOP)
    parts = [*_frame(x, y, x_name, y_name)]
    taken: list[_Label] = []
    for name, level in sorted(levels.items(), key=lambda item: item[1]):
        height = min([y(level) - 4, *(label.y - 11.5 for label in taken)])
        taken.append(_Label(_WIDTH - _RIGHT - 2, height, "end"))
        parts.append(
            f'<line class="level" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        )
        parts.append(_text(name, taken[-1], "tick"))
    places = [(x(point.x), y(point.y)) for point in points]
    for point, place, label in zip(points, places, _placed([p.name for p in points], places, taken), strict=True):
        told = f"<title>{escape(point.name)}: {point.y:.4g} at {point.x:.4g}</title>"
        circle = f'<circle class="{style(point.number)}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="4.5"/>'
        parts.append(f'<g data-name="{escape(point.name)}">{circle}{told}{_text(point.name, label)}</g>')
    return _svg(title, parts)


def ranks_svg(
    ranks: Mapping[str, float],
    numbers: Mapping[str, int],
    cliques: Sequence[Sequence[str]],
    distance: float,
    title: str,
) -> str:
    """A critical-difference diagram with a row per name, the best first: mean ranks, and bars at names that are alike.

    Args:
        ranks: mean rank by name, finite.
        numbers: which colour a name has; control maps are those without a number.
        cliques: names that are not shown to differ.
        distance: the critical difference, drawn as a length; left out where it is longer than the axis.
        title: what is drawn, for those who do not see it.
    """
    order = sorted(ranks, key=ranks.__getitem__)
    columns = _columns([sorted(order.index(name) for name in clique) for clique in cliques])
    left = 12 + 6.6 * max(map(len, order))
    right = _WIDTH - 52 - _BAR * len(columns)  # a rank and the bars stand beyond it
    bottom = _RANKS_TOP + _ROW * len(order)
    x = _Axis(1, max(2, len(order)), left, right)
    ends = f'y1="{_RANKS_TOP - 4}" y2="{bottom - 8}"'
    ticks = [1.0, *(tick for tick in x.ticks() if tick > 1 and tick == round(tick))]
    parts = [f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" {ends}/>' for tick in ticks]
    parts += [_text(f"{tick:g}", _Label(x(tick), _RANKS_TOP - 9, "middle"), "tick") for tick in ticks]
    if distance <= x.high - 1:
        parts.append(f'<path class="length" d="M{x(1):.1f},10v8m0,-4H{x(1 + distance):.1f}m0,-4v8"/>')
        parts.append(_text(f"critical difference {distance:.2f}", _Label(x(1 + distance) + 6, 17.5, "start"), "tick"))
    for row, name in enumerate(order):
        y, kind = _RANKS_TOP + _ROW * (row + 0.5), style(numbers.get(name))
        stem = f'<polyline class="{kind}" points="{x(1):.1f},{y:.1f} {x(ranks[name]):.1f},{y:.1f}"/>'
        point = f'<circle class="{kind}" cx="{x(ranks[name]):.1f}" cy="{y:.1f}" r="4"/>'
        words = _text(name, _Label(left - 8, y + 3.5, "end"))
        rank = _text(f"{ranks[name]:.2f}", _Label(x(ranks[name]) + 8, y + 3.5, "start"), "tick")
        parts.append(f'<g data-name="{escape(name)}">{stem}{point}{words}{rank}</g>')
    for column, bars in enumerate(columns):
        at = _WIDTH - 6 - _BAR * (len(columns) - 1 - column)
        for first, last in bars:
            reach = [_RANKS_TOP + _ROW * first + 3, _RANKS_TOP + _ROW * (last + 1) - 3]
            parts.append(f'<line class="clique" x1="{at}" x2="{at}" y1="{reach[0]}" y2="{reach[1]}"/>')
    return _svg(title, parts, bottom)


def _columns(cliques: Sequence[Sequence[int]]) -> list[list[tuple[int, int]]]:
    """First and last row of each bar, those that would touch beside each other."""
    columns: list[list[tuple[int, int]]] = []
    for first, last in sorted((rows[0], rows[-1]) for rows in cliques):
        column = next((bars for bars in columns if bars[-1][1] < first), None)
        if column is None:
            columns.append([(first, last)])
        else:
            column.append((first, last))
    return columns


def style(number: int | None) -> str:
    """Class names of a line or point: its colour, dashed from the second round of colours on; grey for controls."""
    if number is None:
        return "control"
    return f"c{number % _COLOURS}" + (" again" if number >= _COLOURS else "")


def line_sample(number: int | None) -> str:
    """A piece of the line that has this number, for a legend."""
    return f'<svg viewBox="0 0 22 8" aria-hidden="true"><polyline class="{style(number)}" points="1,4 21,4"/></svg>'


def _path(points: Sequence[tuple[float, float]], x: _Axis, y: _Axis) -> str:
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)


def _frame(x: _Axis, y: _Axis, x_name: str, y_name: str) -> Iterator[str]:
    for tick in y.ticks():
        place = y(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
        yield f'<text class="tick" text-anchor="end" x="{_LEFT - 6}" y="{place + 3.5:.1f}">{tick:.3g}</text>'
    for tick in x.ticks():
        below = f'text-anchor="middle" x="{x(tick):.1f}" y="{_HEIGHT - _BOTTOM + 15}"'
        yield f'<text class="tick" {below}>{tick:,.4g}</text>'
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'<text class="tick" text-anchor="middle" x="{middle}" y="{_HEIGHT - 6}">{escape(x_name)}</text>'
    if y_name:
        yield (
            f'<text class="tick" text-anchor="middle" transform="translate(11 {(_HEIGHT - _BOTTOM + _TOP) / 2}) '
            f'rotate(-90)">{escape(y_name)}</text>'
        )


class _Label(NamedTuple):
    """A name: where it begins or ends, its baseline, and which of the two."""

    x: float
    y: float
    anchor: str


def _placed(names: Sequence[str], places: Sequence[tuple[float, float]], taken: Sequence[_Label]) -> list[_Label]:
    """A label beside each place: right of it, left of it, or as far up or down as no other name or place is there."""
    boxes = [(x - 5, x + 5, y + 3.5) for x, y in places] + [(label.x - 60, label.x, label.y) for label in taken]
    found = []
    for name, (x, y) in zip(names, places, strict=True):
        width = 6.6 * len(name)
        sides = ((x + 8, x + 8 + width, "start"), (x - 8 - width, x - 8, "end"))
        free = (
            (left, right, y + 3.5 + step, anchor)
            for step in sorted(range(-60, 61, 4), key=abs)
            for left, right, anchor in sides
            if left >= _LEFT
            and all(abs(y + 3.5 + step - h) >= 11.5 or left > end or right < start for start, end, h in boxes)
        )
        left, right, height, anchor = next(free, (x + 8, x + 8 + width, y + 3.5, "start"))
        boxes.append((left, right, height))
        found.append(_Label(left if anchor == "start" else right, height, anchor))
    return found


def _text(text: str, label: _Label, kind: str = "name") -> str:
    at = f'x="{label.x:.1f}" y="{label.y:.1f}" text-anchor="{label.anchor}"'
    return f'<text class="{kind}" {at}>{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str], height: float = _HEIGHT) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">' + "".join(parts) + "</svg>"
