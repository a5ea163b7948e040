"""What every recipe of adversarial training promises: frozen settings, called with a batch, giving its loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, fraction, not_negative, setting_types
from lit_attr.registry import Registry
from lit_attr.targets import logits_of

__all__ = ["TRAININGS", "AdversarialTraining", "Losses", "TrainingBatch", "get_training"]


@dataclass(frozen=True)
class TrainingBatch:
    """One batch, and where in training it comes.

    Attributes:
        model: images to logits, in the modes it is trained in.
        images: `[B, C, H, W]` in [0, 1], the normalisation in the model.
        labels: long, `[B]`.
        number: of the batch in its epoch.
        share: of eps that is in force, in [0, 1].
        smoothing: of the labels in a cross entropy, as in torch.
        rank: of the process, whose random numbers are its own.
        memory: what a recipe carries from call to call, by name.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    number: int = 0
    share: float = 1.0
    smoothing: float = 0.0
    rank: int = 0
    memory: dict[str, Tensor] = field(default_factory=dict)

    def logits(self, images: Tensor) -> Tensor:
        """Logits `[B, K]`, float32 or wider."""
        return logits_of(self.model(images))

    @cached_property
    def clean(self) -> Tensor:
        """Logits of the images as they are; one pass, however often they are asked for."""
        return self.logits(self.images)

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """Of logits with the (smoothed) labels, mean."""
        return F.cross_entropy(logits, self.labels, label_smoothing=self.smoothing)

    def draw(self) -> int:
        """A seed from torch's global generator, so that a seeded run can be repeated; another one in each process."""
        drawn = int(torch.randint(2**32, ()))
        return (drawn + self.rank * 2654435769) % 2**32  # a generator of the CPU looks at 32 bits alone

    def generator(self) -> torch.Generator:
        """New random numbers on the images' device."""
        return torch.Generator(self.images.device).manual_seed(self.draw())


class Losses(NamedTuple):
    """What a recipe found.

    Attributes:
        loss: what is minimised.
        adversarial: the part of it that adversarial samples have in it, before `mix`.
        withstood: whether the label is predicted at the adversarial sample, bool `[B]`.
        more: further values that are worth a log, by name.
    """

    loss: Tensor
    adversarial: Tensor
    withstood: Tensor
    more: Mapping[str, Tensor] = {}


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining(ABC):
    """Base of all recipes; a subclass writes `losses`.

    Args:
        mix: share of the cross entropy of clean images in the loss, in [0, 1], on top of what the recipe has of it.
        eps_warmup: epochs over which eps, and steps with it, grow linearly from 0; may be broken.
    """

    SMOOTHS: ClassVar[bool] = True  # whether the loss is one of smoothed labels, too

    mix: float = 0.0
    eps_warmup: float = 0.0

    def __post_init__(self) -> None:
        setting_types(self)
        fraction("mix", self.mix)
        not_negative("eps_warmup", self.eps_warmup)

    def __call__(self, batch: TrainingBatch) -> Losses:
        """The loss of a batch, to be differentiated once."""
        found = self.losses(batch)
        if not self.mix:
            return found
        return found._replace(loss=(1 - self.mix) * found.loss + self.mix * batch.cross_entropy(batch.clean))

    @property
    def updates(self) -> int:
        """How often a batch is trained on, one after the other."""
        return 1

    def share(self, epochs: float) -> float:
        """Of eps, after so many epochs, in [0, 1].

        Example:
            >>> get_training({"class": "pgd_at", "eps_warmup": 2}).share(0.5), get_training("pgd_at").share(0)
            (0.25, 1.0)
        """
        return min(1.0, epochs / self.eps_warmup) if self.eps_warmup else 1.0

    @abstractmethod
    def losses(self, batch: TrainingBatch) -> Losses:
        """The recipe's own loss."""


TRAININGS: Registry[AdversarialTraining] = Registry("adversarial training", AdversarialTraining)  # type: ignore[type-abstract]


def get_training(training: str | Mapping[str, Any] | AdversarialTraining) -> AdversarialTraining:
    """The recipe behind a name, or behind settings with the name under `class`; one as it is.

    Raises:
        ValueError: for an unknown name or setting.

    Example:
        >>> get_training({"class": "trades", "beta": 3.0}).beta
        3.0
    """
    if isinstance(training, AdversarialTraining):
        return training
    if isinstance(training, str):
        return TRAININGS.build(training)
    if not isinstance(training, Mapping) or "class" not in training:
        accepted = f"one of {', '.join(TRAININGS.names())}, or settings with one of these under `class`"
        raise ArgumentError("adversarial", training, accepted)
    return TRAININGS.build(str(training["class"]), {key: value for key, value in training.items() if key != "class"})


def divergence(of: Tensor, by: Tensor) -> Tensor:
    """KL(softmax(of) || softmax(by)) of logits, `[B]`."""
    found: Tensor = F.kl_div(by.log_softmax(1), of.log_softmax(1), log_target=True, reduction="none").sum(1)
    return found


def withstood(logits: Tensor, batch: TrainingBatch) -> Tensor:
    """Whether the label is predicted, bool `[B]`."""
    return logits.detach().argmax(1) == batch.labels
