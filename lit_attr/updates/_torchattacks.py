"""The library torchattacks: its attacks by name and setting, and ours as one of theirs.

Library: torchattacks 3.5.1, https://github.com/Harry24k/adversarial-attacks-pytorch. It is imported here alone, and
only on use. What it would leave behind (modes of the model, gradients of parameters, random state) is kept from it by
the view and by `Victim`.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr.registry import did_you_mean
from lit_attr.updates._victim import Victim

__all__ = ["as_torchattack", "attack_name", "build_attack", "checked_settings", "defaults_of", "known_attack"]

Attacking: TypeAlias = Callable[..., Tensor]

_PREFIX = "torchattacks."
_TARGETS = 9  # of AutoAttack's parts, in its paper and in RobustBench

# What is a length in the space of images, and so is given in units of the input.
_LENGTHS = {"eps", "alpha", "max_epsilon", "noise_sd"}
_MORE_LENGTHS = {"GN": {"std"}, "SPSA": {"delta", "lr"}, "JSMA": {"theta"}}

_BROKEN = {"c", "kappa", "lam", "nsig", "scale"}  # numbers that may be, though their defaults are integers


def attack_name(name: str) -> str | None:
    """An attack's name as torchattacks writes it, from that or the path of its class; None where it has no such attack.

    Example:
        >>> attack_name("vmifgsm"), attack_name("torchattacks.CW"), attack_name("torchattacks.attacks.pgd.PGD")
        ('VMIFGSM', 'CW', 'PGD')
        >>> attack_name("l2") is None
        True
    """
    plain = _last(name).casefold()
    return next((found for found in _classes() if found.casefold() == plain), None)


def known_attack(name: str) -> str:
    """The same; an unknown one is refused with the nearest."""
    found = attack_name(name)
    if found is None:
        wanted = _last(name)
        msg = f"torchattacks has no attack '{wanted}'; {did_you_mean(wanted, _classes())}"
        raise ValueError(msg)
    return found


def defaults_of(name: str) -> dict[str, Any]:
    """The settings of an attack, with their defaults."""
    parameters = inspect.signature(_classes()[name].__init__).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in {"self", "model"}}


def checked_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, lists as tuples; an unknown one is refused with the nearest, and one of another kind."""
    accepted = defaults_of(name)
    for key, value in settings.items():
        if key not in accepted:
            msg = f"torchattacks.{name} has no setting '{key}'; {did_you_mean(key, accepted)}"
            raise ValueError(msg)
        kind = _kind(key, accepted[key])
        if kind is not None and not kind[1](value):
            raise ArgumentError(key, value, f"{kind[0]} for torchattacks.{name}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def build_attack(name: str, settings: Mapping[str, Any], victim: Victim, classes: int, seed: int) -> Any:
    """An attack on a victim.

    Args:
        name: as torchattacks writes it.
        settings: in units of the input.
        victim: the model.
        classes: how many it has, for attacks that must be told.
        seed: for attacks that seed the random state, where `settings` has none.
    """
    every = defaults_of(name) | ({"seed": seed} if "seed" in defaults_of(name) else {})
    if "n_classes" in every:
        every["n_classes"] = min(classes, _TARGETS + 1)  # it only says how many other classes are tried
    every |= settings
    if name == "MultiAttack":
        every["attacks"] = [
            build_attack(each.name, dict(each.settings), victim, classes, seed) for each in every["attacks"]
        ]
        return _classes()[name](**every)
    for key in (_LENGTHS | _MORE_LENGTHS.get(name, set())) & set(every):
        if every[key] is not None and victim.scale.length != 1:
            every[key] = every[key] / victim.scale.length
    attack = _classes()[name](victim, **every)
    if name == "JSMA":  # it has ten classes written in, of which it would go to the next one
        attack.set_mode_targeted_by_function(lambda images, labels: (labels + 1) % classes, quiet=True)  # noqa: ARG005
    return attack


def as_torchattack(
    attack: Attacking, model: nn.Module, *, targeted: Attacking | None = None, name: str | None = None
) -> Any:
    """Any attack as one of torchattacks, for `MultiAttack`, `save()`, `set_normalization_used` and targeted modes.

    Unlike those of torchattacks it leaves every part of the model in the mode that it was in, also after an error.

    Args:
        attack: from a model, images and labels (None where none are given) to adversarial images.
        model: the model that is attacked.
        targeted: the same, towards the labels; without it there are no targeted modes.
        name: that it is printed under; by default the attack's class.

    Returns:
        An instance of `torchattacks.attack.Attack`.

    Example:
        >>> import torch
        >>> shift = as_torchattack(lambda model, images, labels: images + 0.1, torch.nn.Linear(2, 2), name="Shift")
        >>> shift(torch.zeros(1, 2), torch.zeros(1).long())
        tensor([[0.1000, 0.1000]])
    """
    from torchattacks.attack import Attack

    class Exported(Attack):  # type: ignore[misc]  # the library has no types
        def __init__(self) -> None:
            super().__init__(name or type(attack).__name__, model)
            self.supported_mode = ["default", "targeted"] if targeted else ["default"]

        def __call__(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
            applied = self._normalization_applied
            try:
                with _same_modes(self.model):
                    found: Tensor = super().__call__(inputs, labels)
            finally:
                self._set_normalization_applied(applied)
            return found

        def save(self, data_loader: Any, save_path: Any = None, verbose: bool = True, **more: Any) -> Any:
            asked = more.pop("return_verbose", False)
            with _same_modes(self.model):  # without `return_verbose` they have no predictions to save
                told = super().save(data_loader, save_path, verbose, return_verbose=True, **more)
            return told if asked else None

        def set_normalization_used(self, mean: Any, std: Any) -> None:
            super().set_normalization_used(*([float(value) for value in values] for values in (mean, std)))

        def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            device = images.device if self.device is None else self.device
            images, labels = images.to(device), None if labels is None else labels.to(device)
            asked = self.model if self.normalization_used is None else _Normalised(self.model, self.normalize)
            if self.targeted and targeted is not None:
                return targeted(asked, images, self.get_target_label(images, labels))
            return attack(asked, images, labels)

    return Exported()


@contextmanager
def _same_modes(model: nn.Module) -> Iterator[None]:
    """Every part of the model is in its own mode again on leaving."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class _Normalised(nn.Module):
    """A model behind the normalisation that is registered with an attack."""

    def __init__(self, model: nn.Module, normalise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise

    def forward(self, images: Tensor) -> Any:
        return self.model(self.normalise(images))


def _last(name: str) -> str:
    """The part of a path that names the attack."""
    return name.rpartition(".")[2] if name.startswith(_PREFIX) else name


def _kind(key: str, default: Any) -> tuple[str, Callable[[Any], bool]] | None:
    """What values a setting takes, in words and as a test, told from its default; None where that does not say."""
    if isinstance(default, bool):
        return "true or false", lambda value: isinstance(value, bool)
    if isinstance(default, str):
        return "a text or a function", lambda value: isinstance(value, str) or callable(value)
    if isinstance(default, int | float):
        whole = isinstance(default, int) and key not in _BROKEN
        number = (int,) if whole else (int, float)
        words = "an integer of at least 0" if whole else "a number of at least 0"
        return words, lambda value: isinstance(value, number) and not isinstance(value, bool) and value >= 0
    return None


@functools.cache
def _classes() -> dict[str, Any]:
    """The attacks of torchattacks, by name."""
    import torchattacks

    found = {name: getattr(torchattacks, name) for name in torchattacks.__all__}
    return {name: cls for name, cls in found.items() if issubclass(cls, torchattacks.attack.Attack)}
