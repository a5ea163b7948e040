"""GRA: the gradient at a point, mixed with the mean one around it by how much they agree, in steps that lose size.

Paper: Zhu et al., "Boosting Adversarial Transferability via Gradient Relevance Attack", 2023, section 3. The published
code leaves the class that the model predicts; here the walk says which.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative, positive_int
from lit_attr._view import Passes
from lit_attr.updates.iterative import IterativeRule
from lit_attr.updates.rules import UPDATES, unit
from lit_attr.updates.step import Step

__all__ = ["GRA"]


@UPDATES.register("gra")
@dataclass(frozen=True)
class GRA(IterativeRule):
    """The gradient relevance attack: g = s a + (1 - s) b, s the cosine of a and b, and steps alpha * M_t * sign(v_t).

    a is the gradient at x_t, b the mean one at x_t + r, r uniform in [-beta eps, beta eps]; s is 0 where one of them is
    zero. M_t is M_{t-1} where v_t has the sign of v_{t-1}, elsewhere eta * M_{t-1}; M_0 = 1 / eta and v_0 = 0, so that
    the first step is alpha. It is remembered as "decay".

    Args:
        copies: how many neighbours of x_t.
        beta: radius of the neighbourhood, in units of `eps`.
        eta: share of a step that is left where the direction changes, in (0, 1].
        eps: the most that the attack changes a feature, in units of the input.
    """

    momentum: float = 1.0
    copies: int = 20
    beta: float = 3.5
    eta: float = 0.94
    eps: float = 8 / 255

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("copies", self.copies)
        not_negative("beta", self.beta)
        if not 0 < self.eta <= 1:
            raise ArgumentError("eta", self.eta, "in (0, 1]")
        not_negative("eps", self.eps)

    @property
    def count(self) -> int:
        """How many neighbours are asked."""
        return self.copies

    @property
    def guided(self) -> bool:
        """The walk's own gradient is a, unless that is to be taken ahead or of a diversified copy."""
        return self._plain

    @property
    def passes(self) -> Passes:
        """A forward and a backward pass a neighbour, and for a where that is not the walk's own."""
        count = self.copies + (not self.guided)
        return Passes(count, count)

    def copy(self, points: Tensor, step: Step, number: int) -> Tensor:  # noqa: ARG002 - a slot
        """One neighbour."""
        return points + self.beta * self.eps * (2 * step.uniform() - 1)

    def gradient(self, step: Step, ahead: Tensor | float) -> Tensor:
        """The mixture."""
        here = step.ascent if self.guided else self.mean(step, ahead, super().copy, 1)
        around = self.mean(step, ahead, self.copy, self.count)
        agreement = (unit(here) * unit(around)).flatten(1).sum(1).view(-1, *[1] * (here.dim() - 1))
        return agreement * here + (1 - agreement) * around

    def move(self, step: Step, velocity: Tensor) -> Tensor:
        """The moves along v_t, where it turned by less."""
        signs, memory = velocity.sign(), step.memory
        if "decay" not in memory:
            memory["signs"], memory["decay"] = torch.zeros_like(signs), torch.full_like(signs, 1 / self.eta)
        decay = torch.where(signs == memory["signs"], memory["decay"], self.eta * memory["decay"])
        memory["signs"], memory["decay"] = signs, decay
        return decay * super().move(step, velocity)
