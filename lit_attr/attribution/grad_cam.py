"""Grad-CAM: the channels of a spatial layer, weighted by their mean gradient.

Paper: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017,
section 3. The score is the logit, as in the paper. Where no layer is named, the last one with a spatial output is
taken, in the same forward pass (see `_layers`), told once, and reported in `Explanation.info["layer"]`. Of tokens the
ones in front of the grid (the class token) are left out of the mean and of the map, as is usual.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes, View
from lit_attr.attribution._layers import Grid, Layer, announce, searching, uncompiled, watching
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.objectives import Objective, get_objective

__all__ = ["GradCAM"]

_AT_ONCE = 8  # layers whose gradients are asked for together: those of some blocks, not a backward pass to the first


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
            found = _search(view, rows, objective) if layer is None else _named(view, rows, objective, layer)
            layer = info["layer"] = found.name
            activation, gradient = (found.grid.places(part).to(dtype) for part in (found.activation, found.gradient))
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


class _Found(NamedTuple):
    """A layer, its output for some samples and the gradient with respect to it."""

    name: str
    grid: Grid
    activation: Tensor
    gradient: Tensor


def _named(view: View, rows: Tensor, objective: Objective, layer: str) -> _Found:
    """The layer by this name, refused with a reason where Grad-CAM is not defined on it."""
    points = view.inputs[rows].requires_grad_()
    with watching(view.model, points.shape, layer) as named:
        evidence = view.evidence(points, rows)
    if named.rank < 0:
        msg = f"Grad-CAM: layer {layer} was not called in {_type(view.model)}; name another `layer`"
        raise ValueError(msg)
    if named.grid is None:
        got = tuple(named.output.shape) if isinstance(named.output, Tensor) else type(named.output).__name__
        accepted = "a layer with output [B, C, h, w], [B, h, w, C] or tokens [B, h*w, C] of the image"
        raise ArgumentError("layer", f"'{layer}', whose output is {got}", accepted)
    (gradient,) = view.derive(view.score(evidence, rows, objective), named.output)
    if named.grid.in_front and gradient.any() and not named.grid.places(gradient).any():
        reads = f"of which {_type(view.model)} reads the class token alone"
        msg = f"`layer` is '{layer}', {reads}; name one before the last attention"
        raise ValueError(msg)
    return _Found(layer, named.grid, named.output.detach(), gradient)


def _search(view: View, rows: Tensor, objective: Objective) -> _Found:
    """The last layer with places that the evidence depends on."""
    points = view.inputs[rows].requires_grad_()
    with searching(view.model, points.shape) as search:
        evidence = view.evidence(points, rows)
    options = search.options(evidence)
    if not options:
        msg = f"Grad-CAM found no submodule with a spatial output in {_type(view.model)}; name a `layer`"
        raise ValueError(msg)
    best, gradient = options[0], None
    values = view.score(evidence, rows, objective)
    if len(options) > 1:
        best, gradient = _decide(view, evidence, values, options)
    elif best.output is not None and not best.lost:
        (gradient,) = view.derive(values, best.output)
    announce(_type(view.model), best.name, best.grid.height, best.grid.width)
    if best.output is None or best.lost or gradient is None:
        return _named(view, rows, objective, best.name)
    return _Found(best.name, best.grid, best.output.detach(), gradient)


def _decide(view: View, evidence: Tensor, values: Tensor, options: list[Layer]) -> tuple[Layer, Tensor | None]:
    """The first of the layers whose places have a gradient, and its gradient.

    Where the gradient is zero altogether, as behind a head that starts from zeros, NaN is sent backward: it marks what
    the evidence is computed from, whatever the weights are.
    """
    for start in range(0, len(options), _AT_ONCE):
        some = options[start : start + _AT_ONCE]
        outputs = [option.output for option in some if option.output is not None]
        gradients = marks = view.derive(values, *outputs, again=True)
        if not any(gradient.any() for gradient in gradients):
            with torch.autograd.set_detect_anomaly(False):
                marks = view.derive(evidence.sum(1) * torch.nan, *outputs, again=True)
        for option, gradient, mark in zip(some, gradients, marks, strict=True):
            if option.grid.places(mark).any():
                return option, gradient
    return options[0], None


def _type(model: nn.Module) -> str:
    return type(uncompiled(model)).__name__
