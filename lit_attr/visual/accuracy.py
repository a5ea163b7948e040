"""Accuracy over the strength of attacks or of noise, with its interval."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lit_attr.visual.curves import COLOURS, Line, new_figure, plot_lines, to_array
from lit_attr.visual.images import RGB

__all__ = ["AccuracyCurve", "accuracy_picture"]


class AccuracyCurve(NamedTuple):
    """One curve.

    Attributes:
        name: in the legend.
        xs: strengths, ascending.
        ys: accuracies there.
        lows: the lower ends of their intervals.
        highs: the upper ends.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]

    @property
    def area(self) -> float:
        """The area under the curve by the width of its range, in [0, 1]; of a single point its value."""
        width = self.xs[-1] - self.xs[0]
        if width == 0:
            return self.ys[0]
        parts = zip(self.xs, self.xs[1:], self.ys, self.ys[1:], strict=False)
        return sum((b - a) * (u + v) / 2 for a, b, u, v in parts) / width


def accuracy_picture(curves: Iterable[AccuracyCurve], title: str, x_name: str) -> RGB:
    """Draw curves of accuracy with their intervals, and the area under each in the legend.

    Args:
        curves: each with strengths of its own.
        title: what is shown.
        x_name: the label of the x axis.

    Returns:
        uint8 `[308, 440, 3]`.

    Example:
        >>> curve = AccuracyCurve("pgd", [0.0, 0.5], [1.0, 0.5], [0.9, 0.4], [1.0, 0.6])
        >>> curve.area, accuracy_picture([curve], "accuracy under attack", "eps").shape
        (0.75, (308, 440, 3))
    """
    figure = new_figure(440, 308)
    axis = figure.add_axes((0.1, 0.14, 0.87, 0.76))
    lines = []
    for i, curve in enumerate(curves):
        colour = COLOURS[i % len(COLOURS)]
        axis.fill_between(curve.xs, curve.lows, curve.highs, color=colour, alpha=0.12, linewidth=0)
        axis.plot(curve.xs, curve.ys, ".", color=colour, markersize=4, label="_points")
        lines.append(Line(f"{curve.name}  {curve.area:.3f}", curve.xs, curve.ys, colour))
    points = len(axis.lines)
    plot_lines(axis, lines, title, x_name, legend=False)
    shown = axis.legend(
        axis.lines[points:],
        [line.label for line in lines],
        loc="best",
        fontsize=7,
        framealpha=0.8,
        edgecolor="none",
        title="area",
        title_fontsize=7,
    )
    for text in shown.get_texts():
        text.set(parse_math=False)
    axis.set_ylim(-0.02, 1.02)
    return to_array(figure)
