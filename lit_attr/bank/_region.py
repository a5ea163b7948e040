"""The class whose confidence a sample loses: its label, or of a mask that of its largest region."""

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr.targets import RegionTarget, Target


def class_of(label: int | Tensor, background: int | None = 0, ignore_index: int = 255) -> int:
    """A class index as it is; of a mask the class of the most pixels.

    Args:
        label: a class index, or the class of each pixel, an integer tensor `[H, W]`.
        background: a class that is taken only where there is no other; None for none.
        ignore_index: the label of pixels that do not count.

    Raises:
        ArgumentError: for a mask in which no pixel counts.

    Example:
        >>> class_of(3), class_of(torch.tensor([[0, 0, 0, 2, 2, 1, 255, 255, 255]]))
        (3, 2)
    """
    if not isinstance(label, Tensor):
        return label
    classes, counts = torch.unique(label, return_counts=True)  # sorted: of equally many pixels the first class
    found: dict[int, int] = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    found.pop(ignore_index, None)
    if not found:
        raise ArgumentError("a mask", f"none but {ignore_index}", "with a pixel that counts, for it to have a class")
    others = {index: count for index, count in found.items() if index != background} or found
    return max(others, key=others.__getitem__)


def target_of(masks: Tensor, background: int | None, ignore_index: int) -> Target:
    """What loses its confidence: the class of each mask `[B, H, W]`, over the pixels that have it."""
    index = masks.new_tensor([class_of(mask, background, ignore_index) for mask in masks.cpu()])
    return RegionTarget(index, masks == index[:, None, None])
