"""Curves as pictures: the axes of a panel, and a figure of its own for loggers that cannot draw."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lit_attr.visual.images import RGB

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
INK, PALE = "#222222", "#6f6f6f"
COLOURS = ("#3b63c4", "#d9730d", "#23884d", "#b8327f", "#7d55c7", "#8a5a3c", "#178aa8", "#8c841a", "#e0503f", "#56636b")


class Line(NamedTuple):
    """One curve: its name in the legend, `T` positions, `T` values, a colour of matplotlib."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: str


def curves_picture(xs: Sequence[float], ys: Mapping[str, Sequence[float]], title: str, x_name: str) -> RGB:
    """Draw named curves over one x axis.

    Args:
        xs: the positions, `T` numbers.
        ys: `T` values per name.
        title: what the curves show.
        x_name: the label of the x axis.

    Returns:
        uint8 `[308, 440, 3]`.

    Example:
        >>> curves_picture([0, 1], {"ig": [0, 0.5]}, "insertion", "fraction").shape
        (308, 440, 3)
    """
    figure = new_figure(440, 308)
    lines = [Line(name, xs, values, COLOURS[i % len(COLOURS)]) for i, (name, values) in enumerate(ys.items())]
    plot_lines(figure.add_axes((0.1, 0.14, 0.87, 0.76)), lines, title, x_name)
    return to_array(figure)


def plot_lines(axis: "Axes", lines: Iterable[Line], title: str, x_name: str, *, legend: bool = True) -> None:
    """Draw curves and their legend into an axis of matplotlib. After ten lines the colours come again, dashed.

    Names are never read as formulas: a class may be called "$5 note".
    """
    lines = list(lines)
    for i, line in enumerate(lines):
        style = "-" if i < len(COLOURS) else "--"
        axis.plot(line.xs, line.ys, color=line.colour, linewidth=1.5, linestyle=style)
    axis.set_title(title, loc="left", fontsize=9, fontweight="bold", color=INK, pad=5, parse_math=False)
    axis.set_xlabel(x_name, fontsize=7, color=PALE, labelpad=2, parse_math=False)
    axis.tick_params(labelsize=6.5, length=2, width=0.6, color=PALE, labelcolor=PALE, pad=2)
    axis.grid(visible=True, linewidth=0.5, color="#e4e4e4")
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set(visible=side in {"left", "bottom"}, color="#bbbbbb", linewidth=0.6)
    if not legend:
        return
    shown = axis.legend(
        axis.lines,
        [line.label for line in lines],
        loc="best",
        fontsize=7,
        framealpha=0.8,
        edgecolor="none",
        borderpad=0.2,
        labelspacing=0.2,
        handlelength=1.2,
        handletextpad=0.5,
    )
    for text in shown.get_texts():
        text.set(parse_math=False, color=INK)


def new_figure(width: int, height: int) -> "Figure":
    """An empty white figure of `width` x `height` pixels that pyplot does not know, so nothing has to be closed."""
    from matplotlib.figure import Figure  # slow to import

    # The half pixel keeps the division from losing one.
    return Figure(figsize=((width + 0.5) / DPI, (height + 0.5) / DPI), dpi=DPI, facecolor="white")


def to_array(figure: "Figure") -> RGB:
    """Draw a figure to uint8 `[H, W, 3]`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib's Agg backend has no annotations
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
