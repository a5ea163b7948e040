"""CW: Adam on a change of variables that cannot leave the range of the inputs.

Papers: Carlini, Wagner, "Towards Evaluating the Robustness of Neural Networks", 2017, section V-B, the L2 attack;
Kingma, Ba, "Adam", 2015. The search for c, and which of the points is kept, are the attack's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative
from lit_attr.objectives import Objective, margin
from lit_attr.updates.rules import UPDATES, UpdateRule
from lit_attr.updates.step import Step

__all__ = ["CW"]

_INSIDE = 1e-3  # of the range: less than the distance of two grey levels of 8 bits
_MEAN, _SQUARE, _NEAR_ZERO = 0.9, 0.999, 1e-8  # Adam's usual settings


@UPDATES.register("cw")
@dataclass(frozen=True)
class CW(UpdateRule):
    """A step of Adam down ||x - x_0||^2 + c * max(z_y - max_j z_j, -kappa) in w, of x = (tanh w + 1) / 2.

    For a walk to y the difference of logits has the other sign. Between other bounds than 0 and 1 x is stretched to
    these. w and Adam's moments are remembered as "w", "mean" and "square"; a region that holds x_t back does not hold
    w. A feature at a bound would have an infinite w and never come back: it begins 0.001 of the range inside, and its
    first move leads there.

    Args:
        c: weight of the logits beside the distance.
        kappa: by how much the logits shall differ at the end.
        lr: of Adam.

    Raises:
        ValueError: on a walk without bounds.
    """

    c: float = 1.0
    kappa: float = 0.0
    lr: float = 0.01

    def __post_init__(self) -> None:
        not_negative("c", self.c)
        not_negative("kappa", self.kappa)
        not_negative("lr", self.lr)

    @property
    def loss(self) -> Objective:
        """The difference of logits."""
        return margin

    @property
    def ceiling(self) -> float:
        """Where the logits differ enough, the distance alone is made smaller."""
        return self.kappa

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        if step.bounds is None:
            raise ArgumentError("bounds", None, "two numbers for CW: it moves between them")
        low, size = step.bounds[0], step.bounds[1] - step.bounds[0]
        memory, none = step.memory, torch.zeros_like(step.points)
        if "w" not in memory:
            share = ((step.points - low) / size).clamp(_INSIDE, 1 - _INSIDE)
            memory.update(w=torch.atanh(2 * share - 1), mean=none, square=none)
        w, mean, square = memory["w"], memory["mean"], memory["square"]
        inner = torch.tanh(w)
        points = low + size * (inner + 1) / 2
        gradient = (2 * (points - step.origin) - self.weight(step) * step.ascent) * (size * (1 - inner**2) / 2)
        mean = torch.lerp(mean, gradient, 1 - _MEAN)
        square = _SQUARE * square + (1 - _SQUARE) * gradient**2
        spread = square.sqrt() / (1 - _SQUARE ** (step.number + 1)) ** 0.5 + _NEAR_ZERO
        w = w - self.lr / (1 - _MEAN ** (step.number + 1)) * mean / spread
        memory.update(w=w, mean=mean, square=square)
        return low + size * (torch.tanh(w) + 1) / 2 - step.points

    def weight(self, step: Step) -> float | Tensor:  # noqa: ARG002 - a slot
        """That of the logits, a number or one for each walk, `[N, 1, ...]`."""
        return self.c
