"""Training on what an attack finds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative
from lit_attr.attacks import Attack, WalkingAttack, get_attack
from lit_attr.modules.adversarial.training import TRAININGS, AdversarialTraining, Losses, TrainingBatch, withstood
from lit_attr.targets import Target

__all__ = ["AttackTraining", "PGDTraining"]


@dataclass(frozen=True, kw_only=True)
class AttackTraining(AdversarialTraining):
    """Base of the recipes that train on what an attack finds.

    A random start is drawn for each sample anew, from torch's global generator; in L2 its direction is uniform, and its
    length. Outside of training all samples of a call have the same (see `lit_attr.updates.Region.draw`).

    Args:
        attack: one that goes in steps: its name, settings with the name under `class`, or an `Attack`.
        eps: another radius for it; its `alpha` keeps its ratio to eps. None leaves both as they are.
    """

    attack: str | Mapping[str, Any] | Attack = "pgd"
    eps: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "attack", get_attack(self.attack))
        attack = self._walking
        if attack.targeted is True:
            raise ArgumentError("attack.targeted", attack.targeted, "false, 'least_likely' or 'random' in training")
        if attack.restarts > 1:
            raise ArgumentError("attack.restarts", attack.restarts, "1 in training")
        if self.eps is not None:
            not_negative("eps", self.eps)
            attack = attack.at_radius(self.eps)
        object.__setattr__(self, "attack", attack)

    @property
    def _walking(self) -> WalkingAttack:
        if not isinstance(self.attack, WalkingAttack):
            raise ArgumentError("attack", type(self.attack).__name__, "an attack that goes in steps (a WalkingAttack)")
        return self.attack

    def perturb(
        self, batch: TrainingBatch, target: Tensor | Target, start: Tensor | None = None, **settings: Any
    ) -> Tensor:
        """What the attack finds from a start of its kind, or from the given one; settings replace its own."""
        attack = self._walking
        attack = attack.at_radius(batch.share * attack.eps)
        if start is None and attack.random_start:
            start = random_point(batch, attack)
        found = replace(attack, random_start=False, seed=batch.draw(), **settings)
        return found(batch.model, batch.images, target, start=start)


@TRAININGS.register("pgd_at")
@dataclass(frozen=True, kw_only=True)
class PGDTraining(AttackTraining):
    """The cross entropy of adversarial samples alone: min over w of the mean of max over d in the ball of L(x + d, y).

    Paper: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018, section 2.1; on CIFAR-10
    there with eps 8/255, 7 steps of 2/255 from a random start.

    Example:
        >>> training = PGDTraining(attack={"class": "pgd", "steps": 7}, eps=4 / 255)
        >>> round(training.attack.alpha * 255, 6)
        1.0
    """

    def losses(self, batch: TrainingBatch) -> Losses:
        """CE(z(x'), y)."""
        logits = batch.logits(self.perturb(batch, batch.labels))
        loss = batch.cross_entropy(logits)
        return Losses(loss, loss, withstood(logits, batch))


def random_point(batch: TrainingBatch, attack: WalkingAttack) -> Tensor:
    """Of the attack's ball around each sample; beyond the range of images, which the attack sees to."""
    generator, away = batch.generator(), torch.empty_like(batch.images)
    if attack.norm == "linf":
        return batch.images + away.uniform_(-attack.eps, attack.eps, generator=generator)
    away = away.normal_(generator=generator)
    shape = (-1, *[1] * (away.dim() - 1))
    length = torch.rand(len(away), generator=generator, device=away.device).to(away) * attack.eps
    scale: Tensor = length / away.flatten(1).norm(dim=1)
    return batch.images + away * scale.view(shape)
