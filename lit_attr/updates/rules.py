"""What update rules are, the table of all, and the simplest."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative
from lit_attr._view import Passes
from lit_attr.objectives import Objective
from lit_attr.registry import Registry
from lit_attr.updates.region import Norm
from lit_attr.updates.step import Step, Update

__all__ = ["UPDATES", "L2Step", "UpdateRule", "get_update", "plain_name", "unit"]

_ALIASES = {"dim": "difgsm", "tim": "tifgsm", "mim": "mifgsm", "sinim": "sinifgsm", "c&w": "cw"}  # as in ABE


class UpdateRule(ABC):
    """Base of the update rules that have a name: frozen settings, called with a `Step`."""

    @property
    def passes(self) -> Passes:
        """What a step evaluates beside the walk's own points, per walk."""
        return Passes(0, 0)

    @property
    def once(self) -> Passes:
        """What it evaluates before the first step, per walk."""
        return Passes(0, 0)

    @property
    def guided(self) -> bool:
        """Whether the rule looks at `Step.ascent`."""
        return True

    @property
    def loss(self) -> Objective | None:
        """What the rule must climb, as a function of evidence and goal; None for whatever the walk climbs."""
        return None

    @property
    def ceiling(self) -> float | None:
        """The value above which the rule's loss is not climbed any further; None climbs on."""
        return None

    @property
    def length(self) -> Norm | None:
        """The norm in which a step is `alpha` long (and `eps` a radius, where there is one); None where it is not."""
        return None

    @property
    def takes(self) -> frozenset[str]:
        """The names of its settings."""
        return frozenset(getattr(self, "__dataclass_fields__", ()))

    def having(self, settings: Mapping[str, Any]) -> "UpdateRule":
        """The rule with other values of some of its settings."""
        rule: Any = self
        return replace(rule, **settings) if settings else rule  # type: ignore[no-any-return]

    @abstractmethod
    def __call__(self, step: Step) -> Tensor:
        """The moves `[N, ...]`."""


UPDATES: Registry[UpdateRule] = Registry("update rule", UpdateRule)  # type: ignore[type-abstract]


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

    @property
    def length(self) -> Norm:
        """Euclidean."""
        return "l2"

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        return self.alpha * unit(step.ascent)


def get_update(update: str | Mapping[str, Any] | Update) -> Update:
    """The rule behind a name, or behind settings with the name under `class`; a function of a `Step` as it is.

    A name that is none of `UPDATES`, and "torchattacks.NAME", is an attack of torchattacks (see `TorchAttacks`), in any
    case; its settings stand beside the name, as does `bounds`.

    Raises:
        ValueError: for an unknown name or setting.

    Example:
        >>> get_update("l2"), get_update({"class": "L2", "alpha": 0.5})
        (L2Step(alpha=0.1), L2Step(alpha=0.5))
    """
    if isinstance(update, str):
        return _built(update, {})
    if isinstance(update, Mapping):
        settings = dict(update)
        return _built(str(settings.pop("class", "")), settings)
    if not callable(update):
        raise ArgumentError("update", update, "the name of an update rule, settings, or a function of a Step")
    return update


def _built(name: str, settings: dict[str, Any]) -> UpdateRule:
    plain = plain_name(name)
    if plain not in UPDATES.names():
        from lit_attr.updates._torchattacks import attack_name  # they bring the library, and need `UpdateRule`
        from lit_attr.updates.foreign import TorchAttacks

        if plain.startswith("torchattacks.") or attack_name(plain):
            bounds = settings.pop("bounds", "auto")
            return TorchAttacks(plain, settings, bounds)
    return UPDATES.build(plain, settings)


def plain_name(name: str) -> str:
    """Of a rule or an attack, as the registries have it: in lower case, ABE's abbreviations written out.

    Example:
        >>> plain_name("DIM"), plain_name("MIFGSM"), plain_name("torchattacks.VMIFGSM")
        ('difgsm', 'mifgsm', 'torchattacks.VMIFGSM')
    """
    return name if "." in name else _ALIASES.get(name.casefold(), name.casefold())


def unit(values: Tensor) -> Tensor:
    """Each row of `[N, ...]` scaled to the Euclidean length one; zero where it is zero."""
    tiny = float(torch.finfo(values.dtype).tiny)
    flat = values.flatten(1)
    # Scaled by the largest value first: the squares of tiny gradients would be zero in float32.
    flat = flat / flat.abs().amax(1, keepdim=True).clamp_min(tiny)
    scaled: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_min(tiny)
    return scaled.view_as(values)
