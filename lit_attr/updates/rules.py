"""The update rules that need nothing but the gradient, and the table of all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative
from lit_attr._view import Passes
from lit_attr.registry import Registry
from lit_attr.updates.step import Step, Update

__all__ = ["BIM", "UPDATES", "L2Step", "UpdateRule", "get_update"]


class UpdateRule(ABC):
    """Base of the update rules that have a name: frozen settings, called with a `Step`."""

    @property
    def passes(self) -> Passes:
        """What a step evaluates beside the walk's own points, per walk."""
        return Passes(0, 0)

    @abstractmethod
    def __call__(self, step: Step) -> Tensor:
        """The moves `[N, ...]`."""


UPDATES: Registry[UpdateRule] = Registry("update rule", UpdateRule)  # type: ignore[type-abstract]


@UPDATES.register("bim")
@dataclass(frozen=True)
class BIM(UpdateRule):
    """The basic iterative method: alpha * sign(grad L).

    Paper: Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", 2017, section 2.2.

    Args:
        alpha: step per feature, in units of the input.
    """

    alpha: float = 2 / 255

    def __post_init__(self) -> None:
        not_negative("alpha", self.alpha)

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        return self.alpha * step.ascent.sign()


@UPDATES.register("l2")
@dataclass(frozen=True)
class L2Step(UpdateRule):
    """A step of one length along the gradient: alpha * grad L / ||grad L||, nothing where the gradient is zero.

    Args:
        alpha: Euclidean length of a step, in units of the input.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        not_negative("alpha", self.alpha)

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        flat = step.ascent.flatten(1)
        # Scaled by the largest value first: the squares of tiny gradients would be zero in float32.
        flat = flat / flat.abs().amax(1, keepdim=True).clamp_min(_tiny(flat))
        unit: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_min(_tiny(flat))
        return self.alpha * unit.view_as(step.ascent)


def get_update(update: str | Mapping[str, Any] | Update) -> Update:
    """The rule behind a name, or behind settings with the name under `class`; a function of a `Step` as it is.

    Raises:
        ValueError: for an unknown name or setting.

    Example:
        >>> get_update("bim"), get_update({"class": "l2", "alpha": 0.5})
        (BIM(alpha=0.00784313725490196), L2Step(alpha=0.5))
    """
    if isinstance(update, str):
        return UPDATES.build(update)
    if isinstance(update, Mapping):
        settings = dict(update)
        return UPDATES.build(str(settings.pop("class", "")), settings)
    if not callable(update):
        raise ArgumentError("update", update, "the name of an update rule, settings, or a function of a Step")
    return update


def _tiny(values: Tensor) -> float:
    return float(torch.finfo(values.dtype).tiny)
