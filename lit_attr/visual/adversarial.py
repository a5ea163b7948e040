"""One attacked sample on one picture: before, after, the difference, and explanations of both."""

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr.visual.curves import INK, PALE, to_array
from lit_attr.visual.images import RGB, to_picture
from lit_attr.visual.maps import overlay, scaled
from lit_attr.visual.panel import LINE, RIGHT, SIDE, WRONG, Place, draw_scale, fit, grid, number, short

__all__ = ["AttackedSample", "draw_attacked"]


@dataclasses.dataclass(frozen=True, eq=False)
class AttackedSample:
    """One sample before and after an attack.

    Args:
        image: `[C, H, W]`.
        adversarial: `[C, H, W]`.
        index: the number of the sample in its data set.
        label: the name of the true class.
        attack: the name of the attack, with its eps.
        predictions: the predicted class and its probability, before and after.
        distances: to print under the difference, by name.
        maps: attributions `[C, H, W]` or `[1, H, W]` before and after; None leaves their two cells out.
        method: the name of the attribution method.
        similarity: of the two maps, to print under the second, by name.

    Raises:
        ArgumentError: for an adversarial image or a map that is not of the image's size.
    """

    image: Tensor
    adversarial: Tensor
    index: int
    label: str
    attack: str
    predictions: tuple[tuple[str, float], tuple[str, float]]
    distances: Mapping[str, float] = dataclasses.field(default_factory=dict)
    maps: tuple[Tensor, Tensor] | None = None
    method: str = ""
    similarity: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        size = tuple(self.image.shape[-2:])
        for name, values in [("adversarial", self.adversarial), *(("maps", values) for values in self.maps or ())]:
            if tuple(values.shape[-2:]) != size:
                raise ArgumentError(name, f"shape {tuple(values.shape)}", f"of the image's size {size}")


def draw_attacked(sample: AttackedSample) -> RGB:
    """Draw clean, adversarial, their difference magnified, and the explanations of both where there are.

    The difference is grey where nothing changed, brighter where the attack added and darker where it took away; its
    largest value is black or white, and the factor is printed. Both maps have their own scale (see `heat`).

    Returns:
        uint8 `[H, W, 3]`, 244 pixels per cell in width.

    Example:
        >>> import torch
        >>> image = torch.rand(3, 8, 8)
        >>> sample = AttackedSample(image, image, 3, "seven", "pgd 8/255", (("seven", 0.9), ("one", 0.8)))
        >>> draw_attacked(sample).shape
        (308, 732, 3)
    """
    lines = 1 + max([1, len(sample.distances), len(sample.similarity)])
    cells = 3 if sample.maps is None else 5
    places = list(grid(cells, cells, lines))
    titles = f"clean  #{sample.index}", sample.attack
    for place, title, image, (name, sure) in zip(
        places, titles, (sample.image, sample.adversarial), sample.predictions, strict=False
    ):
        right = name == sample.label
        place.write(0, -22, short(title), INK, fontsize=9, weight="bold")
        mark = "\N{CHECK MARK}" if right else "\N{BALLOT X}"
        text = f"{mark} {name}  ({sure:.0%})" + ("" if right else f"  label: {sample.label}")
        place.write(0, -7, short(text, 38), RIGHT if right else WRONG)
        place.show(fit(to_picture(image)))
    draw_difference(places[2], sample.image, sample.adversarial, sample.distances)
    if sample.maps is not None:
        _draw_map(places[3], sample, "clean", sample.image, sample.maps[0])
        _draw_map(places[4], sample, "adversarial", sample.adversarial, sample.maps[1])
    return to_array(places[0].figure)


def draw_difference(place: Place, image: Tensor, changed: Tensor, distances: Mapping[str, float]) -> None:
    """Draw what was added to an image, and print distances under it."""
    change = (changed - image).float()
    largest = float(change.abs().max())
    factor = 0.5 / largest if largest else 1.0
    place.write(0, -22, "difference", INK, fontsize=9, weight="bold")
    place.write(0, -7, f"magnified {factor:.3g} times" if largest else "none", PALE)
    place.show(fit(to_picture((0.5 + factor * change).clamp(0, 1))))
    _write_numbers(place, distances)


def _draw_map(place: Place, sample: AttackedSample, which: str, image: Tensor, values: Tensor) -> None:
    shown = scaled(values)
    place.write(0, -22, short(f"{sample.method} of {which}, for {sample.label}", 32), INK, fontsize=9, weight="bold")
    draw_scale(place, shown)
    place.show(fit(overlay(image, shown.values, cmap=shown.cmap)))
    rows = sample.similarity if which == "adversarial" else {}
    _write_numbers(place, rows)
    if shown.scale:
        place.write(0, SIDE + (len(rows) + 1) * LINE, shown.note, WRONG)


def _write_numbers(place: Place, rows: Mapping[str, float]) -> None:
    for row, (name, value) in enumerate(rows.items(), start=1):
        place.write(0, SIDE + row * LINE, short(name), PALE)
        place.write(SIDE, SIDE + row * LINE, number(value), INK, ha="right")
