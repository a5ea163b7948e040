"""The contract of every attribution method: frozen settings, called with a model, samples and a target."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from lit_attr._checks import batch_limit, one_of, setting_types
from lit_attr._view import Passes, View, looking_at
from lit_attr.objectives import Objective, get_objective
from lit_attr.registry import Registry
from lit_attr.targets import Target

SHAPE: Sequence[int] = (3, 224, 224)  # of ImageNet, for which costs are told
CLASSES = 1000


class About(NamedTuple):
    """What a method is, in the words of the README's table.

    Attributes:
        explains: what its numbers are.
        axioms: letters of those that it satisfies with its default settings: S sensitivity (a feature that makes a
            difference between input and end point gets something), D dummy (one that the model does not use gets
            nothing), I implementation invariance, C completeness, L linearity in the objective.
        needs: what it needs of model and inputs.
    """

    explains: str
    axioms: str
    needs: str = "gradients"


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a method found out about a batch.

    Attributes:
        attribution: signed, un-normalised, detached, float32 (float64 for float64 inputs); of the shape of the
            inputs, or `[B, 1, H, W]` for methods that explain places. Larger supports the explained objective.
        endpoint: the other end of the path, of the shape of the inputs, or `[B, M, ...]` of M paths; None for methods
            without a path.
        completeness_error: the attribution's sum minus the change of the objective from the end point to the input
            (summed over paths), `[B]`; None without an end point.
        confidence: probability of the explained class at the points that were evaluated, `[B, P]`, or `[B, M, P]` of
            M paths, NaN behind the end of one that ended early; None where no point stands for itself.
        success: whether a path reached what it sought, bool `[B]` or `[B, M]`; None where it seeks nothing.
        info: what the method decided by itself, such as the layer that Grad-CAM took.
        passes: forward and backward passes that were run, per sample, the check of completeness included (filled in
            by `explain`).
    """

    attribution: Tensor
    endpoint: Tensor | None = None
    completeness_error: Tensor | None = None
    confidence: Tensor | None = None
    success: Tensor | None = None
    info: dict[str, Any] = field(default_factory=dict)
    passes: Passes | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Method(ABC):
    """Base of all attribution methods.

    A subclass is a dataclass (`frozen=True, eq=False`) with its settings; it writes `ABOUT`, `attribute` and `cost`
    and overrides nothing else.
    One that checks its settings does so in `__post_init__`, after `super().__post_init__()`.
    It holds no model and no state, so that one instance serves any model, and can be hashed, compared and logged.

    Args:
        max_batch: the most variants in one forward pass; None chooses from the device and the size of a sample, and
            halves it when memory runs out. The result does not depend on it, up to rounding, which a long walk may
            enlarge.
        objective: the explained scalar f: a name or a function (see `lit_attr.objectives`).
        preset: "toolkit", or a name that the method lists, such as "reference" for its published code: settings that
            are left at their defaults take the preset's values.
    """

    ABOUT: ClassVar[About]
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    max_batch: int | None = None
    objective: str | Objective = "logit"
    preset: str = "toolkit"

    def __post_init__(self) -> None:
        batch_limit("max_batch", self.max_batch)
        get_objective(self.objective)
        one_of("preset", self.preset, ["toolkit", *self.PRESETS])
        setting_types(self)
        if self.preset != "toolkit":
            self.resolved()  # refuses what does not go together

    def resolved(self) -> Self:
        """The settings that are used: those of the preset where they are left at their defaults."""
        values = self.PRESETS.get(self.preset, {})
        left = {f.name: values[f.name] for f in fields(self) if f.name in values and getattr(self, f.name) == f.default}
        return self if self.preset == "toolkit" else replace(self, preset="toolkit", **left)

    def __eq__(self, other: object) -> bool:
        """Whether all settings are the same; tensors by their values, which `==` compares one by one."""
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        """Of the settings; tensors and mappings that are equal have equal hashes."""
        return hash(tuple(_hashable(getattr(self, f.name)) for f in fields(self)))

    def __call__(self, model: nn.Module, inputs: Tensor, target: int | Tensor | Target | None = None) -> Tensor:
        """The attribution alone; see `explain`. Costs `passes()`, and one forward more where `target` is None."""
        with looking_at(model, inputs, target, self.max_batch) as view:
            return self.resolved().attribute(view).attribution

    def explain(self, model: nn.Module, inputs: Tensor, target: int | Tensor | Target | None = None) -> Explanation:
        """The attribution with all that is known about it.

        Args:
            model: any module that gives logits (see `lit_attr.targets.logits_of`). It is evaluated in eval mode and
                nothing in it is changed; it may be frozen, compiled, or in training.
            inputs: samples `[B, ...]`, floating; images `[B, C, H, W]` in [0, 1] with the normalisation in the model.
            target: the explained class: an index, a long tensor `[B]`, a `Target`; None is the predicted class.

        Raises:
            ValueError: for non-finite inputs, a class out of range, or settings that do not fit the model.
        """
        with looking_at(model, inputs, target, self.max_batch) as view:
            found = self.resolved().attribute(view)
            error = found.completeness_error
            if found.endpoint is not None and error is None:
                objective = get_objective(self.objective)
                ends = (view.inputs, found.endpoint)
                start, end = (view.value(points, view.rows, objective, self.max_batch) for points in ends)
                error = found.attribution.flatten(1).sum(1) - (start - end)
            return replace(found, completeness_error=error, passes=view.passes)

    def passes(self, shape: Sequence[int] = SHAPE, classes: int = CLASSES) -> Passes:
        """Passes per sample of a call with a given target; the most where a path may end early.

        Args:
            shape: of one sample, where the cost depends on it.
            classes: that the model tells apart, where the cost depends on it.
        """
        return self.resolved().cost(shape, classes)

    @abstractmethod
    def attribute(self, view: View) -> Explanation:
        """Explain `view.inputs`; called once per call, inside the guard.

        Where it leaves `completeness_error` open and gives an end point, `explain` finds it by two forward passes.
        """

    @abstractmethod
    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """What `passes` gives, for the settings as they stand."""


def _hashable(setting: Any) -> Any:
    if isinstance(setting, Tensor):
        return tuple(setting.shape)
    return frozenset(setting) if isinstance(setting, Mapping) else setting


def _same(one: object, other: object) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one.cpu(), other.cpu())
    return bool(one == other)


METHODS: Registry[Method] = Registry("method", Method)  # type: ignore[type-abstract]  # the base, used for isinstance


def available() -> list[str]:
    """The names of all attribution methods, as configs and logs use them.

    Example:
        >>> "ig" in available()
        True
    """
    return METHODS.names()
