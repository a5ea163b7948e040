"""The matrix of who fools whom as a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lit_attr._checks import ArgumentError
from lit_attr.visual.curves import INK, PALE, new_figure, to_array
from lit_attr.visual.images import RGB
from lit_attr.visual.panel import short

__all__ = ["matrix_picture"]


def matrix_picture(values: Sequence[Sequence[float]], names: Sequence[str], title: str) -> RGB:
    """A square matrix of shares as a heat-map with its numbers: made on (rows), tried on (columns).

    Args:
        values: in [0, 1], or NaN for none.
        names: of rows and columns.
        title: what is shown.

    Returns:
        uint8 `[H, W, 3]`, growing with the matrix.

    Raises:
        ArgumentError: for a matrix that is not as large as the names are many.

    Example:
        >>> matrix_picture([[1.0, 0.2], [0.4, 1.0]], ["plain", "robust"], "transfer of pgd").shape
        (286, 308, 3)
    """
    numbers = np.asarray(values, dtype=float)
    count = len(names)
    if numbers.shape != (count, count):
        raise ArgumentError("values", f"shape {numbers.shape}", f"a {count} x {count} matrix")
    cell, left, top, foot = 84, 130, 84, 34
    width, height = left + count * cell + 10, top + count * cell + foot
    figure = new_figure(width, height)
    corner = left / width, foot / height, count * cell / width, count * cell / height
    axis = figure.add_axes(corner)
    axis.imshow(numbers, cmap="Blues", vmin=0, vmax=1)
    for row in range(count):
        for column in range(count):
            value = numbers[row, column]
            text, colour = ("-", INK) if np.isnan(value) else (f"{value:.2f}", "white" if value > 0.6 else INK)
            axis.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    shown = [short(name, 16) for name in names]
    axis.set_xticks(range(count), [short(name, 11) for name in names], fontsize=8, color=INK, parse_math=False)
    axis.set_yticks(range(count), shown, fontsize=8, color=INK, parse_math=False)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    style: dict[str, Any] = {"parse_math": False, "color": PALE, "fontsize": 8}
    figure.text(8 / width, 1 - 18 / height, title, color=INK, fontsize=9, fontweight="bold", parse_math=False)
    figure.text((left + count * cell / 2) / width, 1 - 46 / height, "tried on", ha="center", **style)
    figure.text(8 / width, 1 - 72 / height, "made on", **style)
    figure.text(left / width, 10 / height, "share of samples fooled", **style)
    return to_array(figure)
