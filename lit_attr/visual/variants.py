"""Samples beside their variants of which a model has lost its confidence, one a row."""

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr.visual.adversarial import draw_difference
from lit_attr.visual.curves import INK, PALE, to_array
from lit_attr.visual.images import RGB, to_picture
from lit_attr.visual.maps import heat, overlay
from lit_attr.visual.panel import LINE, RIGHT, SIDE, WRONG, Place, fit, grid, number, short

__all__ = ["VariantSample", "draw_variants"]

Predictions = Mapping[str, tuple[str, float]]


@dataclasses.dataclass(frozen=True, eq=False)
class VariantSample:
    """One sample, its variant and the map of the walk.

    Args:
        image: `[C, H, W]`.
        variant: `[C, H, W]`.
        attribution: `[C, H, W]` or `[1, H, W]`.
        index: the number of the sample in its data set.
        label: the name of the true class.
        before: by the name of a model, the class that it predicts of the image, and its probability.
        after: likewise of the variant.
        distances: to print under the difference, by name.

    Raises:
        ArgumentError: for a variant or a map that is not of the image's size.
    """

    image: Tensor
    variant: Tensor
    attribution: Tensor
    index: int
    label: str
    before: Predictions
    after: Predictions
    distances: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        size = tuple(self.image.shape[-2:])
        for name, values in [("variant", self.variant), ("attribution", self.attribution)]:
            if tuple(values.shape[-2:]) != size:
                raise ArgumentError(name, f"shape {tuple(values.shape)}", f"of the image's size {size}")


def draw_variants(samples: Sequence[VariantSample]) -> RGB:
    """Draw of each sample the image, the variant, their difference magnified and SIGMA's map, one sample a row.

    Under image and variant stand the predictions of the models.

    Args:
        samples: at least one.

    Returns:
        uint8 `[H, W, 3]`, 244 pixels per cell in width.

    Raises:
        ArgumentError: for no sample.

    Example:
        >>> import torch
        >>> image, said = torch.rand(3, 8, 8), {"model": ("seven", 0.9)}
        >>> draw_variants([VariantSample(image, 1 - image, image, 3, "seven", said, said)] * 2).shape
        (616, 976, 3)
    """
    if not samples:
        raise ArgumentError("samples", "none", "at least one")
    lines = 1 + max(len(numbers) for s in samples for numbers in (s.before, s.after, s.distances))
    places = list(grid(4 * len(samples), 4, lines))
    for row, sample in enumerate(samples):
        image, variant, difference, walk = places[4 * row : 4 * row + 4]
        _draw_image(image, f"image  #{sample.index}", sample.image, sample.before, sample.label)
        _draw_image(variant, "variant", sample.variant, sample.after, sample.label)
        draw_difference(difference, sample.image, sample.variant, sample.distances)
        values, note = heat(sample.attribution)
        walk.write(0, -22, "SIGMA", INK, fontsize=9, weight="bold")
        walk.write(0, -7, f"where {short(sample.label, 18)} lost its confidence", PALE)
        walk.show(fit(overlay(sample.image, values)))
        walk.write(0, SIDE + LINE, note, WRONG)
    return to_array(places[0].figure)


def _draw_image(place: Place, title: str, image: Tensor, predictions: Predictions, label: str) -> None:
    place.write(0, -22, title, INK, fontsize=9, weight="bold")
    place.write(0, -7, f"label: {short(label)}", PALE)
    place.show(fit(to_picture(image)))
    for row, (model, (name, sure)) in enumerate(predictions.items(), start=1):
        place.write(0, SIDE + row * LINE, short(model), PALE)
        told = f"{short(name, 16)} {number(sure)}"
        place.write(SIDE, SIDE + row * LINE, told, RIGHT if name == label else WRONG, ha="right")
