"""Scenes of which it is known what their labels rest on: a handwritten digit, and a key elsewhere that names its class.

The digit alone does not say of which class its pixels are, and the key alone does not say where they are: the cause of
the labels is the digit and the key, although the key lies outside the mask. Two more patches mean nothing.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError, positive_int
from lit_attr.datamodules._dataset import stratified_split
from lit_attr.datamodules._masked import MaskedImages
from lit_attr.datamodules._segmentation_sources import MaskSource
from lit_attr.datamodules._sources import Digits, Part

__all__ = ["DigitScenes", "digit_scenes"]

SIZE = 64
_QUARTER = SIZE // 2  # a side: things lie in quarters of their own, so that none covers another
_DIGIT, _PATCH = 24, 8
_INK = 0.4  # of which on a pixel belongs to the digit
_RED, _BLUE = (242, 13, 13), (13, 13, 242)
_GREEN, _YELLOW = (13, 242, 13), (242, 242, 13)
_COUNTS: dict[Part, int] = {"train": 1024, "val": 256, "test": 256}


class DigitScenes(NamedTuple):
    """A number of scenes.

    Attributes:
        images: uint8 `[N, 3, 64, 64]`.
        masks: the class of each pixel: 0 for the ground, the key and the distractors, and for those of the digit 1 with
            a red key and 2 with a blue one; uint8 `[N, 64, 64]`.
        digit: where it is, bool `[N, 64, 64]`.
        key: where it is, bool `[N, 64, 64]`.
        distractors: where the green and the yellow patch are, bool `[N, 64, 64]`.
    """

    images: Tensor
    masks: Tensor
    digit: Tensor
    key: Tensor
    distractors: Tensor

    @property
    def cause(self) -> Tensor:
        """What the labels rest on: digit and key, bool `[N, 64, 64]`."""
        return self.digit | self.key

    def with_swapped_keys(self) -> Tensor:
        """The same images with red keys blue and blue keys red: the classes 1 and 2 change places."""
        return torch.where(self.key[:, None], self.images.flip(1), self.images)

    def with_swapped_distractors(self) -> Tensor:
        """The same images with the distractors' colours exchanged, green for yellow: no label changes."""
        turned = self.images.clone()
        turned[:, 0] = 255 - turned[:, 0]
        return torch.where(self.distractors[:, None], turned, self.images)


def digit_scenes(digits: Tensor, count: int, seed: int = 0) -> DigitScenes:
    """Scenes on textured grey ground, drawn from a generator of their own.

    The key is as often red as blue. Digit, key and distractors lie in different quarters of the image.

    Args:
        digits: bright on black, uint8 `[M, h, w]`; each is taken about as often.
        count: number of scenes.
        seed: the same seed gives the same scenes.

    Raises:
        ArgumentError: for what are no such digits.

    Example:
        >>> cross = torch.tensor([[0, 255, 0], [255, 255, 255], [0, 255, 0]], dtype=torch.uint8)
        >>> scenes = digit_scenes(cross[None], 8)
        >>> scenes.images.shape, bool((scenes.digit & scenes.key).any())
        (torch.Size([8, 3, 64, 64]), False)
    """
    positive_int("count", count)
    if digits.dim() != 3 or digits.dtype != torch.uint8 or len(digits) == 0:
        raise ArgumentError("digits", f"{digits.dtype} {tuple(digits.shape)}", "uint8 [M, h, w], at least one")
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    ground = 0.2 + 0.3 * F.interpolate(draw(count, 1, 8, 8), size=SIZE, mode="bilinear")
    ground = ground + 0.1 * draw(count, 3, SIZE, SIZE)
    quarters = draw(count, 4).argsort(1)  # of digit, key and distractors
    corners = torch.stack([quarters // 2, quarters % 2], dim=2) * _QUARTER
    room = torch.tensor([_QUARTER - _DIGIT] + [_QUARTER - _PATCH] * 3)[:, None]
    corners = corners + (draw(count, 4, 2) * (room + 1)).long()
    blue = draw(count) < 0.5
    ink = _ink(digits[(draw(count) * len(digits)).long()], corners[:, 0])
    digit = ink > _INK
    key, green, yellow = (_patch(corners[:, i]) for i in (1, 2, 3))
    images = torch.where(digit[:, None], 0.75 + 0.25 * ink[:, None], ground).mul(255).round().to(torch.uint8)
    keys = torch.where(blue[:, None], _colour(_BLUE), _colour(_RED))
    for where, colour in [(key, keys), (green, _colour(_GREEN)), (yellow, _colour(_YELLOW))]:
        images = torch.where(where[:, None], colour[:, :, None, None], images)
    masks = digit * (1 + blue.to(torch.uint8))[:, None, None]
    return DigitScenes(images, masks, digit, key, green | yellow)


@dataclasses.dataclass(frozen=True)
class SceneSource(MaskSource):
    """Scenes of the digits that come with scikit-learn; those of each part have digits of their own."""

    class_names: tuple[str, ...] = ("ground", "digit_with_red_key", "digit_with_blue_key")
    size: int | None = None
    crop: int | None = None
    uniform: bool = True

    def prepare(self, root: Path, *, download: bool) -> None:
        """Nothing to do: the digits are installed with scikit-learn."""

    def parts(self, root: Path) -> tuple[Part, ...]:  # noqa: ARG002, the same wherever the root is
        return tuple(_COUNTS)

    def load(self, root: Path, part: Part) -> MaskedImages:
        digits, labels = Digits(8, (0.0,), (1.0,)).load(root, "test" if part == "test" else "train")
        if part != "test":
            parted = stratified_split(labels, 0.15, seed=0)  # not the user's seed: the scenes stay the same
            digits = torch.as_tensor(digits)[parted[0 if part == "train" else 1]]
        scenes = digit_scenes(torch.as_tensor(digits)[:, 0], _COUNTS[part], seed=list(_COUNTS).index(part))
        return MaskedImages(scenes.images, scenes.masks, scenes.cause)


def _colour(values: tuple[int, int, int]) -> Tensor:
    return torch.tensor([values], dtype=torch.uint8)


def _ink(digits: Tensor, corners: Tensor) -> Tensor:
    """The digits at their places, as shares of ink `[N, 64, 64]`."""
    large = F.interpolate(digits[:, None] / 255, size=_DIGIT, mode="bilinear")[:, 0]
    inside = torch.arange(_DIGIT)
    rows, columns = corners[:, 0, None] + inside, corners[:, 1, None] + inside
    ink = torch.zeros(len(digits), SIZE, SIZE)
    ink[torch.arange(len(digits))[:, None, None], rows[:, :, None], columns[:, None]] = large
    return ink


def _patch(corners: Tensor) -> Tensor:
    side = torch.arange(SIZE)
    inside = [(side >= start[:, None]) & (side < start[:, None] + _PATCH) for start in corners.unbind(1)]
    return inside[0][:, :, None] & inside[1][:, None]
