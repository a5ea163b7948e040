"""The attacks of torchattacks, and AutoAttack put together from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from lit_attr import updates
from lit_attr._checks import ArgumentError, not_negative, one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attacks.attack import ATTACKS, Attack
from lit_attr.updates import Bounds, Norm, TorchAttacks, Walks, check_bounds, run_torchattacks
from lit_attr.updates._torchattacks import attack_name

__all__ = ["AutoAttack", "TorchAttack", "as_torchattack"]


@dataclass(frozen=True)
class TorchAttack(Attack):
    """An attack of torchattacks by name, on a model that it cannot change.

    Library: torchattacks 3.5.1. The whole batch is attacked at once, with global random numbers seeded by `seed` and
    put back afterwards; so results of random attacks may depend on which samples are in a batch.

    Args:
        name: as "VMIFGSM" or "torchattacks.VMIFGSM", in any case.
        settings: of the attack, by name, as torchattacks has them; lengths in units of the input.
        bounds: the range of the inputs; "auto" is [0, 1] for images, which others must keep to or give theirs.

    Raises:
        ValueError: for an unknown attack or setting; when called, for what the attack cannot work on.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> TorchAttack("VMIFGSM", {"eps": 0.1})(model, torch.rand(2, 3, 2, 2), torch.tensor([0, 2])).shape
        torch.Size([2, 3, 2, 2])
    """

    OWN: ClassVar[frozenset[str]] = frozenset({"bounds", "targeted", "seed", "max_batch"})

    name: str
    settings: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    bounds: Bounds = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = self.rule
        for name in ("name", "settings", "bounds"):
            object.__setattr__(self, name, getattr(rule, name))

    @staticmethod
    def knows(name: str) -> bool:
        """Whether this is an attack of torchattacks, or is meant to be one."""
        return name.startswith("torchattacks.") or attack_name(name) is not None

    @property
    def rule(self) -> TorchAttacks:
        """The attack as an update rule."""
        return TorchAttacks(self.name, self.settings, self.bounds)

    @property
    def fewest_classes(self) -> int:
        """As many as its loss compares."""
        return self.rule.fewest_classes(targeted=bool(self.targeted))

    @property
    def ball(self) -> tuple[float, Norm] | None:
        """Of attacks with a setting `eps`."""
        every = self.rule.every
        flat = self.name != "PGDL2" and every.get("norm", "Linf") == "Linf"
        return (float(every["eps"]), "linf" if flat else "l2") if every.get("eps") is not None else None

    def at_radius(self, eps: float) -> Self:
        """Its settings `eps` and `alpha`."""
        if self.ball is None:
            return self
        every, old = self.rule.every, self.ball[0]
        scaled = {"alpha": every["alpha"] * eps / old} if "alpha" in every and old else {}
        return replace(self, settings={**dict(self.settings), "eps": eps, **scaled})

    def perturb(self, view: View, walks: Walks, start: Tensor | None) -> Tensor:
        """The attack's result."""
        return _run(self.rule, view, walks, start, self.seed)

    def cost(self) -> Passes:
        """Of attacks that go step by step; NaN where it is not known beforehand."""
        rule = self.rule
        if not rule.recorded:
            return Passes(math.nan, math.nan)
        steps = rule.every.get("steps", rule.every.get("num_iter_set", 1))
        return Passes(steps * rule.passes.forward, steps * rule.passes.backward)


@ATTACKS.register("autoattack")
@dataclass(frozen=True)
class AutoAttack(Attack):
    """RobustBench's protocol: APGD-CE, APGD-T, FAB-T and Square, each on the samples that still stand.

    Paper: Croce, Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks", 2020, section 5: 100 iterations, nine other classes, 5000 queries, one run. Library: the parts are those
    of torchattacks, whose own `AutoAttack` has 10 iterations. Four classes or more.

    Args:
        eps: radius of the ball around the input.
        norm: "linf" or "l2".
        steps: iterations of the three gradient attacks.
        queries: of Square.
        bounds: the range of the inputs; "auto" is [0, 1] for images.
    """

    TARGETABLE: ClassVar[bool] = False

    eps: float = 8 / 255
    norm: Norm = "linf"
    steps: int = 100
    queries: int = 5000
    bounds: Bounds = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("eps", self.eps)
        one_of("norm", self.norm, ["linf", "l2"])
        positive_int("steps", self.steps)
        positive_int("queries", self.queries)
        check_bounds(self.bounds)

    @property
    def rule(self) -> TorchAttacks:
        """The four attacks in turn."""
        common = {"eps": self.eps, "norm": self.norm.capitalize(), "n_restarts": 1, "seed": self.seed}
        parts = [
            {"class": "APGD", "loss": "ce", "steps": self.steps, **common},
            {"class": "APGDT", "steps": self.steps, **common},
            {"class": "FAB", "multi_targeted": True, "steps": self.steps, **common},
            {"class": "Square", "n_queries": self.queries, "resc_schedule": False, **common},
        ]
        return TorchAttacks("MultiAttack", {"attacks": parts}, self.bounds)

    @property
    def fewest_classes(self) -> int:
        """Those of the targeted DLR loss."""
        return self.rule.fewest_classes(targeted=False)

    def perturb(self, view: View, walks: Walks, start: Tensor | None) -> Tensor:
        """The result of the first that fools the model."""
        return _run(self.rule, view, walks, start, self.seed)

    def cost(self) -> Passes:
        """Not known beforehand: samples leave where one attack has fooled the model."""
        return Passes(math.nan, math.nan)


def as_torchattack(attack: Attack, model: nn.Module) -> Any:
    """An attack as one of torchattacks, for its `MultiAttack`, `save()`, `set_normalization_used` and targeted modes.

    Returns:
        An instance of `torchattacks.attack.Attack`, called with images and labels.

    Example:
        >>> import torch
        >>> from lit_attr.attacks import MIFGSM
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> as_torchattack(MIFGSM(), model)(torch.rand(2, 3, 2, 2), torch.tensor([0, 2])).shape
        torch.Size([2, 3, 2, 2])
    """
    targeted = replace(attack, targeted=True) if attack.TARGETABLE else None
    return updates.as_torchattack(attack, model, targeted=targeted)


def _run(rule: TorchAttacks, view: View, walks: Walks, start: Tensor | None, seed: int) -> Tensor:
    if start is not None:
        raise ArgumentError("start", "a tensor", f"None for torchattacks.{rule.name}")
    points = view.inputs.to(view.dtype)
    return run_torchattacks(view, points, rule.name, dict(rule.settings), walks.goal, walks.toward, rule.bounds, seed)
