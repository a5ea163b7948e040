"""SSA: steps along the mean gradient of copies whose frequencies vary.

Paper: Long et al., "Frequency Domain Model Augmentation for Adversarial Attack", 2022, section 3.2, with the input
diversity, smoothing and momentum of its strongest form. Deviation: a diversified copy is resized back, so that models
of one input size can be asked.
"""

from dataclasses import dataclass

from torch import Tensor

from lit_attr._checks import fraction, not_negative, positive_int
from lit_attr.updates._maps import between, cosines
from lit_attr.updates.iterative import IterativeRule
from lit_attr.updates.rules import UPDATES
from lit_attr.updates.step import Step

__all__ = ["SSA"]


@UPDATES.register("ssa")
@dataclass(frozen=True)
class SSA(IterativeRule):
    """The spectrum simulation attack: copies u = IDCT(DCT(x_t + sigma n) * m), n normal, m uniform in [1 -+ rho].

    The gradients are those at u, not carried back through the transform. On inputs that are no images `[B, C, H, W]`
    there is noise only: no frequencies, no resizing, no smoothing.

    Args:
        copies: how many.
        rho: by how much each frequency varies, in [0, 1].
        sigma: standard deviation of the noise, in units of the input.
    """

    momentum: float = 1.0
    diversity: float = 0.5
    resize: float = 1.15
    smoothing: int = 7
    copies: int = 20
    rho: float = 0.5
    sigma: float = 16 / 255

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("copies", self.copies)
        fraction("rho", self.rho)
        not_negative("sigma", self.sigma)

    @property
    def count(self) -> int:
        """How many copies are asked."""
        return self.copies

    def copy(self, points: Tensor, step: Step, number: int) -> Tensor:  # noqa: ARG002 - a slot
        """One spectrum."""
        here = points.detach()
        there = here + self.sigma * step.normal()
        if here.dim() == 4 and self.rho:
            rows, columns = cosines(there)
            factors = 1 + self.rho * (2 * step.uniform() - 1)
            there = between(rows.mT, between(rows, there, columns) * factors, columns.mT)
        return points + (there - here)
