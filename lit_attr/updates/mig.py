"""MIG: steps along integrated gradients.

Paper: Ma et al., "Transferable Adversarial Attack for Both Vision Transformers and Convolutional Networks via Momentum
Integrated Gradients", 2023. Deviation: none known; other published codes weight the gradient at a point of the path by
its place on it, which is not an integrated gradient.
"""

from dataclasses import dataclass

from torch import Tensor

from lit_attr._checks import ArgumentError, positive_int
from lit_attr.objectives import Objective, get_objective
from lit_attr.updates.iterative import IterativeRule
from lit_attr.updates.rules import UPDATES
from lit_attr.updates.step import Step

__all__ = ["MIG"]


@UPDATES.register("mig")
@dataclass(frozen=True)
class MIG(IterativeRule):
    """Momentum integrated gradients: g = +-(x_t - b) * mean_i grad s(b + i / S (x_t - b)), i = 1, ..., S.

    Up the score s of the walk's class, or down it for a walk that leaves the class; the walk's loss is not looked at.
    Features equal to the baseline b never move, in a black image the black ones: give another baseline where that
    matters. Also where the score is so sure that it has no gradient there is no move.

    Args:
        copies: points on the path from the baseline, S.
        baseline: b, the same number for every feature.
        score: what is integrated, as a function of evidence and class: "prob" as in the paper, "logprob", "logit", ...
    """

    momentum: float = 1.0
    copies: int = 20
    baseline: float = 0.0
    score: str | Objective = "prob"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("copies", self.copies)
        if isinstance(self.baseline, bool) or not isinstance(self.baseline, int | float):
            raise ArgumentError("baseline", self.baseline, "a number")
        get_objective(self.score, "score")

    @property
    def count(self) -> int:
        """How many points are asked."""
        return self.copies

    @property
    def guided(self) -> bool:
        """The loss is not looked at."""
        return False

    def copy(self, points: Tensor, step: Step, number: int) -> Tensor:  # noqa: ARG002 - a slot
        """One point of the path."""
        here = points.detach()
        there = self.baseline + (number + 1) / self.copies * (here - self.baseline)
        return points + (there - here)  # the gradient is that there, not weighted by the place

    def gradient(self, step: Step, ahead: Tensor | float) -> Tensor:
        """The integrated gradients."""
        gradient = self.mean(step, ahead, self.copy, self.count, get_objective(self.score))
        return (step.points + ahead - self.baseline) * gradient
