"""SIA: steps along the mean gradient of copies whose blocks are changed, each in its own way.

Paper: Wang et al., "Structure Invariant Transformation for Better Adversarial Transferability", 2023, section 3.3, with
the ten transformations of its code. Deviation: what is cut off of a block's spectrum is rounded down, so of blocks of
one or two pixels nothing, where the code cuts off all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError, positive_int
from lit_attr.updates._maps import between, cosines
from lit_attr.updates.iterative import IterativeRule
from lit_attr.updates.rules import UPDATES
from lit_attr.updates.step import Step

__all__ = ["SIA"]

_NOISE = 16 / 255  # in units of the input
_SMALLER = 0.8
_CUT_OFF = 0.4  # of a block's rows and columns of frequencies
_DROPPED = 0.1  # of the channels


@UPDATES.register("sia")
@dataclass(frozen=True)
class SIA(IterativeRule):
    """The structure invariant attack: a copy is cut at random places into blocks x blocks parts.

    Each part is changed in one of ten ways: rolled down, rolled to the right, flipped along either axis or both,
    darkened, noisy, resized to 80 % and back, without its highest frequencies, without some of its channels.
    The gradients are carried back through this. Places and changes are drawn for a copy and are the same for all
    samples and their paths; the noise is another one for each path. Noise and resizing stay inside the walk's bounds.

    Args:
        copies: how many.
        blocks: how many parts along each axis.

    Raises:
        ValueError: for what is no image, and for images that have fewer pixels than `blocks` along an axis.
    """

    IMAGES: ClassVar[bool] = True

    momentum: float = 1.0
    copies: int = 20
    blocks: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("copies", self.copies)
        positive_int("blocks", self.blocks)

    @property
    def count(self) -> int:
        """How many copies are asked."""
        return self.copies

    def copy(self, points: Tensor, step: Step, number: int) -> Tensor:  # noqa: ARG002 - a slot
        """One copy."""
        height, width = points.shape[2:]
        if min(height, width) < self.blocks:
            got, most = f"{self.blocks} for images of {height}x{width} pixels", min(height, width)
            raise ArgumentError("blocks", got, f"at most {most}")
        rows, columns = (_sides(size, self.blocks, step) for size in (height, width))
        parts = [
            torch.cat([_CHANGES[_below(len(_CHANGES), step)](block, step) for block in torch.split(row, columns, 3)], 3)
            for row in torch.split(points, rows, 2)
        ]
        return torch.cat(parts, 2)


def _sides(size: int, blocks: int, step: Step) -> list[int]:
    """Of the parts of one axis: each has a pixel at least."""
    cuts = (torch.randperm(size - 1, generator=step.generator)[: blocks - 1] + 1).sort().values.tolist()
    return [stop - start for start, stop in zip([0, *cuts], [*cuts, size], strict=True)]


def _below(count: int, step: Step) -> int:
    return int(torch.randint(count, (1,), generator=step.generator))


def _rolled_down(block: Tensor, step: Step) -> Tensor:
    return block.roll(_below(block.shape[2], step), 2)


def _rolled_right(block: Tensor, step: Step) -> Tensor:
    return block.roll(_below(block.shape[3], step), 3)


def _flipped(*axes: int) -> Callable[[Tensor, Step], Tensor]:
    def flip(block: Tensor, step: Step) -> Tensor:  # noqa: ARG001 - as all changes
        return block.flip(axes)

    return flip


def _darker(block: Tensor, step: Step) -> Tensor:
    return block * float(torch.rand(1, generator=step.generator))


def _noisy(block: Tensor, step: Step) -> Tensor:
    drawn = torch.rand(step.walks.paths, *block.shape[1:], generator=step.generator)
    return _inside(block + _NOISE * (2 * drawn.to(block)[step.walks.path] - 1), step)


def _resized(block: Tensor, step: Step) -> Tensor:
    size = block.shape[2:]
    small = F.interpolate(block, [int(_SMALLER * side) + 1 for side in size], mode="bilinear")
    return _inside(F.interpolate(small, size, mode="bilinear"), step)


def _low_frequencies(block: Tensor, step: Step) -> Tensor:  # noqa: ARG001 - as all changes
    kept = (axis[: len(axis) - int(_CUT_OFF * len(axis))] for axis in cosines(block))
    rows, columns = (axis.mT @ axis for axis in kept)
    return between(rows, block, columns)


def _without_channels(block: Tensor, step: Step) -> Tensor:
    kept = torch.rand(block.shape[1], 1, 1, generator=step.generator) >= _DROPPED
    return block * kept.to(block) / (1 - _DROPPED)


def _inside(block: Tensor, step: Step) -> Tensor:
    return block if step.bounds is None else block.clamp(*step.bounds)


_CHANGES: tuple[Callable[[Tensor, Step], Tensor], ...] = (
    _rolled_down,
    _rolled_right,
    _flipped(2),
    _flipped(3),
    _flipped(2, 3),
    _darker,
    _noisy,
    _resized,
    _low_frequencies,
    _without_channels,
)
