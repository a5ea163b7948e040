"""Scores as a picture: methods by metrics, each metric in a plot of its own."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from lit_attr.visual.curves import COLOURS, INK, PALE, new_figure, to_array
from lit_attr.visual.images import RGB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Pixels: a plot with its numbers, the numbers alone, a method's line, the room above and below the lines.
WIDTH, NUMBERS, LINE, HEAD, FOOT = 280, 60, 22, 34, 40
LETTER, MOST = 7, 26  # the width of a letter of a name, and how many are shown
IN_A_ROW = 3


class Score(NamedTuple):
    """A mean over samples and its standard error, NaN where there is none."""

    value: float
    standard_error: float = math.nan


def scores_picture(
    scores: Mapping[str, Mapping[str, Score]], higher_is_better: Mapping[str, bool | None] | None = None
) -> RGB:
    """Draw the scores of methods, one plot per metric: a dot with a bar of one standard error to each side.

    All plots have the methods in one order, the best of the first metric at the top. The best of each metric is filled.
    A score that is not finite is left out, its method stands last.

    Args:
        scores: of each metric, by method.
        higher_is_better: by metric; of one that is None or left out no method is the best.

    Returns:
        uint8 `[H, W, 3]`, in which a method has 22 pixels of the height; more than three metrics wrap.

    Example:
        >>> found = {"insertion": {"ig": Score(0.7, 0.02), "random": Score(0.4, 0.03)}}
        >>> scores_picture(found, {"insertion": True}).shape
        (118, 334, 3)
    """
    better = dict.fromkeys(scores) | dict(higher_is_better or {})
    methods = list(dict.fromkeys(method for found in scores.values() for method in found))
    for metric in list(scores)[:1]:
        methods = _ranked(methods, scores[metric], better[metric])
    names = 12 + LETTER * max((len(_short(method)) for method in methods), default=0)
    columns = max(1, min(IN_A_ROW, len(scores)))
    high = HEAD + LINE * len(methods) + FOOT
    wide, tall = names + columns * WIDTH, high * max(1, math.ceil(len(scores) / columns))
    figure = new_figure(wide, tall)
    for number, (metric, found) in enumerate(scores.items()):
        row, column = divmod(number, columns)
        left, bottom = names + column * WIDTH, tall - (row + 1) * high + FOOT
        size = (WIDTH - NUMBERS) / wide, LINE * len(methods) / tall
        axis = figure.add_axes((left / wide, bottom / tall, *size))
        ranked = _ranked(methods, found, better[metric])
        best = ranked[0] if ranked and better[metric] is not None else None
        _plot(axis, {method: found.get(method, Score(math.nan)) for method in methods}, best, COLOURS[number % 10])
        axis.set_title(_short(metric), loc="left", fontsize=9, fontweight="bold", color=INK, pad=5, parse_math=False)
        words = {True: "more is better", False: "less is better", None: ""}[better[metric]]
        axis.set_xlabel(words, fontsize=7, color=PALE, labelpad=2)
        if column:
            axis.tick_params(labelleft=False)
    return to_array(figure)


def _ranked(methods: list[str], found: Mapping[str, Score], better: bool | None) -> list[str]:
    """The best first, those without a finite score last."""
    known = [method for method in methods if method in found and math.isfinite(found[method].value)]
    if better is not None:
        known.sort(key=lambda method: found[method].value, reverse=better)
    return known + [method for method in methods if method not in known]


def _plot(axis: "Axes", found: Mapping[str, Score], best: str | None, colour: str) -> None:
    """One metric, its methods from the top down."""
    axis.grid(visible=True, linewidth=0.5, color="#e4e4e4")
    axis.set_axisbelow(True)
    for place, (method, (value, error)) in enumerate(found.items()):
        if not math.isfinite(value):
            continue
        if math.isfinite(error):
            axis.plot([value - error, value + error], [place, place], color=colour, linewidth=1.4)
        axis.plot(value, place, "o", color=colour, markersize=6, markerfacecolor=colour if method == best else "white")
        number = axis.text(1.04, place, f"{value:.3f}", transform=axis.get_yaxis_transform(), fontsize=7, va="center")
        number.set(color=INK if method == best else PALE, weight="bold" if method == best else "normal")
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.margins(x=0.08)
    axis.set_yticks(range(len(found)), [_short(method) for method in found], parse_math=False)
    axis.tick_params(labelsize=7.5, length=0, labelcolor=INK, pad=4, axis="y")
    axis.tick_params(labelsize=6.5, length=2, width=0.6, color=PALE, labelcolor=PALE, pad=2, axis="x")
    axis.locator_params(axis="x", nbins=5)
    for side, spine in axis.spines.items():
        spine.set(visible=side in {"left", "bottom"}, color="#bbbbbb", linewidth=0.6)


def _short(text: str) -> str:
    return text if len(text) <= MOST else text[: MOST - 1] + "\N{HORIZONTAL ELLIPSIS}"
