"""The critical-difference diagram: average ranks on an axis, methods that are not shown to differ under one bar.

Paper: Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006, figure 1.

Deviations: the best methods are at the left, and names stand on both sides in the order of the ranks, so that lines do
not cross; the rank is told beside the name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lit_attr._checks import ArgumentError
from lit_attr.visual.curves import COLOURS, INK, PALE, new_figure, to_array
from lit_attr.visual.images import RGB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Pixels: the axis of ranks; a name; title, scale and length of the distance; between bars of cliques; below these.
_AXIS, _ROW, _TOP, _BAR, _GAP = 420, 22, 96, 11, 14
_LETTER, _NUMBER = 7, 44  # pixels: of a name's letter, at most on average, and of a rank beside it


def critical_difference_picture(
    ranks: Mapping[str, float], cliques: Iterable[Sequence[str]], distance: float, title: str = ""
) -> RGB:
    """Draw average ranks with their critical difference.

    Args:
        ranks: the average rank by name, 1 is the best; two or more.
        cliques: names that are not shown to differ, joined by a bar.
        distance: the critical difference, drawn as a length; left out where it is longer than the axis.
        title: what is ranked.

    Returns:
        uint8 `[H, W, 3]`, higher the more names and bars there are, wider the longer the names are.

    Raises:
        ArgumentError: for fewer than two names, ranks that are not finite, or a clique with an unknown name.

    Example:
        >>> critical_difference_picture({"ig": 1.2, "rise": 2.0, "noise": 2.8}, [("ig", "rise")], 0.9).shape
        (169, 680, 3)
    """
    cliques = [tuple(clique) for clique in cliques]
    if len(ranks) < 2 or not all(abs(rank) < float("inf") for rank in ranks.values()):
        raise ArgumentError("ranks", dict(ranks), "finite ranks of two names or more")
    unknown = [name for clique in cliques for name in clique if name not in ranks]
    if unknown:
        raise ArgumentError("cliques", unknown, "of names that have a rank")
    order = sorted(ranks, key=ranks.__getitem__)
    half = -(-len(order) // 2)
    names_at = _TOP + _BAR * len(_levels(cliques, ranks)) + _GAP
    height = names_at + _ROW * half + 4
    margin = max(130, 30 + _NUMBER + _LETTER * max(len(name) for name in order))
    width = 2 * margin + _AXIS
    figure = new_figure(width, height)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    plot = _Plot(axis, len(order), margin)
    plot.scale(title, distance)
    for row, name in enumerate(order[:half]):
        plot.name(name, ranks[name], names_at + _ROW * row, at_left=True)
    for row, name in enumerate(reversed(order[half:])):
        plot.name(name, ranks[name], names_at + _ROW * row, at_left=False)
    for level, bars in enumerate(_levels(cliques, ranks)):
        for low, high in bars:
            plot.bar(low, high, _TOP + _BAR * (level + 1) - 3)
    return to_array(figure)


class _Plot:
    """An axis of matplotlib in pixels from the upper left corner, with a scale of ranks 1..k."""

    def __init__(self, axis: "Axes", count: int, left: int) -> None:
        self.axis, self.count, self.left = axis, count, left

    def x(self, rank: float) -> float:
        """Where a rank lies."""
        return self.left + _AXIS * (rank - 1) / (self.count - 1)

    def text(self, x: float, y: float, words: str, size: float = 8, **settings: str) -> None:
        """Words that are never read as a formula."""
        settings = {"ha": "center", "va": "center", "color": INK, **settings}
        self.axis.text(x, y, words, fontsize=size, parse_math=False, **settings)  # type: ignore[arg-type]

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str = PALE, width: float = 0.8) -> None:
        """A line through points."""
        self.axis.plot(xs, ys, color=colour, linewidth=width, solid_capstyle="butt", solid_joinstyle="miter")

    def scale(self, title: str, distance: float) -> None:
        """Title, the axis with its ticks, and the critical difference as a length."""
        self.text(10, 14, title, 9, ha="left", fontweight="bold")
        self.line([self.x(1), self.x(self.count)], [_TOP, _TOP], INK, 1.2)
        for rank in range(1, self.count + 1):
            self.line([self.x(rank)] * 2, [_TOP - 6, _TOP], INK, 1.2)
            self.text(self.x(rank), _TOP - 15, str(rank), 7.5)
        self.text(self.x(1), _TOP - 31, "best", 7, color=PALE)
        if distance <= self.count - 1:
            ends = [self.x(1), self.x(1 + distance)]
            self.line(ends, [48, 48], INK, 1.2)
            for end in ends:
                self.line([end, end], [44, 52], INK, 1.2)
            self.text(sum(ends) / 2, 36, f"critical difference {distance:.2f}", 7.5)

    def name(self, name: str, rank: float, y: float, *, at_left: bool) -> None:
        """A name at one side, and the line from the axis to it."""
        side, beyond = ("right", -1) if at_left else ("left", 1)
        edge = self.x(1 if at_left else self.count) + 16 * beyond
        self.line([self.x(rank), self.x(rank), edge], [_TOP, y, y])
        self.text(edge + 5 * beyond, y, f"{rank:.2f}", 7, ha=side, color=PALE)
        self.text(edge + _NUMBER * beyond, y, name, 8.5, ha=side)

    def bar(self, low: float, high: float, y: float) -> None:
        """What joins ranks that are not shown to differ."""
        self.axis.plot([self.x(low) - 3, self.x(high) + 3], [y, y], color=COLOURS[0], linewidth=3.2, zorder=3)


def _levels(cliques: Sequence[Sequence[str]], ranks: Mapping[str, float]) -> list[list[tuple[float, float]]]:
    """The ends of the bars, those that would touch below each other."""
    levels: list[list[tuple[float, float]]] = []
    for low, high in sorted((min(map(ranks.__getitem__, c)), max(map(ranks.__getitem__, c))) for c in cliques if c):
        room = 0.03 * len(ranks)
        level = next((bars for bars in levels if bars[-1][1] + room < low), None)
        if level is None:
            levels.append([(low, high)])
        else:
            level.append((low, high))
    return levels
