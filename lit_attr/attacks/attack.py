"""The contract of every attack: frozen settings, called with a model, samples and their classes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, batch_limit, not_negative_int, setting_types
from lit_attr._view import Passes, View, looking_at
from lit_attr.registry import Registry
from lit_attr.targets import ClassTarget, Target
from lit_attr.updates import Norm, Walks, at_goal, left_class, plain_name

__all__ = ["ATTACKS", "Attack", "Attacked", "Targeted", "get_attack", "get_attacks"]

Targeted: TypeAlias = bool | Literal["least_likely", "random"]


class Attacked(NamedTuple):
    """What an attack did to a batch.

    Attributes:
        adversarial: like the inputs.
        success: whether the model is fooled by it, bool `[B]`: another class is predicted than the given one, or the
            one that was sought. Samples that were fooled before count. None for targets that compare no classes.
        evidence: of the model at it, `[B, K]`.
        passes: forward and backward passes that were run, per sample, the one that finds `evidence` included.
    """

    adversarial: Tensor
    success: Tensor | None
    evidence: Tensor
    passes: Passes


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """Base of all attacks.

    A subclass is a frozen dataclass with its settings; it writes `perturb` and `cost`. It holds no model and no state.

    Args:
        targeted: False leaves the given class; True seeks it; "least_likely" seeks the class that is least likely at
            the input, "random" a class other than the given one, of which as many steps behind it for all samples.
        seed: of the private random numbers. A result does not depend on the batch that the sample sat in.
        max_batch: the most variants in one forward pass; None chooses from the device and the size of a sample, and
            halves it when memory runs out.
    """

    TARGETABLE: ClassVar[bool] = True  # whether it can seek a class

    targeted: Targeted = False
    seed: int = 0
    max_batch: int | None = None

    def __post_init__(self) -> None:
        setting_types(self)
        batch_limit("max_batch", self.max_batch)
        not_negative_int("seed", self.seed)
        if not isinstance(self.targeted, bool) and self.targeted not in ("least_likely", "random"):
            raise ArgumentError("targeted", self.targeted, "true, false, 'least_likely' or 'random'")
        if self.targeted and not self.TARGETABLE:
            raise ArgumentError("targeted", self.targeted, f"false for {type(self).__name__}")

    def __call__(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None = None,
        *,
        start: Tensor | None = None,
    ) -> Tensor:
        """The adversarial samples alone; see `run`. Costs `passes`, and one forward more where `target` is None."""
        with looking_at(model, inputs, self._given(target), self.max_batch) as view:
            return self._perturbed(view, self._walks(view), start)

    def run(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None = None,
        *,
        start: Tensor | None = None,
    ) -> Attacked:
        """The adversarial samples and what the model makes of them.

        Args:
            model: any module that gives logits (see `lit_attr.targets.logits_of`). It is evaluated in eval mode and
                nothing in it is changed; it may be frozen, compiled, in training, or wrapped for several processes.
            inputs: samples `[B, ...]`, floating; images `[B, C, H, W]` in [0, 1] with the normalisation in the model.
            target: the true class, or with `targeted=True` the one to reach: an index, a long tensor `[B]`, a
                `Target`; None is the predicted class.
            start: where to begin instead of at the inputs, of their shape; only for attacks that go in steps, without a
                random start.

        Raises:
            ValueError: for non-finite inputs or such outside their range, a class out of range, or a model that the
                attack cannot work on.
        """
        with looking_at(model, inputs, self._given(target), self.max_batch) as view:
            walks = self._walks(view)
            adversarial = self._perturbed(view, walks, start)
            evidence = view.evidence_at(adversarial, view.rows, self.max_batch)
            success = fooled(evidence, walks) if view.target.compares_classes else None
            return Attacked(adversarial, success, evidence, view.passes)

    @property
    def passes(self) -> Passes:
        """Passes per sample of a call with a given target; the most where an attack may end early."""
        found = self.cost()
        return Passes(found.forward + isinstance(self.targeted, str), found.backward)

    @property
    def ball(self) -> tuple[float, Norm] | None:
        """The radius that it keeps to, and the norm; None where it has none."""
        eps = getattr(self, "eps", None)
        return None if eps is None else (float(eps), getattr(self, "norm", "linf"))

    @property
    def fewest_classes(self) -> int:
        """Of a model that it can attack."""
        return 2

    def at_radius(self, eps: float) -> Self:
        """With another radius, and steps as large beside it as they were; without a radius as it is.

        Example:
            >>> changed = get_attack("pgd", eps=8 / 255, alpha=2 / 255).at_radius(16 / 255)
            >>> round(changed.eps * 255, 6), round(changed.alpha * 255, 6)
            (16.0, 4.0)
        """
        if self.ball is None:
            return self
        old, alpha = self.ball[0], getattr(self, "alpha", None)
        scaled = {} if alpha is None or not old else {"alpha": alpha * eps / old}
        settings: dict[str, Any] = {"eps": eps, **scaled}
        return replace(self, **settings)

    @abstractmethod
    def perturb(self, view: View, walks: Walks, start: Tensor | None) -> Tensor:
        """The adversarial samples, float32 or wider, `[B, ...]`; called once per call, inside the guard.

        Args:
            view: the model and the batch.
            walks: of each sample one: the class that it leaves, or seeks.
            start: where to begin, or None for the inputs.
        """

    @abstractmethod
    def cost(self) -> Passes:
        """What `perturb` runs."""

    def _given(self, target: int | Tensor | Target | None) -> int | Tensor | Target | None:
        if self.targeted is True and target is None:
            raise ArgumentError("target", target, "the class to reach, with targeted=True")
        return target

    def _walks(self, view: View) -> Walks:
        given = view.target.index
        if self.targeted is False:
            return Walks.of(given[:, None], -1.0)
        if self.targeted is True:
            return Walks.of(given[:, None], 1.0)
        if not isinstance(view.target, ClassTarget):
            raise ArgumentError("targeted", self.targeted, f"true or false for a {type(view.target).__name__}")
        if self.targeted == "least_likely":
            return Walks.of(view.evidence_at(view.inputs, view.rows, self.max_batch).argmin(1, keepdim=True), 1.0)
        classes = view.evidence_at(view.inputs, view.rows, self.max_batch).shape[1]
        behind = torch.randint(1, max(2, classes), (1,), generator=torch.Generator().manual_seed(self.seed))
        return Walks.of((given[:, None] + int(behind)) % classes, 1.0)

    def _perturbed(self, view: View, walks: Walks, start: Tensor | None) -> Tensor:
        if start is not None and start.shape != view.inputs.shape:
            raise ArgumentError(
                "start", f"shape {tuple(start.shape)}", f"of the inputs' shape {tuple(view.inputs.shape)}"
            )
        found = self.perturb(view, walks, start).detach()
        return found if found.dtype == view.inputs.dtype else _towards(found, view.inputs)


def fooled(evidence: Tensor, walks: Walks) -> Tensor:
    """Which walks have what they wanted, bool `[n]`; they all leave their class, or all seek it."""
    leaving = bool((walks.toward < 0).all())
    return left_class(evidence, walks) if leaving else at_goal(evidence, walks)


def rightly(evidence: Tensor, labels: Tensor) -> Tensor:
    """Which evidence `[B, K]` is finite and largest at the label, bool `[B]`."""
    return (evidence.argmax(1) == labels.to(evidence.device)) & evidence.isfinite().all(1)


def _towards(points: Tensor, inputs: Tensor) -> Tensor:
    """Points in the inputs' lower precision, no further from the inputs in any feature."""
    found = points.to(inputs.dtype)
    further = (found.float() - inputs.float()).abs() > (points - inputs.float()).abs()
    return torch.where(further, torch.nextafter(found, inputs), found)


ATTACKS: Registry[Attack] = Registry("attack", Attack)  # type: ignore[type-abstract]


def get_attack(attack: str | Mapping[str, Any] | Attack, **settings: Any) -> Attack:
    """The attack behind a name and settings, or behind settings with the name under `class`; one as it is.

    Names are read without regard to case, ABE's abbreviations are known. One that is none of `ATTACKS`, and
    "torchattacks.NAME", is an attack of torchattacks (see `TorchAttack`), with its settings.

    Raises:
        ValueError: for an unknown name or setting.

    Example:
        >>> get_attack("PGD", steps=20).steps, get_attack({"class": "MIM", "eps": 0.1}).eps
        (20, 0.1)
    """
    if isinstance(attack, Attack):
        return replace(attack, **settings)
    if isinstance(attack, Mapping):
        settings = {**attack, **settings}
        attack = str(settings.pop("class", ""))
    if not isinstance(attack, str):
        raise ArgumentError("attack", attack, "the name of an attack, settings, or an Attack")
    name = plain_name(attack)
    if name not in ATTACKS.names():
        from lit_attr.attacks.foreign import TorchAttack  # it needs `Attack`

        if TorchAttack.knows(name):
            own = {key: settings.pop(key) for key in TorchAttack.OWN & settings.keys()}
            return TorchAttack(name, settings, **own)
    return ATTACKS.build(name, settings)


def get_attacks(
    attacks: Sequence[str | Mapping[str, Any] | Attack] | Mapping[str, Mapping[str, Any] | Attack | None],
) -> dict[str, Attack]:
    """Attacks by the name they are logged under.

    Args:
        attacks: a list of what `get_attack` takes, or a mapping from the name to log under to an attack or to settings.
            In settings the key `class` names the attack where it differs from the key of the mapping.

    Raises:
        ValueError: for an unknown name or setting, or a name given twice.

    Example:
        >>> get_attacks({"pgd": {}, "pgd_100": {"class": "pgd", "steps": 100}})["pgd_100"].steps
        100
    """
    pairs: list[tuple[str, str | Mapping[str, Any] | Attack]]
    if isinstance(attacks, Mapping):
        pairs = [
            (key, it if isinstance(it, Attack) else {"class": key} | dict(it or {})) for key, it in attacks.items()
        ]
    else:
        pairs = [(_label(it), it) for it in attacks]
    found: dict[str, Attack] = {}
    for label, it in pairs:
        if label in found:
            msg = f"attack '{label}' is given twice; use a mapping with two names"
            raise ValueError(msg)
        found[label] = get_attack(it)
    return found


def _label(attack: str | Mapping[str, Any] | Attack) -> str:
    """The name to log under where none is given."""
    if isinstance(attack, Attack):
        return str(getattr(attack, "name", "") or ATTACKS.name_of(attack)).casefold()
    return plain_name(str(attack if isinstance(attack, str) else attack.get("class"))).rpartition(".")[2].casefold()
