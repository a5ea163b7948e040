"""Images whose label has two known causes: a bright disc, and a key somewhere else that names its class."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import positive_int

__all__ = ["Scenes", "keyed_scenes", "swap_distractors", "swap_keys"]

SIZE = 32
_PATCH, _RADIUS = 4, 4
_RED, _BLUE = (0.95, 0.05, 0.05), (0.05, 0.05, 0.95)
_GREEN, _YELLOW = (0.05, 0.95, 0.05), (0.95, 0.95, 0.05)
_WHITE = (1.0, 1.0, 1.0)
_CELLS = 4  # a side: things lie in cells of their own, so that none covers another
_CELL = SIZE // _CELLS


class Scenes(NamedTuple):
    """A batch of scenes.

    Attributes:
        images: `[B, 3, 32, 32]` in [0, 1], float32.
        labels: 0 where disc or key is missing, 1 for a disc and a red key, 2 for a disc and a blue one, `[B]`.
        disc: where it is, bool `[B, 32, 32]`: what a person would call the object.
        key: where it is, bool `[B, 32, 32]`.
        distractors: where the green and yellow patches are, which mean nothing, bool `[B, 32, 32]`.
    """

    images: Tensor
    labels: Tensor
    disc: Tensor
    key: Tensor
    distractors: Tensor

    @property
    def truth(self) -> Tensor:
        """What the label rests on: disc and key, bool `[B, 32, 32]`."""
        return self.disc | self.key


def keyed_scenes(count: int, seed: int = 0, *, complete: bool = False) -> Scenes:
    """Scenes on textured grey ground, drawn from a generator of their own.

    Half have a disc and a key; of the rest, half lack the disc and half the key. The key is as often red as blue, and
    two distractors are always there.

    Args:
        count: number of scenes.
        seed: the same seed gives the same scenes.
        complete: give all a disc and a key.

    Example:
        >>> scenes = keyed_scenes(8, complete=True)
        >>> scenes.images.shape, bool((scenes.labels > 0).all()), bool((scenes.disc & scenes.key).any())
        (torch.Size([8, 3, 32, 32]), True, False)
    """
    positive_int("count", count)
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    coarse = F.interpolate(draw(count, 1, 8, 8), size=SIZE, mode="bilinear")
    images = (0.2 + 0.3 * coarse + 0.1 * draw(count, 3, SIZE, SIZE)).clamp(0, 1)
    cells = draw(count, _CELLS**2).argsort(1)[:, :4]  # of disc, key and distractors
    offsets = (draw(count, 4, 2) * (_CELL - _PATCH + 1)).long()
    blue, kind = draw(count) < 0.5, draw(count)
    no_disc, no_key = ((kind >= 0.5) & (kind < 0.75), kind >= 0.75) if not complete else (kind > 2, kind > 2)
    disc = _disc(cells[:, 0]) & ~no_disc[:, None, None]
    key = _patch(cells[:, 1], offsets[:, 1]) & ~no_key[:, None, None]
    green, yellow = (_patch(cells[:, i], offsets[:, i]) for i in (2, 3))
    colours = torch.where(blue[:, None], torch.tensor(_BLUE), torch.tensor(_RED))
    for where, colour in [(disc, torch.tensor(_WHITE)), (key, colours), (green, _GREEN), (yellow, _YELLOW)]:
        images = torch.where(where[:, None], torch.as_tensor(colour).view(-1, 3, 1, 1), images)
    labels = torch.where(no_disc | no_key, 0, 1 + blue.long())
    return Scenes(images, labels, disc, key, green | yellow)


def swap_keys(scenes: Scenes) -> Tensor:
    """The same images with red keys blue and blue keys red: their labels 1 and 2 change places."""
    return torch.where(scenes.key[:, None], scenes.images.flip(1), scenes.images)


def swap_distractors(scenes: Scenes) -> Tensor:
    """The same images with the distractors' colours exchanged, green for yellow: no label changes."""
    turned = scenes.images.clone()
    turned[:, 0] = 1 - turned[:, 0]
    return torch.where(scenes.distractors[:, None], turned, scenes.images)


def _places() -> tuple[Tensor, Tensor]:
    side = torch.arange(SIZE)
    return side[:, None], side[None]


def _disc(cell: Tensor) -> Tensor:
    y, x = _places()
    middle = [(part * _CELL + _CELL / 2 - 0.5).view(-1, 1, 1) for part in (cell // _CELLS, cell % _CELLS)]
    return (y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= (_RADIUS - 0.5) ** 2


def _patch(cell: Tensor, offset: Tensor) -> Tensor:
    y, x = _places()
    corners = torch.stack([cell // _CELLS, cell % _CELLS], dim=1) * _CELL + offset
    top, left = corners[:, 0].view(-1, 1, 1), corners[:, 1].view(-1, 1, 1)
    return (y >= top) & (y < top + _PATCH) & (x >= left) & (x < left + _PATCH)
