"""The spectrum simulation attack."""

from dataclasses import dataclass
from typing import ClassVar

from lit_attr import updates
from lit_attr.attacks.attack import ATTACKS
from lit_attr.attacks.iterative import IterativeAttack
from lit_attr.updates import IterativeRule

__all__ = ["SSA"]


@ATTACKS.register("ssa")
@dataclass(frozen=True)
class SSA(IterativeAttack):
    """Steps along the mean gradient of copies whose frequencies vary, in its strongest form (SSA + DI + TI + MI).

    Paper: Long et al., "Frequency Domain Model Augmentation for Adversarial Attack", 2022, section 3.2. There alone:
    `momentum=0, diversity=0, smoothing=1`.

    Args:
        copies: how many.
        rho: by how much each frequency varies, in [0, 1].
        sigma: standard deviation of the noise, in units of the input.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.SSA

    momentum: float = 1.0
    diversity: float = 0.5
    resize: float = 1.15
    smoothing: int = 7
    copies: int = 20
    rho: float = 0.5
    sigma: float = 16 / 255
