"""Grad-CAM: the channels of a spatial layer, weighted by their mean gradient.

Paper: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017,
section 3. The score is the logit, as in the paper. Where no layer is named, the last one with a spatial output is
taken, in the same forward pass (see `_places`), told once, and reported in `Explanation.info["layer"]`. Of tokens the
ones in front of the grid (the class token) are left out of the mean and of the map, as is usual.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr._chunks import in_chunks
from lit_attr._places import at_layer
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.objectives import get_objective

__all__ = ["GradCAM"]


@METHODS.register("grad_cam")
@dataclass(frozen=True, eq=False)
class GradCAM(Method):
    """M = ReLU(sum_k w_k a_k), w_k the mean over space of df/da_k, upsampled bilinearly to the input: `[B, 1, H, W]`.

    In [0, inf), float32. The layer's gradients may all be negative: then the map is zero.

    Args:
        layer: dotted name of a submodule with output `[B, C, h, w]`, `[B, h, w, C]` or tokens `[B, h*w, C]`, with or
            without a class token in front. Of a submodule that is used several times the last use counts. None takes
            the last one with several places in the proportions of the input that holds more than the layers before
            it and that the evidence depends on: of a vision transformer the LayerNorm before the last attention.

    Raises:
        ValueError: if the layer does not exist, is not spatial, or its places do not lead to the output.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> found = GradCAM().explain(net, torch.rand(1, 1, 8, 8), 0)
        >>> found.attribution.shape, found.info["layer"]
        (torch.Size([1, 1, 8, 8]), '1')
    """

    ABOUT: ClassVar[About] = About("channels of the last spatial layer", "", "images, a spatial layer")

    layer: str | None = None

    def attribute(self, view: View) -> Explanation:
        """One forward, and one backward that ends at the layer."""
        if view.inputs.dim() != 4:
            raise ArgumentError("inputs", f"shape {tuple(view.inputs.shape)}", "images [B, C, H, W]")
        objective, size, dtype = get_objective(self.objective), view.inputs.shape[2:], view.dtype
        maps = torch.zeros(len(view.inputs), 1, *size, device=view.inputs.device, dtype=dtype)
        layer, info = self.layer, dict[str, Any]()

        def work(start: int, stop: int) -> None:
            nonlocal layer
            rows = torch.arange(start, stop, device=maps.device)

            def score(evidence: Tensor) -> Tensor:
                return view.score(evidence, rows, objective)

            found = at_layer(view, view.inputs[rows], rows, score, layer, "Grad-CAM")
            layer = info["layer"] = found.name
            activation, gradient = (found.grid.places(part).to(dtype) for part in (found.output, found.gradient))
            weights = gradient.mean((2, 3), keepdim=True)
            cam = (weights * activation).sum(1, keepdim=True).relu()
            maps[start:stop] = F.interpolate(cam, size, mode="bilinear", align_corners=False)

        in_chunks(len(maps), view.inputs, self.max_batch, work)
        return Explanation(maps, info=info)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass (a part of one).

        Where no layer is named, the first chunk costs one forward more if the model overwrites the output of the layer
        it found in place, as DenseNet does, and one backward more if the gradient of a vision transformer is zero.
        """
        return Passes(1, 1)
