"""Attacks of one model that are meant for others: their gradients are means over copies, or come from a layer."""

from dataclasses import dataclass
from typing import ClassVar

from lit_attr import updates
from lit_attr.attacks.attack import ATTACKS
from lit_attr.attacks.iterative import IterativeAttack
from lit_attr.objectives import Objective
from lit_attr.updates import IterativeRule

__all__ = ["GRA", "MIG", "NAA", "SIA", "SSA"]


@ATTACKS.register("ssa")
@dataclass(frozen=True)
class SSA(IterativeAttack):
    """Spectrum simulation: copies whose frequencies vary, in its strongest form (SSA + DI + TI + MI).

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


@ATTACKS.register("sia")
@dataclass(frozen=True)
class SIA(IterativeAttack):
    """Structure invariance: copies whose parts are each changed in another way (see `lit_attr.updates.SIA`).

    Paper: Wang et al., "Structure Invariant Transformation for better Adversarial Transferability", 2023, section 3.3.

    Args:
        copies: how many.
        blocks: how many parts along each axis.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.SIA

    momentum: float = 1.0
    copies: int = 20
    blocks: int = 3


@ATTACKS.register("mig")
@dataclass(frozen=True)
class MIG(IterativeAttack):
    """Momentum integrated gradients: steps by the sign of the attribution.

    Paper: Ma et al., "Transferable Adversarial Attack for Both Vision Transformers and Convolutional Networks via
    Momentum Integrated Gradients", 2023, section 3. Features at the baseline never move.

    Args:
        copies: points on the path from the baseline.
        baseline: the same number for every feature.
        score: what is integrated, as a function of evidence and class: "prob" as in the paper, "logprob", "logit", ...
    """

    RULE: ClassVar[type[IterativeRule]] = updates.MIG

    momentum: float = 1.0
    copies: int = 20
    baseline: float = 0.0
    score: str | Objective = "prob"


@ATTACKS.register("gra")
@dataclass(frozen=True)
class GRA(IterativeAttack):
    """Gradient relevance: the gradient is mixed with that of the neighbourhood, steps shrink where signs change.

    Paper: Zhu et al., "Boosting Adversarial Transferability via Gradient Relevance Attack", 2023, section 3.

    Args:
        copies: how many neighbours.
        beta: radius of the neighbourhood, in units of `eps`.
        eta: share of a step that is left where the direction changes, in (0, 1].
    """

    RULE: ClassVar[type[IterativeRule]] = updates.GRA

    momentum: float = 1.0
    copies: int = 20
    beta: float = 3.5
    eta: float = 0.94


@ATTACKS.register("naa")
@dataclass(frozen=True)
class NAA(IterativeAttack):
    """Neuron attribution: takes from a layer what speaks for the class (see `lit_attr.updates.NAA`).

    Paper: Zhang et al., "Improving Adversarial Transferability via Neuron Attribution-Based Attacks", 2022, section 3.

    Args:
        layer: dotted name of a submodule, of a residual network usually "layer2"; None takes the last with places.
        copies: points between the image and black that give the weights.
        noise: standard deviation of their noise, in units of the input.
        gamma: weight of the neurons that speak against the class.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.NAA

    momentum: float = 1.0
    layer: str | None = None
    copies: int = 30
    noise: float = 0.1
    gamma: float = 1.0
