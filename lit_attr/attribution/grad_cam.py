"""Grad-CAM: the channels of a spatial layer, weighted by their mean gradient.

Paper: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017,
section 3. The score is the logit, as in the paper. Where no layer is named, the last one with a spatial output is
taken, in the same forward pass, and reported in `Explanation.info["layer"]`.
"""

from collections.abc import Iterator
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
from lit_attr.attribution._method import METHODS, Explanation, Method
from lit_attr.objectives import get_objective
from lit_attr.registry import did_you_mean

__all__ = ["GradCAM"]


@METHODS.register("grad_cam")
@dataclass(frozen=True)
class GradCAM(Method):
    """M = ReLU(sum_k w_k a_k), w_k the mean over space of df/da_k, upsampled bilinearly to the input: `[B, 1, H, W]`.

    In [0, inf), float32. The layer's gradients may all be negative: then the map is zero.

    Args:
        layer: dotted name of a submodule with output `[B, C, h, w]`; None takes the last one with h, w > 1.

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
            points = view.inputs[start:stop].detach().requires_grad_()
            with _watching(view.model, self.layer) as seen:
                evidence = view.evidence(points, rows)
            info["layer"], activation = _spatial(seen, self.layer, view.model)
            (gradient,) = view.derive(objective(evidence, view.target.index[rows]), activation)
            weights = gradient.to(dtype).mean((2, 3), keepdim=True)
            cam = (weights * activation.detach().to(dtype)).sum(1, keepdim=True).relu()
            maps[start:stop] = F.interpolate(cam, size, mode="bilinear", align_corners=False)

        in_chunks(len(maps), view.inputs, self.max_batch, work)
        return Explanation(maps, info=info)

    def passes(self) -> Passes:
        """One forward and one backward pass (a part of one)."""
        return Passes(1, 1)


@contextmanager
def _watching(model: nn.Module, layer: str | None) -> Iterator[dict[str, Tensor]]:
    """Record the output of `layer`, or where it is None the last spatial output, during the forward passes inside."""
    seen: dict[str, Tensor] = {}

    def keep(_: nn.Module, __: Any, output: Any, *, name: str) -> None:
        spatial = isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[2:]) > 1
        if layer is not None or spatial:
            seen.clear()
            seen[name] = output

    inner = getattr(model, "_orig_mod", model)  # what torch.compile wrapped
    watched = {n: m for n, m in inner.named_modules() if n} if layer is None else {layer: _submodule(inner, layer)}
    handles = [module.register_forward_hook(partial(keep, name=name)) for name, module in watched.items()]
    try:
        with _uncompiled(model):
            yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _uncompiled(model: nn.Module) -> Iterator[None]:
    """Run compiled parts eagerly: compiled code does not call hooks that were added after it was compiled."""
    if any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in model.modules()):
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


def _spatial(seen: dict[str, Tensor], layer: str | None, model: nn.Module) -> tuple[str, Tensor]:
    """The recorded layer, refused with a reason where Grad-CAM is not defined on it."""
    if not seen:
        what = "was not called" if layer else "found no submodule with a spatial output [B, C, h, w]"
        msg = f"Grad-CAM: layer {layer or ''} {what} in {type(model).__name__}; name another `layer`"
        raise ValueError(msg)
    name, activation = next(iter(seen.items()))
    if not isinstance(activation, Tensor) or activation.dim() != 4:
        got = tuple(activation.shape) if isinstance(activation, Tensor) else type(activation).__name__
        raise ArgumentError("layer", f"'{name}', whose output is {got}", "a layer with output [B, C, h, w]")
    return name, activation
