"""Where a walk may go: near its origin, and inside the range of the inputs."""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, unit_range

__all__ = ["Bounds", "Norm", "Region", "check_bounds", "get_bounds"]

Bounds: TypeAlias = tuple[float, float] | Literal["auto"] | None
Norm: TypeAlias = Literal["linf", "l2"]
Radius: TypeAlias = float | Callable[[Tensor], Tensor] | None


def check_bounds(bounds: Bounds) -> None:
    """Refuse what is neither "auto" nor None nor an interval."""
    pair = isinstance(bounds, tuple | list) and len(bounds) == 2 and bounds[0] < bounds[1]
    if not (pair or bounds is None or bounds == "auto"):
        raise ArgumentError("bounds", bounds, "'auto', None, or two numbers, the smaller first")


def get_bounds(bounds: Bounds, inputs: Tensor) -> tuple[float, float] | None:
    """The range of the inputs: "auto" is [0, 1] for images `[B, C, H, W]`, and none for anything else.

    Raises:
        ArgumentError: for images outside the range.

    Example:
        >>> get_bounds("auto", torch.rand(1, 3, 2, 2)), get_bounds("auto", torch.randn(1, 7, 16))
        ((0.0, 1.0), None)
    """
    check_bounds(bounds)
    if bounds is None or (bounds == "auto" and inputs.dim() != 4):
        return None
    if bounds == "auto":
        unit_range("inputs", inputs, "put the normalisation into the model, or give `bounds`")
        return 0.0, 1.0
    low, high = float(bounds[0]), float(bounds[1])
    slack = 1e-4 * (high - low)
    if inputs.numel() and not bool(((inputs >= low - slack) & (inputs <= high + slack)).all()):
        raise ArgumentError("inputs", f"values outside [{low}, {high}]", "inside `bounds`")
    return low, high


class Region(NamedTuple):
    """The points x with |x - origin| <= radius, inside the bounds.

    Attributes:
        radius: a number, a function that gives one per feature from the origins `[N, ...]`, or None for no limit.
        bounds: the range of the inputs, or None.
        norm: how the distance is measured, "linf" in every feature, "l2" over all.
    """

    radius: Radius = None
    bounds: tuple[float, float] | None = None
    norm: Norm = "linf"

    def project(self, points: Tensor, origin: Tensor) -> Tensor:
        """The nearest points of the region, `[N, ...]`; with "l2" first of the ball, then inside the bounds.

        Example:
            >>> Region(0.1, (0.0, 1.0)).project(torch.tensor([[0.5, 0.95]]), torch.tensor([[0.2, 0.99]]))
            tensor([[0.3000, 0.9500]])
        """
        if self.radius is not None:
            radius = self.radius(origin) if callable(self.radius) else torch.full_like(origin, self.radius)
            away = points - origin
            if self.norm == "l2":
                length = away.flatten(1).norm(dim=1).clamp_min(torch.finfo(away.dtype).tiny)
                shrink = (radius.flatten(1)[:, 0] / length).clamp_max(1)
                points = origin + away * shrink.view(-1, *[1] * (away.dim() - 1))
            else:
                points = origin + torch.minimum(torch.maximum(away, -radius), radius)
        return points if self.bounds is None else points.clamp(*self.bounds)

    def draw(self, origin: Tensor, generator: torch.Generator) -> Tensor:
        """A random point of the region around each origin, `[N, ...]`: uniform in "linf", in "l2" along its radius.

        The radius must be a number. The way there is the same for all samples, that of torchattacks for one sample.
        """
        shape, radius = (1, *origin.shape[1:]), float(self.radius or 0)  # type: ignore[arg-type]
        if self.norm == "linf":
            away = torch.empty(shape).uniform_(-radius, radius, generator=generator)
        else:
            away = torch.empty(shape).normal_(generator=generator)
            away = away * (torch.rand(1, generator=generator) / away.norm() * radius)
        return self.project(origin + away.to(origin), origin)
