"""Seg-XRes-CAM: a spatial layer times its gradient, which is pooled in blocks.

Paper: Hasany, Petitjean, Mériaudeau, "Seg-XRes-CAM: Explaining Spatially Local Regions in Image Segmentation", CVPRW
2023: between Grad-CAM, which pools over all places, and HiResCAM, which pools nothing. The region is that of a
`RegionTarget`; other targets do, too. Deviations: the mean instead of the sum over the region, and no scaling of the
map to [0, 1], which both leave the order of the places as it is. The layer is found as in `GradCAM`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._cam import cam
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.objectives import get_objective

__all__ = ["XResCAM"]

Pooling: TypeAlias = Literal["max", "mean"]


@METHODS.register("xres_cam")
@dataclass(frozen=True, eq=False)
class XResCAM(Method):
    """M = ReLU(sum_k P(df/da_k) * a_k), upsampled bilinearly to the input: `[B, 1, H, W]`.

    P pools the gradient in blocks that do not overlap and gives every place of a block what was found. In [0, inf),
    float32.

    Args:
        layer: dotted name of a spatial submodule; None finds one; see `GradCAM`.
        block: the side of a block, in places of the layer; those at the lower and right border may be smaller. With 1
            it is `HiResCAM`; with the mean over one block of all places, `GradCAM`.
        pooling: what is found in a block: the largest gradient ("max"), or the "mean".

    Raises:
        ValueError: as `GradCAM`, for an unknown pooling, and a block below one place.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> XResCAM()(net, torch.rand(1, 1, 8, 8), 0).shape
        torch.Size([1, 1, 8, 8])
    """

    ABOUT: ClassVar[About] = About(
        "the last spatial layer times its gradient, pooled in blocks", "", "images, a spatial layer"
    )

    layer: str | None = None
    block: int = 2
    pooling: Pooling = "max"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("block", self.block)
        one_of("pooling", self.pooling, get_args(Pooling))

    def attribute(self, view: View) -> Explanation:
        """One forward, and one backward that ends at the layer."""
        objective = get_objective(self.objective)
        found = cam(view, view.inputs, self.layer, self._weights, objective, self.max_batch, "Seg-XRes-CAM")
        return Explanation(found.maps, info={} if found.layer is None else {"layer": found.layer})

    def _weights(self, gradient: Tensor) -> Tensor:
        size = self.block
        if self.pooling == "max":
            blocks = F.max_pool2d(gradient, size, ceil_mode=True)
        else:
            blocks = F.avg_pool2d(gradient, size, ceil_mode=True, count_include_pad=False)
        spread = blocks.repeat_interleave(size, 2).repeat_interleave(size, 3)
        return spread[:, :, : gradient.shape[2], : gradient.shape[3]]

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass (a part of one); of the first chunk more, as `GradCAM` says."""
        return Passes(1, 1)
