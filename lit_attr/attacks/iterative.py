"""The family of iterative gradient attacks: one walk, whose step is put together from slots."""

from dataclasses import dataclass, fields
from typing import ClassVar

from lit_attr import updates
from lit_attr._checks import not_negative
from lit_attr.attacks.attack import ATTACKS
from lit_attr.attacks.walking import WalkingAttack
from lit_attr.updates import IterativeRule

__all__ = ["BIM", "DIFGSM", "FGSM", "MIFGSM", "NIFGSM", "PGD", "SINIFGSM", "TIFGSM", "IterativeAttack"]


@dataclass(frozen=True)
class IterativeAttack(WalkingAttack):
    """Base of the family: every attack of it can have momentum, look ahead, be diverse and smooth its gradient.

    The loss keeps its gradient where the model is so sure that cross entropy in float32 has none.

    Args:
        alpha: step per feature, with `norm="l2"` its Euclidean length; None is eps / steps.
        momentum: of the sum of normalised gradients; 0 for none.
        nesterov: look ahead along the momentum.
        diversity: probability with which the images asked are resized and moved (see `IterativeRule`).
        resize: the most by which.
        smoothing: side in pixels of the Gaussian that smooths the gradient, odd; 1 for none.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.BIM

    alpha: float | None = 2 / 255
    momentum: float = 0.0
    nesterov: bool = False
    diversity: float = 0.0
    resize: float = 0.9
    smoothing: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha is not None:
            not_negative("alpha", self.alpha)
        _ = self.rule  # checks the rest

    @property
    def rule(self) -> IterativeRule:
        """The update rule with this attack's settings."""
        settings = {f.name: getattr(self, f.name) for f in fields(self.RULE) if hasattr(self, f.name)}
        settings["alpha"] = self.eps / self.steps if self.alpha is None else self.alpha
        return self.RULE(**settings)


@ATTACKS.register("fgsm")
@dataclass(frozen=True)
class FGSM(IterativeAttack):
    """The fast gradient sign method: one step of length eps.

    Paper: Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", 2015, section 4.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> x, y = torch.rand(2, 3, 2, 2), torch.tensor([0, 2])
        >>> bool(((FGSM(eps=0.1)(model, x, y) - x).abs() <= 0.1 + 1e-6).all())
        True
    """

    steps: int = 1
    alpha: float | None = None


@ATTACKS.register("bim")
@dataclass(frozen=True)
class BIM(IterativeAttack):
    """The basic iterative method.

    Paper: Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", 2017, section 2.2.

    Example:
        >>> BIM(eps=4 / 255, steps=20).passes
        Passes(forward=20, backward=20)
    """


@ATTACKS.register("pgd")
@dataclass(frozen=True)
class PGD(IterativeAttack):
    """Projected gradient descent from a random point of the ball.

    Paper: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018, section 2.1.

    Example:
        >>> import torch
        >>> attack = PGD(eps=0.5, norm="l2", alpha=0.1, steps=20, restarts=5)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> attack.run(model, torch.rand(2, 3, 2, 2), torch.tensor([0, 2])).success.shape
        torch.Size([2])
    """

    random_start: bool = True


@ATTACKS.register("mifgsm")
@dataclass(frozen=True)
class MIFGSM(IterativeAttack):
    """The momentum method (MIM).

    Paper: Dong et al., "Boosting Adversarial Attacks with Momentum", 2018, section 3.1. There eps is 16/255 and
    alpha eps / T.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.MIFGSM

    momentum: float = 1.0


@ATTACKS.register("nifgsm")
@dataclass(frozen=True)
class NIFGSM(IterativeAttack):
    """The momentum method with Nesterov's look-ahead.

    Paper: Lin et al., "Nesterov Accelerated Gradient and Scale Invariance for Adversarial Attacks", 2020, section 3.2.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.NIFGSM

    momentum: float = 1.0
    nesterov: bool = True


@ATTACKS.register("difgsm")
@dataclass(frozen=True)
class DIFGSM(IterativeAttack):
    """Diverse inputs (DIM), as in torchattacks without momentum; in the literature with `momentum=1`.

    Paper: Xie et al., "Improving Transferability of Adversarial Examples with Input Diversity", 2019, section 3.3.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.DIFGSM

    diversity: float = 0.5


@ATTACKS.register("tifgsm")
@dataclass(frozen=True)
class TIFGSM(IterativeAttack):
    """Translation invariance (TIM), as in torchattacks of diverse inputs; pure with `diversity=0, momentum=1`.

    Paper: Dong et al., "Evading Defenses to Transferable Adversarial Examples by Translation-Invariant Attacks", 2019,
    section 3.3.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.TIFGSM

    diversity: float = 0.5
    smoothing: int = 15


@ATTACKS.register("sinifgsm")
@dataclass(frozen=True)
class SINIFGSM(IterativeAttack):
    """Scale invariance with Nesterov's look-ahead (SI-NI, SINIM).

    Paper: Lin et al., "Nesterov Accelerated Gradient and Scale Invariance for Adversarial Attacks", 2020, section 3.3.

    Args:
        copies: how many scales.
    """

    RULE: ClassVar[type[IterativeRule]] = updates.SINIFGSM

    momentum: float = 1.0
    nesterov: bool = True
    copies: int = 5
