"""Grad-CAM: the channels of a spatial layer, weighted by their mean gradient.

Paper: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017,
section 3. The score is the logit, as in the paper. Where no layer is named, the last one with a spatial output is
taken, in the same forward pass, and reported in `Explanation.info["layer"]`.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes, View
from lit_attr.attribution._method import CLASSES, METHODS, SHAPE, Explanation, Method
from lit_attr.objectives import get_objective
from lit_attr.registry import did_you_mean

__all__ = ["GradCAM"]


@METHODS.register("grad_cam")
@dataclass(frozen=True)
class GradCAM(Method):
    """M = ReLU(sum_k w_k a_k), w_k the mean over space of df/da_k, upsampled bilinearly to the input: `[B, 1, H, W]`.

    In [0, inf), float32. The layer's gradients may all be negative: then the map is zero.

    Args:
        layer: dotted name of a submodule with output `[B, C, h, w]`; None takes the last one with h, w > 1 in the
            proportions of the input. Of a submodule that is used several times the last use counts.

    Raises:
        ValueError: if the layer does not exist, is not spatial, or does not lead to the output.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> found = GradCAM().explain(net, torch.rand(1, 1, 8, 8), 0)
        >>> found.attribution.shape, found.info["layer"]
        (torch.Size([1, 1, 8, 8]), '1')
    """

    layer: str | None = None

    def attribute(self, view: View) -> Explanation:
        """One forward, and one backward that ends at the layer."""
        if view.inputs.dim() != 4:
            raise ArgumentError("inputs", f"shape {tuple(view.inputs.shape)}", "images [B, C, H, W]")
        objective, size = get_objective(self.objective), view.inputs.shape[2:]
        dtype = torch.float64 if view.inputs.dtype == torch.float64 else torch.float32
        maps = torch.zeros(len(view.inputs), 1, *size, device=view.inputs.device, dtype=dtype)
        info: dict[str, Any] = {}

        def work(start: int, stop: int) -> None:
            rows = torch.arange(start, stop, device=maps.device)
            info["layer"], activation, evidence = _activation(view, rows, info.get("layer", self.layer))
            (gradient,) = view.derive(view.score(evidence, rows, objective), activation)
            weights = gradient.to(dtype).mean((2, 3), keepdim=True)
            cam = (weights * activation.detach().to(dtype)).sum(1, keepdim=True).relu()
            maps[start:stop] = F.interpolate(cam, size, mode="bilinear", align_corners=False)

        in_chunks(len(maps), view.inputs, self.max_batch, work)
        return Explanation(maps, info=info)

    def passes(self, shape: Sequence[int] = SHAPE, classes: int = CLASSES) -> Passes:
        """One forward and one backward pass (a part of one).

        One forward more, of the first chunk, where no layer is named and the model overwrites the output of the layer
        it found in place, as DenseNet does.
        """
        return Passes(1, 1)


def _activation(view: View, rows: Tensor, layer: str | None) -> tuple[str, Tensor, Tensor]:
    """The layer's name, its output for the samples `rows`, and the evidence computed from it."""
    points = view.inputs[rows].requires_grad_()
    with _watching(view.model, layer, points.shape[2:]) as seen:
        evidence = view.evidence(points, rows)
    name, activation = _spatial(seen, layer, view.model)
    if layer is None and activation._version != seen.version:
        return _activation(view, rows, name)
    return name, activation, evidence


@dataclass
class _Seen:
    """The output that is kept: the latest of the best rank."""

    name: str = ""
    output: Any = None
    version: int = 0
    rank: int = -1


def _rank(output: Any, size: torch.Size) -> int:
    """2: places of the input; 1: one place, or axes that are not places (channels last); 0: anything else."""
    if not isinstance(output, Tensor) or output.dim() != 4:
        return 0
    (h, w), (height, width) = output.shape[2:], size
    same_form = abs(h * width - w * height) <= 0.25 * max(h * width, w * height)  # unpadded layers are a little off
    return 2 if same_form and 1 < h <= height and 1 < w <= width else 1


@contextmanager
def _watching(model: nn.Module, layer: str | None, size: torch.Size) -> Iterator[_Seen]:
    """Record the output of `layer`, or where it is None the last spatial output, during the forward pass inside."""
    seen = _Seen()

    def keep(_: nn.Module, __: Any, output: Any, *, name: str) -> Tensor | None:
        rank = _rank(output, size)
        if rank < max(seen.rank, 2 if layer is None else 0):
            return None
        seen.name, seen.output, seen.rank = name, output, rank
        if not isinstance(output, Tensor):
            return None
        seen.version = output._version
        # What follows may write into the output, so it goes on with a copy. Not in a search, which would copy them all.
        return None if layer is None else output.clone()

    inner = getattr(model, "_orig_mod", model)  # what torch.compile wrapped
    watched = {n: m for n, m in inner.named_modules() if n} if layer is None else {layer: _submodule(inner, layer)}
    handles = [module.register_forward_hook(partial(keep, name=name)) for name, module in watched.items()]
    try:
        with _uncompiled():
            yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Run compiled parts eagerly: compiled code does not call hooks that were added after it was compiled."""
    if "torch._dynamo" in sys.modules:  # else nothing is compiled; it cannot be seen on the model in all cases
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def _submodule(model: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if name not in modules or not name:
        msg = f"`layer` is '{name}', no submodule of {type(model).__name__}; {did_you_mean(name, list(modules)[1:])}"
        raise ValueError(msg)
    return modules[name]


def _spatial(seen: _Seen, layer: str | None, model: nn.Module) -> tuple[str, Tensor]:
    """The recorded layer, refused with a reason where Grad-CAM is not defined on it."""
    if not seen.name:
        what = "was not called" if layer else "found no submodule with a spatial output [B, C, h, w]"
        msg = f"Grad-CAM: layer {layer or ''} {what} in {type(model).__name__}; name another `layer`"
        raise ValueError(msg)
    if seen.rank == 0:
        got = tuple(seen.output.shape) if isinstance(seen.output, Tensor) else type(seen.output).__name__
        raise ArgumentError("layer", f"'{seen.name}', whose output is {got}", "a layer with output [B, C, h, w]")
    return seen.name, seen.output
