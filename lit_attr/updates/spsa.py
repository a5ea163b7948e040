"""SPSA: steps from two values of the loss, without its gradient.

Papers: Spall, "Multivariate Stochastic Approximation Using a Simultaneous Perturbation Gradient Approximation", 1992;
Barzilai, Borwein, "Two-Point Step Size Gradient Methods", 1988, for the adaptive step.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative, one_of
from lit_attr._view import Passes
from lit_attr.updates.rules import UPDATES, UpdateRule
from lit_attr.updates.step import Step

__all__ = ["SPSA", "Pattern"]

Pattern: TypeAlias = Literal["rademacher", "binary"]

# Keeps the quotient of the adaptive step finite: 1e-8 in units of [0, 255], as in SIGMA's published code.
_NEAR_ZERO = 1e-8 / 255**2


@UPDATES.register("spsa")
@dataclass(frozen=True)
class SPSA(UpdateRule):
    """alpha * s * q, with a random pattern q and the slope s = (L(x + beta q) - L(x - beta q)) / (2 beta) along it.

    Two forward passes a step; the gradient of the loss is not looked at.

    Args:
        alpha: size of a step; the smallest where it adapts.
        beta: how far from x the loss is asked, per feature, in units of the input.
        pattern: "rademacher" draws each feature's q from -1 and 1, "binary" from 0 and 1. A binary pattern has a mean,
            so that its steps prefer to make all features larger, or all smaller.
        alpha_max: the largest step of one that adapts to the curvature, a = <dx, dx> / -<dx, ds>, with the changes of
            the points and of s q since the step before (Barzilai-Borwein); the first has the smallest size, as have
            those where the loss is not concave. None for steps of size `alpha`.
    """

    alpha: float = 0.125
    beta: float = 0.05
    pattern: Pattern = "rademacher"
    alpha_max: float | None = None

    def __post_init__(self) -> None:
        not_negative("alpha", self.alpha)
        if not self.beta > 0:
            raise ArgumentError("beta", self.beta, "a positive number")
        one_of("pattern", self.pattern, ["rademacher", "binary"])
        if self.alpha_max is not None and not self.alpha_max >= self.alpha:
            raise ArgumentError("alpha_max", self.alpha_max, f"None, or at least `alpha`, {self.alpha}")

    @property
    def passes(self) -> Passes:
        """Two forward passes a step."""
        return Passes(2, 0)

    @property
    def guided(self) -> bool:
        """The gradient is not looked at."""
        return False

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        pattern = (step.uniform() < 0.5).to(step.points.dtype)
        if self.pattern == "rademacher":
            pattern = 2 * pattern - 1
        away = self.beta * pattern
        ahead, behind = step.losses(torch.cat([step.points + away, step.points - away])).chunk(2)
        slope = _each((ahead - behind) / (2 * self.beta), pattern) * pattern
        return self._size(step, slope) * slope

    def _size(self, step: Step, slope: Tensor) -> Tensor | float:
        """Of the step, alpha."""
        if self.alpha_max is None:
            return self.alpha
        moved = step.points - step.memory.get("points", step.points)
        turned = slope - step.memory.get("slope", slope)
        step.memory["points"], step.memory["slope"] = step.points, slope
        size = _dot(moved, moved) / (_NEAR_ZERO - _dot(moved, turned))
        return _each(size.clamp(self.alpha, self.alpha_max), slope)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _each(values: Tensor, other: Tensor) -> Tensor:
    """Values `[N]` shaped to multiply `other` `[N, ...]`."""
    return values.to(other.dtype).view(-1, *[1] * (other.dim() - 1))
