"""SI-NI-FGSM: steps along the mean gradient of darker copies, looking ahead."""

from dataclasses import dataclass

from torch import Tensor

from lit_attr._checks import positive_int
from lit_attr.updates.iterative import IterativeRule
from lit_attr.updates.rules import UPDATES
from lit_attr.updates.step import Step

__all__ = ["SINIFGSM"]


@UPDATES.register("sinifgsm")
@dataclass(frozen=True)
class SINIFGSM(IterativeRule):
    """Copies x / 2^i, i = 0, ..., copies - 1, with momentum and Nesterov's look-ahead.

    Paper: Lin et al., "Nesterov Accelerated Gradient and Scale Invariance for Adversarial Attacks", 2020, section 3.3.

    Args:
        copies: how many.
    """

    momentum: float = 1.0
    nesterov: bool = True
    copies: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("copies", self.copies)

    @property
    def count(self) -> int:
        """How many copies are asked."""
        return self.copies

    def copy(self, points: Tensor, step: Step, number: int) -> Tensor:  # noqa: ARG002 - a slot
        """One scale."""
        return points * 0.5**number
