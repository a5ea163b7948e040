"""Grad-CAM: the channels of a spatial layer, weighted by their mean gradient.

Paper: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017,
section 3. The score is the logit, as in the paper. Where no layer is named, the last one with a spatial output is
taken, in the same forward pass (see `_places`), told once, and reported in `Explanation.info["layer"]`. Of tokens the
ones in front of the grid (the class token) are left out of the mean and of the map, as is usual.

With a `RegionTarget` it is Seg-Grad-CAM: Vinogradova, Dibrov, Myers, "Towards Interpretable Semantic Segmentation via
Gradient-Weighted Class Activation Mapping", 2020, with the mean instead of the sum over the region, which scales a map.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lit_attr._view import Passes, View
from lit_attr.attribution._cam import cam, pooled
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
            it and that the evidence depends on: of a vision transformer the LayerNorm before the last attention. Of a
            segmenter it takes the last one with the most channels, where as a rule the encoder ends.

    Raises:
        ValueError: if the layer does not exist, is not spatial, or its places do not lead to the output.

    Example:
        >>> import torch
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
        objective = get_objective(self.objective)
        found = cam(view, view.inputs, self.layer, pooled, objective, self.max_batch, "Grad-CAM")
        return Explanation(found.maps, info={} if found.layer is None else {"layer": found.layer})

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass (a part of one).

        Where no layer is named, the first chunk costs one forward more if the model overwrites the output of the layer
        it found in place, as DenseNet does, and one backward more if the gradient of a vision transformer is zero.
        """
        return Passes(1, 1)
