"""The family of iterative gradient attacks as update rules: one step of eleven slots, most of them left open.

A step looks ahead, asks for the gradient at copies of where it looks, takes their mean, smooths it, normalises it, adds
it to the memory of earlier steps and goes along. A rule is a choice of these; all others of the family, such as MI with
translation invariance and Nesterov's look-ahead, are settings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, fraction, not_negative, one_of, positive_int
from lit_attr._view import Passes
from lit_attr.objectives import Objective
from lit_attr.updates._maps import diversify, smooth
from lit_attr.updates.region import Norm, Region
from lit_attr.updates.rules import UPDATES, UpdateRule, unit
from lit_attr.updates.step import Step

__all__ = ["BIM", "DIFGSM", "FGSM", "MIFGSM", "NIFGSM", "PGD", "TIFGSM", "IterativeRule"]

Copy: TypeAlias = Callable[[Tensor, Step, int], Tensor]


@dataclass(frozen=True)
class IterativeRule(UpdateRule):
    """alpha * sign(v_t), v_t = momentum * v_{t-1} + g / mean |g|, g the smoothed mean of the copies' gradients.

    v_t is remembered as "velocity". Where g is zero, v_t only loses speed. A subclass says which copies (`count`,
    `copy`), or finds g in another way (`gradient`). Copies of what is no image `[B, C, H, W]` are not diversified, and
    their gradient is not smoothed.

    Args:
        alpha: step per feature, in units of the input; with `norm="l2"` its Euclidean length.
        momentum: of the velocity; 0 for none.
        nesterov: look at x_t + alpha * momentum * v_{t-1} instead of at x_t.
        diversity: probability with which a copy is resized and moved (see `diversify`).
        resize: the most by which; below 1 smaller, above 1 larger.
        smoothing: side in pixels of the Gaussian that smooths the gradient, odd; 1 for none.
        norm: "linf" steps by the sign, "l2" along v_t / ||v_t||.
    """

    IMAGES: ClassVar[bool] = False  # whether the rule means nothing for what is no image

    alpha: float = 2 / 255
    momentum: float = 0.0
    nesterov: bool = False
    diversity: float = 0.0
    resize: float = 0.9
    smoothing: int = 1
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        not_negative("alpha", self.alpha)
        not_negative("momentum", self.momentum)
        fraction("diversity", self.diversity)
        if not 0 < self.resize <= 2:
            raise ArgumentError("resize", self.resize, "in (0, 2]")
        positive_int("smoothing", self.smoothing)
        if self.smoothing % 2 == 0:
            raise ArgumentError("smoothing", self.smoothing, "odd")
        one_of("norm", self.norm, ["linf", "l2"])

    @property
    def count(self) -> int:
        """How many copies are asked."""
        return 1

    @property
    def guided(self) -> bool:
        """Whether the gradient at x_t itself is all that is asked for."""
        return type(self).copy is IterativeRule.copy and type(self).gradient is IterativeRule.gradient and self._plain

    @property
    def passes(self) -> Passes:
        """A forward and a backward pass a copy, where these are not the walk's own points."""
        return Passes(0, 0) if self.guided else Passes(self.count, self.count)

    @property
    def length(self) -> Norm:
        """That of the step."""
        return self.norm

    def copy(self, points: Tensor, step: Step, number: int) -> Tensor:  # noqa: ARG002 - a slot
        """Copy `number` of the points, `[N, ...]`; gradients go back through it."""
        return points

    def gradient(self, step: Step, ahead: Tensor | float) -> Tensor:
        """G before it is smoothed, `[N, ...]`; `ahead` is how far the step looks from x_t."""
        return step.ascent if self.guided else self.mean(step, ahead, self.copy, self.count)

    def mean(self, step: Step, ahead: Tensor | float, copy: Copy, count: int, score: Objective | None = None) -> Tensor:
        """The mean gradient of `count` copies of x_t + ahead, diversified; of a score in place of the loss."""

        def varied(points: Tensor, number: int) -> Tensor:
            return self.varied(copy(points + ahead, step, number), step)

        return step.mean_ascent(varied, count, score)

    def varied(self, points: Tensor, step: Step) -> Tensor:
        """Diversified points `[N, ...]`, if they are images and the rule does so."""
        diverse = points.dim() == 4 and self.diversity
        return diversify(points, self.diversity, step.generator, self.resize) if diverse else points

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        images = step.points.dim() == 4
        if self.IMAGES and not images:
            name, shape = type(self).__name__, tuple(step.points.shape[1:])
            raise ArgumentError("inputs", f"samples of shape {shape}", f"images [B, C, H, W] for {name}")
        velocity = step.memory.get("velocity")
        ahead = self.alpha * self.momentum * velocity if self.nesterov and velocity is not None else 0.0
        gradient = self.gradient(step, ahead)
        if images and self.smoothing > 1:
            gradient = smooth(gradient, self.smoothing)
        found = normalised(gradient)
        if velocity is not None:
            found = found + self.momentum * velocity
        step.memory["velocity"] = found
        return self.move(step, found)

    def move(self, step: Step, velocity: Tensor) -> Tensor:  # noqa: ARG002 - a slot
        """The moves along v_t."""
        return self.alpha * (velocity.sign() if self.norm == "linf" else unit(velocity))

    @property
    def _plain(self) -> bool:
        return not self.diversity and not self.nesterov


def normalised(gradient: Tensor) -> Tensor:
    """Each row of `[N, ...]` divided by the mean of its absolute values; zero where it is zero."""
    size = gradient.flatten(1).abs().mean(1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / size.view(-1, *[1] * (gradient.dim() - 1))


@UPDATES.register("fgsm")
@dataclass(frozen=True)
class FGSM(IterativeRule):
    """The fast gradient sign method: a step of BIM, of which the attack takes one as long as eps.

    Paper: Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", 2015, section 4.
    """


@UPDATES.register("bim")
@dataclass(frozen=True)
class BIM(IterativeRule):
    """The basic iterative method: alpha * sign(grad L).

    Paper: Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", 2017, section 2.2.
    """


@UPDATES.register("pgd")
@dataclass(frozen=True)
class PGD(IterativeRule):
    """Projected gradient descent: a first move to a random point of the ball, then steps of BIM.

    Paper: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018, section 2.1.

    Args:
        eps: radius of the ball of the first move, in units of the input; the attack begins there without the move.
    """

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("eps", self.eps)

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        if step.number:
            return super().__call__(step)
        return Region(self.eps, norm=self.norm).draw(step.points, step.generator) - step.points


@UPDATES.register("mifgsm")
@dataclass(frozen=True)
class MIFGSM(IterativeRule):
    """The momentum method.

    Paper: Dong et al., "Boosting Adversarial Attacks with Momentum", 2018, section 3.1.
    """

    momentum: float = 1.0


@UPDATES.register("nifgsm")
@dataclass(frozen=True)
class NIFGSM(IterativeRule):
    """The momentum method with Nesterov's look-ahead.

    Paper: Lin et al., "Nesterov Accelerated Gradient and Scale Invariance for Adversarial Attacks", 2020, section 3.2.
    """

    momentum: float = 1.0
    nesterov: bool = True


@UPDATES.register("difgsm")
@dataclass(frozen=True)
class DIFGSM(IterativeRule):
    """Diverse inputs.

    Paper: Xie et al., "Improving Transferability of Adversarial Examples with Input Diversity", 2019, section 3.3.
    """

    IMAGES: ClassVar[bool] = True

    diversity: float = 0.5


@UPDATES.register("tifgsm")
@dataclass(frozen=True)
class TIFGSM(IterativeRule):
    """Translation invariance by a smoothed gradient, of diverse inputs as in torchattacks (`diversity=0` for none).

    Paper: Dong et al., "Evading Defenses to Transferable Adversarial Examples by Translation-Invariant Attacks", 2019,
    section 3.3.
    """

    IMAGES: ClassVar[bool] = True

    diversity: float = 0.5
    smoothing: int = 15
