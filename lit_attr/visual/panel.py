"""One explained sample on one picture: the input, a heat-map per method, and the curves they were measured by."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr.visual.classes import class_overlay
from lit_attr.visual.curves import COLOURS, INK, PALE, Line, new_figure, plot_lines, to_array
from lit_attr.visual.images import RGB, to_numpy, to_picture
from lit_attr.visual.maps import SIGNED, Heat, overlay, scaled, to_rgb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RIGHT, WRONG = "#1a7f37", "#c0271a"
# Pixels: a cell and the picture in it, the room above the picture, a line below it, the room under the last line.
# Pictures of 8, 16, 28, 32, 56, 112 and 224 pixels are shown at whole multiples.
CELL, SIDE, HEAD, LINE, FOOT = 244, 224, 42, 15, 12
METHODS_IN_A_ROW = 5
_NUMBER = 54  # pixels for a number beside a scale
_LINE_COLOUR = (20, 20, 20)


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """One explained sample.

    Args:
        image: `[C, H, W]`, as the model got it.
        index: the number of the sample in its data set.
        prediction: the name of the predicted class.
        confidence: its probability, in [0, 1].
        maps: attribution `[C, H, W]` or `[1, H, W]` per method.
        label: the name of the true class, or None where there is none.
        curves: per method, values `[T + 1]` of each kind of curve ("insertion", "deletion") over the fractions
            0, 1/T, ..., 1 of the image.
        scores: per method, what to print under its map; one that has the name of a curve also stands in its legend.
        segments: of a segmenter, the class of each pixel `[H, W]` by what it is ("labels", "prediction").
        outline: the explained region, bool `[H, W]`, drawn around on the maps.

    Raises:
        ArgumentError: for a map that is not of the image's size.
    """

    image: Tensor
    index: int
    prediction: str
    confidence: float
    maps: Mapping[str, Tensor]
    label: str | None = None
    curves: Mapping[str, Mapping[str, Tensor]] = dataclasses.field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    segments: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    outline: Tensor | None = None

    def __post_init__(self) -> None:
        size = tuple(self.image.shape[-2:])
        every = {f"maps['{name}']": values for name, values in self.maps.items()}
        every |= {} if self.outline is None else {"outline": self.outline}
        for name, values in every.items():
            if tuple(values.shape[-2:]) != size:
                raise ArgumentError(name, f"shape {tuple(values.shape)}", f"of the image's size {size}")


class Place(NamedTuple):
    """A cell: the figure and the pixel, counted from its upper left corner, where the cell's picture begins."""

    figure: "Figure"
    left: int
    top: int

    def write(self, x: int, y: int, text: str, colour: str, **style: Any) -> None:
        """Put a line of text at (x, y) from the picture's corner; `y` is its baseline."""
        width, height = self.figure.bbox.width, self.figure.bbox.height
        where = (self.left + x) / width, 1 - (self.top + y) / height
        self.figure.text(*where, text, color=colour, parse_math=False, **{"fontsize": 7.5, **style})

    def show(self, picture: RGB, y: int = 0, x: int = 0) -> None:
        """Put a picture, pixel by pixel."""
        height = int(self.figure.bbox.height)
        self.figure.figimage(picture, self.left + x, height - self.top - y - len(picture))


def draw(panel: Panel) -> RGB:
    """Draw a panel: the input, the classes of its pixels, one map per method, then one plot per kind of curve.

    Maps with a sign have red for and blue against the explained class, those without one pale to dark red; above each
    is its scale with the numbers at its ends (see `heat`). A method has
    its colour in its heading and in the plots, where the legend gives the area under its curve; of more than six there
    is no room for one. More than five methods wrap onto further rows.

    Returns:
        uint8 `[H, W, 3]`, 244 pixels per cell in width. Panels of the same methods and scores have one size.

    Example:
        >>> image = torch.rand(1, 8, 8)
        >>> draw(Panel(image, index=3, prediction="seven", confidence=0.9, maps={"ig": image})).shape
        (308, 488, 3)
    """
    kinds = list(dict.fromkeys(kind for curves in panel.curves.values() for kind in curves))
    cells = 1 + len(panel.segments) + len(panel.maps) + len(kinds)
    lines = max([2, *(len(panel.scores.get(name, {})) + 1 for name in panel.maps)])
    most = 1 + len(panel.segments) + METHODS_IN_A_ROW + 2
    places = grid(cells, most if len(panel.maps) > METHODS_IN_A_ROW else cells, lines)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate({**panel.maps, **panel.curves})}
    place = next(places)
    _draw_input(place, panel)
    for name, classes in panel.segments.items():
        _draw_segments(next(places), panel, name, classes)
    for name in panel.maps:
        _draw_map(next(places), panel, name, colours[name])
    for kind in kinds:
        _draw_curves(next(places), panel, kind, colours)
    return to_array(place.figure)


def grid(cells: int, most_columns: int, lines: int) -> Iterator[Place]:
    """A new figure's cells, row by row; the rows are as equal as can be."""
    rows = math.ceil(cells / most_columns)
    columns = math.ceil(cells / rows)
    height = HEAD + SIDE + lines * LINE + FOOT
    figure = new_figure(columns * CELL, rows * height)
    for cell in range(cells):
        row, column = divmod(cell, columns)
        yield Place(figure, column * CELL + (CELL - SIDE) // 2, row * height + HEAD)


def _draw_input(place: Place, panel: Panel) -> None:
    known, right = panel.label is not None, panel.label == panel.prediction
    mark, colour = ("\N{CHECK MARK} ", RIGHT) if right else ("\N{BALLOT X} ", WRONG)
    place.write(0, -22, short(mark * known + panel.prediction), colour if known else INK, fontsize=9, weight="bold")
    facts = f"{panel.confidence:.0%}  #{panel.index}" + f"  label: {panel.label}" * (known and not right)
    place.write(0, -7, short(facts, 38), PALE)
    place.show(fit(to_picture(panel.image)))
    place.show(to_rgb(torch.linspace(-1, 1, SIDE).expand(6, -1)), SIDE + 8)
    place.write(0, SIDE + 8 + LINE + 2, "against", PALE)
    place.write(SIDE, SIDE + 8 + LINE + 2, "for", PALE, ha="right")


def draw_scale(place: Place, shown: Heat) -> None:
    """The colours of a map with their numbers, on the line above it; of a map that shows nothing its note."""
    low, high = shown.ends
    if not high:
        place.write(0, -7, shown.note, WRONG)
        return
    place.write(0, -7, low, PALE)
    place.write(SIDE, -7, high, PALE, ha="right")
    ends = (-1.0 if shown.cmap == SIGNED else 0.0), 1.0
    place.show(to_rgb(torch.linspace(*ends, SIDE - 2 * _NUMBER).expand(6, -1), shown.cmap), -13, _NUMBER)


def _draw_map(place: Place, panel: Panel, name: str, colour: str) -> None:
    shown = scaled(panel.maps[name])
    place.write(0, -22, short(name), colour, fontsize=9, weight="bold")
    draw_scale(place, shown)
    place.show(outlined(fit(overlay(panel.image, shown.values, cmap=shown.cmap)), panel.outline))
    for row, (metric, score) in enumerate(panel.scores.get(name, {}).items(), start=1):
        place.write(0, SIDE + row * LINE, short(metric), PALE)
        place.write(SIDE, SIDE + row * LINE, number(score), INK, ha="right")
    if shown.scale:
        place.write(0, SIDE + (len(panel.scores.get(name, {})) + 1) * LINE, shown.note, WRONG)


def _draw_segments(place: Place, panel: Panel, name: str, classes: Tensor) -> None:
    place.write(0, -7, short(name), INK, fontsize=9, weight="bold")
    place.show(outlined(fit(class_overlay(panel.image, classes)), panel.outline))


def _draw_curves(place: Place, panel: Panel, kind: str, colours: Mapping[str, str]) -> None:
    figure, margin = place.figure, 22
    width, height = figure.bbox.width, figure.bbox.height
    corner = (place.left + margin) / width, 1 - (place.top + SIDE) / height
    axis = figure.add_axes((*corner, (SIDE - margin) / width, SIDE / height))
    lines = []
    for name, curves in panel.curves.items():
        if kind in curves:
            ys = to_numpy(curves[kind])
            area = panel.scores.get(name, {}).get(kind, float(np.trapezoid(ys, dx=1 / max(1, len(ys) - 1))))
            xs = list(np.linspace(0, 1, len(ys)))
            lines.append(Line(f"{short(name, 18)}  {area:.3f}", xs, ys.tolist(), colours[name]))
    plot_lines(axis, lines, kind, "fraction of the image", legend=len(lines) <= METHODS_IN_A_ROW + 1)
    axis.set_xlim(0, 1)
    if all(0 <= y <= 1 for line in lines for y in line.ys):  # probabilities: one scale for all samples
        axis.set_ylim(-0.01, 1.01)


def fit(picture: RGB) -> RGB:
    """Scale to the side of a cell's picture, single pixels kept sharp in small ones, centred on white."""
    height, width = picture.shape[:2]
    zoom = SIDE / max(height, width)
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    how = Image.Resampling.NEAREST if zoom >= 1.5 else Image.Resampling.LANCZOS
    canvas = np.full((SIDE, SIDE, 3), 255, np.uint8)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = np.asarray(Image.fromarray(picture).resize(size, how))
    return canvas


def outlined(picture: RGB, region: Tensor | None) -> RGB:
    """A picture of `fit` with a line around a region of the image it shows, bool `[H, W]`; one without is left alone.

    Example:
        >>> region = torch.zeros(8, 8, dtype=torch.bool)
        >>> region[2:4, 2:4] = True
        >>> int((outlined(fit(np.full((8, 8, 3), 255, np.uint8)), region) < 255).any(-1).sum())
        220
    """
    if region is None:
        return picture
    inside = fit(np.where(to_numpy(region)[..., None] > 0, 0, 255).astype(np.uint8).repeat(3, -1))[..., 0] < 128
    padded = np.pad(inside, 1)
    around = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    drawn = picture.copy()
    drawn[inside & ~around] = _LINE_COLOUR
    return drawn


def short(text: str, most: int = 26) -> str:
    """At most `most` characters of it."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def number(score: float) -> str:
    """A score in at most seven characters."""
    return f"{score:.3f}" if score == 0 or 1e-3 <= abs(score) < 1e3 else f"{score:.1e}"
