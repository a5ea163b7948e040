"""Attacks of torchattacks as update rules, and run over an open view."""

import functools
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, unit_range
from lit_attr._guard import private_rng
from lit_attr._view import Passes, View
from lit_attr.targets import ClassTarget
from lit_attr.updates._torchattacks import build_attack, checked_settings, defaults_of, known_attack
from lit_attr.updates._victim import Scale, Victim, autocast_type
from lit_attr.updates.region import Bounds, Norm, check_bounds, get_bounds
from lit_attr.updates.rules import UpdateRule
from lit_attr.updates.step import Step
from lit_attr.updates.walks import Walks

__all__ = ["TorchAttacks", "run_torchattacks"]

# Those whose points can be told from outside: they go from one to the next, and the last leads to the result.
_RECORDED = {
    *("FGSM", "BIM", "PGD", "RFGSM", "FFGSM", "MIFGSM", "NIFGSM", "DIFGSM", "TIFGSM", "SINIFGSM", "VMIFGSM"),
    *("VNIFGSM", "EOTPGD", "UPGD", "Jitter", "TPGD", "PGDL2", "PIFGSM", "PIFGSMPP"),
}
_START_BESIDE = {"RFGSM", "FFGSM", "TPGD"}  # always; others where `random_start` is set
_WHOLE = _RECORDED | {"VANILA", "GN", "CW", "EADL1", "EADEN"}  # those that ask for all samples, in their order
_IMAGES = {"DIFGSM", "TIFGSM", "PIFGSM", "PIFGSMPP", "Square", "OnePixel", "Pixle"}
_THREE_CHANNELS = {"TIFGSM", "PIFGSM", "PIFGSMPP"}  # as many as their kernels have
_DIVERSE = {"DIFGSM", "TIFGSM"}
_BACKWARD_AGAIN = {"FAB", "JSMA", "DeepFool", "SparseFool", "AutoAttack", "MultiAttack"}
_TELL_CLASSES = {"FAB", "JSMA", "APGDT", "AutoAttack", "MultiAttack"}


class _Found(NamedTuple):
    """What an attack came to: the result `[N, ...]`, and the points on its way `[M + 1, N, ...]` where it told them."""

    end: Tensor
    way: Tensor | None


@dataclass(frozen=True)
class TorchAttacks(UpdateRule):
    """An attack of torchattacks as an update rule: the walk leads along the attack's points to its result.

    The attack is run once, as a whole, when walks begin: away from their goals, or towards them. Of attacks that go
    step by step (`recorded`) the walk has their own points x_0, ..., x_M, a random start being a move too, where its
    steps T are a multiple of M: each move is divided into T / M equal parts. Their number of steps, left open, is
    chosen so that M is T. In all other cases the walk is the straight segment from the sample to the result, in T equal
    parts. Which of the two is logged once, at INFO. Points are taken as recorded only where they begin inside the ball
    and no move, that to the result included, is longer than a step of the attack.

    Lengths (`eps`, `alpha` and their like, defaults included) are in units of the input; other settings are as in
    torchattacks, which sees the range of the inputs as [0, 1]. Attacks are run on a batch at once, with random numbers
    seeded by the walk's seed, so that results may depend on which samples are in a batch. What moves is up to the
    attack: a gradient that is zero divides by zero in its momentum, and the sample then stays where it is, which does
    not happen with rules of `lit_attr.updates`.

    Args:
        name: of the attack, as "VMIFGSM" or "torchattacks.VMIFGSM", in any case.
        settings: of the attack, by name, as torchattacks has them.
        bounds: the range of the inputs, which the attack keeps to; "auto" is [0, 1] for images. Without a range inputs
            outside [0, 1] are refused, as all attacks keep to it.

    Raises:
        ValueError: for an unknown attack or setting, and, when walks begin, for what the attack cannot work on.

    Example:
        >>> from lit_attr.updates import get_update
        >>> get_update({"class": "torchattacks.VNIFGSM", "eps": 0.1})
        TorchAttacks(name='VNIFGSM', settings=(('eps', 0.1),), bounds='auto')
    """

    name: str
    settings: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    bounds: Bounds = "auto"

    def __post_init__(self) -> None:
        name, settings = known_attack(self.name), dict(self.settings)
        if name == "LGV":
            raise ArgumentError("name", name, "an attack on one model; this one trains copies of it, on a data loader")
        settings = checked_settings(name, settings)
        if name == "MultiAttack":
            settings["attacks"] = _several(settings.get("attacks", ()))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "settings", tuple(settings.items()))
        check_bounds(self.bounds)
        if self.bounds is not None and self.bounds != "auto":
            object.__setattr__(self, "bounds", tuple(self.bounds))  # a list in a file

    @property
    def recorded(self) -> bool:
        """Whether it is an attack whose points can be told; else the walk is a straight segment."""
        return self.name in _RECORDED

    @property
    def guided(self) -> bool:
        """The attack asks for the gradients it needs."""
        return False

    @property
    def passes(self) -> Passes:
        """Of recorded attacks: what each of their steps asks for; of others that is not known, and none are declared.

        At most: a random start, and fewer steps than the walk's, ask for less.
        """
        if not self.recorded:
            return Passes(0, 0)
        count = self.stride * self.every.get("m", 1) * self.every.get("eot_iter", 1)
        return Passes(count, count)

    @property
    def length(self) -> Norm | None:
        """Of attacks whose points can be told."""
        return (None, "l2" if self.name == "PGDL2" else "linf")[self.recorded]

    @property
    def takes(self) -> frozenset[str]:
        """The names of the attack's settings, but for a norm, which has other names there."""
        return frozenset(self.every) - {"norm"}

    def fewest_classes(self, *, targeted: bool) -> int:
        """The classes that the losses compare: DLR three, or four where it is targeted."""
        if self.name == "MultiAttack":
            parts: Sequence[TorchAttacks] = self.every["attacks"]
            return max(each.fewest_classes(targeted=targeted) for each in parts)
        if self.name == "AutoAttack":
            return 3 if self.every["version"] == "rand" else 4
        if self.every.get("loss") == "dlr":
            return 4 if targeted else 3
        return 4 if self.name == "APGDT" else 2

    def having(self, settings: Mapping[str, Any]) -> "TorchAttacks":
        """The attack with other values of some of its settings."""
        return TorchAttacks(self.name, {**dict(self.settings), **settings}, self.bounds)

    @property
    def every(self) -> dict[str, Any]:
        """The settings, and the defaults of those that are not given."""
        return defaults_of(self.name) | dict(self.settings)

    def __call__(self, step: Step) -> Tensor:
        """The moves to the next points of the way, which is remembered as "way", `[N, T + 1, ...]`."""
        if "way" not in step.memory:
            planned = self._planned(step.steps)
            found = _run(planned, step.view, step.points, step.walks, step.generator.initial_seed())
            moves = 0 if found.way is None else len(found.way) - 1
            exact = moves > 0 and step.steps % moves == 0
            _say(self.name, exact=exact)
            way = found.way if exact and found.way is not None else torch.stack([step.points, found.end])
            step.memory["way"] = _divided(way, step.steps)
        move: Tensor = step.memory["way"][:, step.number + 1] - step.points
        return move

    @property
    def stride(self) -> int:
        """How many points are differentiated for in a step of a recorded attack; of others 0."""
        return 1 + self.every.get("N", 0) if self.recorded else 0

    def _planned(self, steps: int) -> "TorchAttacks":
        """With as many steps as a walk's moves ask for, where they are open and the points can be told."""
        settings = dict(self.settings)
        beside = self.name in _START_BESIDE or bool(self.every.get("random_start"))
        for key in ("steps", "num_iter_set"):
            if self.recorded and key in self.every:
                settings.setdefault(key, max(1, steps - beside))
        return TorchAttacks(self.name, settings, self.bounds)


def run_torchattacks(
    view: View,
    inputs: Tensor,
    name: str,
    settings: Mapping[str, Any] | None,
    goal: Tensor,
    toward: float | Tensor = -1.0,
    bounds: Bounds = "auto",
    seed: int = 0,
) -> Tensor:
    """What an attack of torchattacks makes of the samples of an open view.

    Args:
        view: the model and its batch.
        inputs: where the attack begins, a point for each sample of the view, `[B, ...]`.
        name: see `TorchAttacks`.
        settings: see `TorchAttacks`; None for the defaults of torchattacks.
        goal: the class that a sample is to leave, or to reach, long `[B]`.
        toward: -1.0 to leave it, 1.0 to reach it; a number, or `[B]`.
        bounds: see `TorchAttacks`.
        seed: of the random numbers, for attacks with a setting `seed` where that is not given.

    Returns:
        The adversarial samples `[B, ...]`, detached; float64 for float64 samples, else float32.

    Raises:
        ValueError: see `TorchAttacks`.
    """
    signs = torch.as_tensor(toward, device=inputs.device, dtype=torch.float32).expand(len(inputs))
    walks = Walks(view.rows, goal, signs, torch.zeros_like(view.rows), 1)
    return _run(TorchAttacks(name, settings or {}, bounds), view, inputs.to(view.dtype), walks, seed).end


def _run(rule: TorchAttacks, view: View, points: Tensor, walks: Walks, seed: int) -> _Found:
    """The attack from points `[N, ...]`, first for the walks away from their goals, then for those towards them."""
    bounds = get_bounds(rule.bounds, points)
    if bounds is None:
        unit_range("inputs", points, "give their range as `bounds` of the attack")
    scale = Scale(*(bounds or (0.0, 1.0)), points.shape[1:])
    end, ways = points.detach().clone(), list[tuple[Tensor, Tensor | None]]()
    for sign in sorted(set(walks.toward.tolist())):
        places = (walks.toward == sign).nonzero()[:, 0]
        job = _Job(rule, view, end[places], walks.at(places), scale, targeted=sign > 0)
        end[places], way = job.run(seed)
        ways.append((places, way))
    told = [way for _, way in ways if way is not None]
    if len({len(way) for way in told}) != 1 or len(told) < len(ways):
        return _Found(end, None)
    whole = points.new_empty(len(told[0]), *points.shape)
    for (places, _), way in zip(ways, told, strict=True):
        whole[:, places] = way
    return _Found(end, whole)


@dataclass(frozen=True)
class _Job:
    """An attack on points `[N, ...]`, all away from their goals or all towards them."""

    rule: TorchAttacks
    view: View
    points: Tensor
    walks: Walks
    scale: Scale
    targeted: bool

    def run(self, seed: int) -> _Found:
        """Its result, and the points on its way."""
        rule, images, goal = self.rule, self.scale.images(self.points), self.walks.goal
        with _seeded(seed, images.device):
            classes = self._count_classes()
            self._refuse(rule, classes)
            again = rule.name in _BACKWARD_AGAIN
            victim = Victim(self.view, self.walks, self.scale, rule.stride, again=again)
            attack = build_attack(rule.name, dict(rule.settings), victim, classes, seed)
            if self.targeted:
                if "targeted" not in attack.supported_mode or rule.name == "FAB":  # FAB mixes up goals and labels
                    raise ArgumentError("name", f"torchattacks.{rule.name}", "an attack that can lead to a class")
                attack.set_mode_targeted_by_label(quiet=True)
            with _full_precision(images.device.type):
                found = attack(images, goal).detach()
        found = torch.where(found.isfinite(), found, images)
        way = _way(rule, victim.seen, images, found, self.scale.length)
        whole = None if way is None else torch.stack([self._back(images, each) for each in way])
        return _Found(self._back(images, found), whole)

    def _back(self, images: Tensor, found: Tensor) -> Tensor:
        """Images as points; what an attack left as it was is not rounded."""
        points = self.scale.points(found).to(self.points.dtype)
        return torch.where((found == images).view_as(points), self.points, points)

    def _count_classes(self) -> int:
        """For attacks that must be told, or need many; a forward pass of one sample."""
        if self.rule.name not in _TELL_CLASSES and self.rule.every.get("loss") != "dlr":
            return 0
        return self.view.evidence_at(self.points[:1].to(self.view.inputs.dtype), self.walks.rows[:1]).shape[1]

    def _refuse(self, rule: TorchAttacks, classes: int) -> None:
        """What cannot work."""
        name, shape = rule.name, tuple(self.points.shape[1:])
        if name == "MultiAttack":
            for each in rule.every["attacks"]:
                self._refuse(each, classes)
        if name not in _WHOLE and not isinstance(self.view.target, ClassTarget):
            accepted = f"an attack that asks for all samples at once for a {type(self.view.target).__name__}"
            raise ArgumentError("name", f"torchattacks.{name}", accepted)
        if name in _IMAGES and len(shape) != 3:
            raise ArgumentError("inputs", f"samples of shape {shape}", f"images [B, C, H, W] for torchattacks.{name}")
        if name in _THREE_CHANNELS and shape[0] != 3:
            raise ArgumentError("inputs", f"{shape[0]} channels", f"images of three channels for torchattacks.{name}")
        if name in _DIVERSE:
            rate = rule.every["resize_rate"]
            if shape[1] != shape[2]:
                raise ArgumentError("inputs", f"samples of shape {shape}", f"square images for torchattacks.{name}")
            if int(shape[2] * rate) == shape[2]:
                raise ArgumentError("resize_rate", rate, f"one that changes the size of {shape[2]} pixels")
        fewest = rule.fewest_classes(targeted=self.targeted)
        if 0 < classes < fewest:
            accepted = f"{fewest} or more classes for the loss of torchattacks.{name}"
            raise ArgumentError("model output", f"{classes} classes", accepted)


def _several(attacks: Any) -> tuple[TorchAttacks, ...]:
    """The attacks of a `MultiAttack`, from names, settings with the name under `class`, or rules."""
    if not isinstance(attacks, Sequence) or isinstance(attacks, str) or len(attacks) < 2:
        raise ArgumentError("attacks", attacks, "two or more names or settings of attacks for MultiAttack")
    rules = []
    for each in attacks:
        settings = dict(each) if isinstance(each, Mapping) else {"class": each}
        found = each if isinstance(each, TorchAttacks) else TorchAttacks(str(settings.pop("class", "")), settings)
        rules.append(found)
    return tuple(rules)


def _way(rule: TorchAttacks, seen: list[Tensor], images: Tensor, found: Tensor, unit: float) -> Tensor | None:
    """The points `[M + 1, N, ...]` from the images to the result, where those seen are the attack's own."""
    every = rule.every
    if not rule.recorded or len(seen) != every.get("steps", every.get("num_iter_set", 1)):
        return None
    eps = every["eps" if "eps" in every else "max_epsilon"] / unit
    longest = every["alpha"] / unit if "alpha" in every else 2 * eps  # those without move anywhere in the ball
    points = torch.stack([*seen, found])
    norm = 2.0 if rule.name == "PGDL2" else float("inf")
    moved = (points[1:] - points[:-1]).flatten(2).norm(norm, dim=2)
    away = (points[0] - images).flatten(1).norm(norm, dim=1)
    if bool((moved > longest + 1e-4).any() or (away > eps + 1e-4).any()):
        return None
    return points if torch.equal(points[0], images) else torch.cat([images[None], points])


def _divided(way: Tensor, steps: int) -> Tensor:
    """T + 1 points `[N, T + 1, ...]` at equal distances in the number of moves, on a way of M moves, T = k M."""
    moves = len(way) - 1
    places = [divmod(number * moves, steps) for number in range(steps + 1)]
    points = [torch.lerp(way[move], way[min(move + 1, moves)], part / steps) for move, part in places]
    return torch.stack(points, dim=1)


@functools.cache
def _say(name: str, *, exact: bool) -> None:
    """Tell once which way walks take."""
    what = "the attack's own points" if exact else "the straight segment to the attack's result"
    logging.getLogger("lit_attr").info("torchattacks.%s as an update rule: walks follow %s", name, what)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """A global random state of its own, on every device: torchattacks seeds them all."""
    devices = [
        torch.device("cuda", index) for index in range(torch.cuda.device_count() if device.type == "cuda" else 0)
    ]
    with private_rng(*devices):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        yield


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Without autocast, which the victim enters for the model alone."""
    return nullcontext() if autocast_type(device) is None else torch.autocast(device, enabled=False)
