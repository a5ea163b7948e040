"""What a round of robustness tries: each attack at each eps, each corruption at each strength."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lit_attr._checks import ArgumentError, numbers
from lit_attr.attacks import Attack, get_attacks
from lit_attr.corruptions import (
    CORRUPTIONS,
    Corruption,
    GaussianNoiseC,
    ImageNetC,
    ImpulseNoiseC,
    SpeckleNoiseC,
    get_corruption,
)

_FRACTION = re.compile(r"\s*(\d+(?:\.\d*)?)\s*/\s*(\d+(?:\.\d*)?)\s*")
_STRENGTHS = ("severity", "sigma", "amount")  # a corruption has one of them
_RESERVED = {"clean", "worst_case", "corruptions", "mce", "sanity", "curves", "samples", "panels", "table"}

# Of a corruption that is named without a strength; noise takes those of its severities in ImageNet-C.
_USUAL: dict[str, Sequence[float]] = {
    "gaussian": GaussianNoiseC.levels["imagenet"],
    "speckle": SpeckleNoiseC.levels["imagenet"],
    "salt_and_pepper": ImpulseNoiseC.levels["imagenet"],
}


@dataclass(frozen=True)
class Trial:
    """One thing that is done to all samples.

    Attributes:
        name: of the attack or corruption.
        strength: as it is written in names, such as "8_255" or "0.1".
        value: the strength as a number; None for an attack without an eps.
        axis: what the number is: "eps" in L-infinity, "eps (L2)", "severity", "sigma", "amount".
        do: the attack or the corruption.
        own: whether this is the attack as it was given, which counts for its success and the worst case; an eps that
            only belongs to the curve does not.
        in_curve: whether the number belongs to a curve.
    """

    name: str
    strength: str
    value: float | None
    axis: str
    do: Attack | Corruption
    own: bool = True
    in_curve: bool = True

    @property
    def key(self) -> str:
        """The name that its accuracy is logged under, after that of the callback."""
        return f"{self.name}/{self.strength}"


def attack_trials(attacks: Iterable[str] | Mapping[str, Any], eps: Sequence[float | str] = ()) -> list[Trial]:
    """The attacks as given, and each that has an eps at those of the curve, but for those with `curve: false`.

    Example:
        >>> attacks = {"pgd": {"eps": "4/255"}, "autoattack": {"curve": False}}
        >>> [trial.key for trial in attack_trials(attacks, ["2/255", 4 / 255, 0.5])]
        ['pgd/2_255', 'pgd/4_255', 'pgd/0.5', 'autoattack/8_255']
    """
    settings = _read(attacks) if isinstance(attacks, Mapping) else {}
    alone = {name for name, each in settings.items() if isinstance(each, dict) and not _wants_curve(each)}
    built = get_attacks(settings or list(attacks))
    curve = numbers("eps", [_read(e) for e in eps], "numbers above 0, or texts like 8/255", _positive) if eps else ()
    along = sorted(set(curve))
    trials = [
        trial for name, attack in built.items() for trial in _of_attack(name, attack, [] if name in alone else along)
    ]
    return _distinct("attacks", trials)


def corruption_trials(corruptions: Iterable[str] | Mapping[str, Any]) -> list[Trial]:
    """Each corruption at each of its strengths; a list in a setting is several.

    Example:
        >>> [trial.key for trial in corruption_trials({"gaussian": {"sigma": [0.1, 0.2]}, "fog": {"severity": 5}})]
        ['gaussian/0.1', 'gaussian/0.2', 'fog/5']
    """
    items = corruptions.items() if isinstance(corruptions, Mapping) else [(name, None) for name in corruptions]
    return _distinct("corruptions", [trial for name, settings in items for trial in _of_corruption(name, settings)])


def check_names(attacks: Sequence[Trial], corruptions: Sequence[Trial]) -> None:
    """Refuse names that would be logged twice, or mean something else."""
    for trial in (*attacks, *corruptions):
        if trial.name in _RESERVED or "/" in trial.name:
            accepted = f"a name without a slash, and none of {', '.join(sorted(_RESERVED))}"
            raise ArgumentError("attacks" if trial in attacks else "corruptions", trial.name, accepted)
    both = {trial.name for trial in attacks} & {trial.name for trial in corruptions}
    if both:
        raise ArgumentError("corruptions", sorted(both)[0], "names that no attack has")


def strength_name(value: float, *, steps: bool) -> str:
    """A strength as part of a logged name: no slash, and no rounded fraction where it is a whole step of 8 bits.

    Example:
        >>> strength_name(8 / 255, steps=True), strength_name(0.5, steps=True), strength_name(0.1, steps=False)
        ('8_255', '0.5', '0.1')
    """
    levels = value * 255
    if steps and 0 < round(levels) < 255 and abs(levels - round(levels)) < 1e-6:
        return f"{round(levels)}_255"
    return f"{value:g}"


def _of_attack(name: str, attack: Attack, curve: Sequence[float]) -> Iterator[Trial]:
    if attack.ball is None:
        yield Trial(name, "accuracy", None, "", attack)
        return
    own, norm = attack.ball
    flat = norm == "linf"
    axis = "eps" if flat else "eps (L2)"
    near = [value for value in curve if abs(value - own) <= 1e-9]
    for value in curve if near else sorted([*curve, own]):
        same = abs(value - own) <= 1e-9
        changed = attack if same else attack.at_radius(value)
        yield Trial(name, strength_name(value, steps=flat), value, axis, changed, own=same, in_curve=bool(curve))


def _wants_curve(settings: dict[str, Any]) -> bool:
    """Take out of an attack's settings what is none of the attack."""
    wanted = settings.pop("curve", True)
    if not isinstance(wanted, bool):
        raise ArgumentError("curve", wanted, "true or false")
    return wanted


def _of_corruption(name: str, settings: Any) -> Iterator[Trial]:
    if isinstance(settings, Corruption):
        made = [settings]
    elif settings is None or isinstance(settings, Mapping):
        given = dict(settings or {})
        kind = str(given.pop("class", name))
        parameter = _strength_of(CORRUPTIONS.get(kind))
        usual = range(1, 6) if issubclass(CORRUPTIONS.get(kind), ImageNetC) else _USUAL.get(kind, ())
        values = given.pop(parameter, None) or list(usual)
        listed = list(values) if isinstance(values, list | tuple) else [values]
        made = [get_corruption(kind, **{**given, parameter: value}) for value in listed]
    else:
        raise ArgumentError(f"corruptions['{name}']", settings, "settings, or a Corruption")
    for corruption in made:
        parameter = _strength_of(type(corruption))
        value = getattr(corruption, parameter)
        yield Trial(name, strength_name(value, steps=False), value, parameter, corruption, in_curve=len(made) > 1)


def _strength_of(kind: type[Corruption]) -> str:
    names = {f.name for f in fields(kind)}
    found = next((name for name in _STRENGTHS if name in names), None)
    if found is None:
        raise ArgumentError("corruptions", kind.__name__, f"a corruption with one of {', '.join(_STRENGTHS)}")
    return found


def _distinct(argument: str, trials: list[Trial]) -> list[Trial]:
    keys = [trial.key for trial in trials]
    again = next((key for key in keys if keys.count(key) > 1), None)
    if again is not None:
        raise ArgumentError(argument, f"{again} twice", "different strengths")
    return trials


def _positive(value: float) -> bool:
    return value > 0


def _read(value: Any) -> Any:
    """Texts like "8/255" as numbers, also in settings."""
    if isinstance(value, Mapping):
        return {key: _read(inner) for key, inner in value.items()}
    match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) / float(match[2]) if match and float(match[2]) else value
