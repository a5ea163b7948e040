"""HiResCAM: a spatial layer times its gradient, place by place.

Papers: Draelos, Carin, "Use HiResCAM instead of Grad-CAM for Faithful Explanations of Convolutional Neural Networks",
2020, section 3; with a `RegionTarget`, Rheude et al., "Seg-HiRes-Grad CAM", 2024, with the mean instead of the sum over
the region, which scales a map. The layer is found as in `GradCAM`. Deviation: what speaks against the class is cut off
by a ReLU, as in Grad-CAM and in the segmentation paper's code; HiResCAM has none.

At the last features before a classifier of one pixel the gradient is zero outside the region, and so is the map: there
it says nothing about what the region rests on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lit_attr._view import Passes, View
from lit_attr.attribution._cam import cam, elementwise
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.objectives import get_objective

__all__ = ["HiResCAM"]


@METHODS.register("hires_cam")
@dataclass(frozen=True, eq=False)
class HiResCAM(Method):
    """M = ReLU(sum_k df/da_k * a_k), element by element, upsampled bilinearly to the input: `[B, 1, H, W]`.

    In [0, inf), float32.

    Args:
        layer: dotted name of a spatial submodule; None finds one; see `GradCAM`.

    Raises:
        ValueError: as `GradCAM`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> HiResCAM()(net, torch.rand(1, 1, 8, 8), 0).shape
        torch.Size([1, 1, 8, 8])
    """

    ABOUT: ClassVar[About] = About("the last spatial layer times its gradient", "", "images, a spatial layer")

    layer: str | None = None

    def attribute(self, view: View) -> Explanation:
        """One forward, and one backward that ends at the layer."""
        objective = get_objective(self.objective)
        found = cam(view, view.inputs, self.layer, elementwise, objective, self.max_batch, "HiResCAM")
        return Explanation(found.maps, info={} if found.layer is None else {"layer": found.layer})

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass (a part of one); of the first chunk more, as `GradCAM` says."""
        return Passes(1, 1)
