"""Maps of a spatial layer: its channels, weighted by what is made of their gradient, and enlarged to the image."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr._chunks import in_chunks
from lit_attr._places import at_layer
from lit_attr._view import View
from lit_attr.objectives import Objective

Weigh: TypeAlias = Callable[[Tensor], Tensor]
"""From the gradient at a layer `[N, K, h, w]` to the weights of what is there, broadcastable to it."""


class Cam(NamedTuple):
    """What was found.

    Attributes:
        maps: ReLU(sum_k w_k a_k), bilinearly enlarged, `[B, 1, H, W]`.
        layer: the name of the layer.
        evidence: of the points, from the same forward pass, `[B, K]`; None of no points.
    """

    maps: Tensor
    layer: str | None
    evidence: Tensor | None


def pooled(gradient: Tensor) -> Tensor:
    """One weight per channel, as in Grad-CAM."""
    return gradient.mean((2, 3), keepdim=True)


def elementwise(gradient: Tensor) -> Tensor:
    """The gradient itself, as in HiResCAM."""
    return gradient


def cam(
    view: View,
    points: Tensor,
    layer: str | None,
    weigh: Weigh,
    objective: Objective,
    max_batch: int | None,
    method: str,
) -> Cam:
    """One forward and one backward pass that ends at the layer, chunk by chunk.

    Args:
        view: the model.
        points: a variant of each sample of it, `[B, C, H, W]`.
        layer: its dotted name; None takes the last spatial one that the evidence depends on (see `_places`).
        weigh: what is made of the gradient.
        objective: what is differentiated.
        max_batch: the most points at once.
        method: who asks, for messages.

    Raises:
        ValueError: for inputs that are no images; if the layer does not exist or is not spatial, or none is.
    """
    images_only(points.shape)
    maps = torch.zeros(len(points), 1, *points.shape[2:], device=points.device, dtype=view.dtype)
    found = list[Tensor]()

    def work(start: int, stop: int) -> None:
        nonlocal layer
        rows, seen = torch.arange(start, stop, device=maps.device), list[Tensor]()

        def score(evidence: Tensor) -> Tensor:
            seen.append(evidence.detach())
            return view.score(evidence, rows, objective)

        at = at_layer(view, points[rows], rows, score, layer, method)
        layer = at.name
        activation, gradient = (at.grid.places(part).to(view.dtype) for part in (at.output, at.gradient))
        summed = (weigh(gradient) * activation).sum(1, keepdim=True).relu()
        maps[start:stop] = F.interpolate(summed, points.shape[2:], mode="bilinear", align_corners=False)
        found.append(seen[-1])

    in_chunks(len(maps), view.inputs, max_batch, work)
    return Cam(maps, layer, torch.cat(found) if found else None)


def images_only(shape: Sequence[int]) -> None:
    """Refuse inputs of another shape than that of images."""
    if len(shape) != 4:
        raise ArgumentError("inputs", f"shape {tuple(shape)}", "images [B, C, H, W]")
