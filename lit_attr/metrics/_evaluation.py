"""One batch under evaluation: what several metrics need of it is computed once."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr._view import Passes, View, looking_at
from lit_attr.attribution import Explanation
from lit_attr.metrics.ranking import position_map, rank_map
from lit_attr.targets import ClassTarget, RegionTarget, Target

T = TypeVar("T")
Explain: TypeAlias = Callable[[nn.Module, Tensor, Target], Tensor]
"""A method, or any other function of model, inputs and target that gives an attribution."""


class _Memo:
    """Results by key."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result under `key`, computed the first time it is asked for."""
        if key not in self._known:
            self._known[key] = compute()
        found: T = self._known[key]
        return found


class Evaluation(_Memo):
    """A model, one batch and its target, shared by the metrics that evaluate it.

    Nothing runs until it is asked for. The model is looked at only while something is computed and is left as it was;
    the batch is held until the evaluation is dropped, so make one per batch.

    Args:
        model: any module that takes `inputs`. The bare module, not its DDP wrapper: forward passes of a wrapper may
            wait for other processes.
        inputs: the samples, floating, `[B, ...]`.
        target: the explained class: an index, a long tensor `[B]`, a `Target`, or None for the class predicted on
            `inputs`. It is fixed once and holds for every perturbed input.
        masks: where the explained object is, bool `[B, H, W]`; None where nobody knows.

    Raises:
        ValueError: for masks that do not fit the inputs.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> batch = Evaluation(model, torch.rand(2, 1, 2, 2))
        >>> batch.evidence.shape, batch.passes.forward
        (torch.Size([2, 3]), 1.0)
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None = None,
        masks: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs
        self.masks = None if masks is None else _checked(masks, inputs)
        self._given = target
        self._masks = masks
        self._forwards = self._backwards = 0

    @property
    def evidence(self) -> Tensor:
        """Class evidence of the clean inputs, `[B, K]`."""
        return self.once("clean", self._clean)[0]

    @property
    def confidence(self) -> Tensor:
        """Probability of the class predicted on the clean inputs, `[B]`."""
        return self.evidence.softmax(1).amax(1)

    @property
    def target(self) -> Target:
        """What is explained, also where it was given as None."""
        return self.once("clean", self._clean)[1]

    @property
    def passes(self) -> Passes:
        """What was run so far, per sample."""
        count = max(1, len(self.inputs))
        return Passes(self._forwards / count, self._backwards / count)

    @property
    def region(self) -> RegionTarget:
        """The region that is explained, told without a pass; refused where something else is."""
        if not isinstance(self._given, RegionTarget):
            accepted = "a RegionTarget for a metric of segmentation"
            raise ArgumentError("target", type(self._given).__name__, accepted)
        return self._given.to(self.inputs.device)

    @contextmanager
    def view(self, target: Target | None = None) -> Iterator[View]:
        """Open the model on this batch; see `looking_at`. The passes count towards the evaluation.

        With `target` something else is read from the model than the explained evidence.
        """
        with self._counted(self.target if target is None else target) as view:
            yield view

    def of(self, attribution: Tensor | Explanation, method: Explain | None = None) -> "Explained":
        """This batch with an attribution `[B, ...]` of it, and what made it; the same tensor gives the same object."""
        # The object keeps the tensor alive, so its id is not given to another.
        key = ("attribution", id(attribution), None if method is None else id(method))
        return self.once(key, lambda: Explained(self, attribution, method))

    def require(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None,
        masks: Tensor | None = None,
    ) -> None:
        """Refuse to stand for anything but these very objects; masks may be left out."""
        given = self._given
        same = target is given or (isinstance(target, int) and isinstance(given, int) and target == given)
        same &= masks is None or masks is self._masks
        if model is not self.model or inputs is not self.inputs or not same:
            msg = "`evaluation` is of another model, batch, target or masks than those given with it"
            raise ValueError(msg)

    def _clean(self) -> tuple[Tensor, Target]:
        # Class 0 stands in until the evidence says what is predicted: one forward pass serves both.
        with self._counted(0 if self._given is None else self._given) as view:
            evidence = view.evidence_at(view.inputs, view.rows)
            return evidence, ClassTarget(evidence.argmax(1)) if self._given is None else view.target

    @contextmanager
    def _counted(self, target: int | Tensor | Target) -> Iterator[View]:
        with looking_at(self.model, self.inputs, target) as view:
            try:
                yield view
            finally:
                self._forwards += view.forwards
                self._backwards += view.backwards


def _checked(masks: Tensor, inputs: Tensor) -> Tensor:
    """Masks `[B, H, W]` on the device of the inputs."""
    expected = (len(inputs), *inputs.shape[2:])
    if masks.dtype != torch.bool or masks.shape != expected or inputs.dim() < 3:
        got = f"{masks.dtype} {tuple(masks.shape)} for inputs {tuple(inputs.shape)}"
        raise ArgumentError("masks", got, "bool, [B, H, W] for images [B, C, H, W]")
    return masks.to(inputs.device)


class Explained(_Memo):
    """A batch together with one attribution of it; made by `Evaluation.of`.

    Attributes:
        explanation: all that the method found; only the attribution where that is all that was given.
        positions: the attribution summed over channels, broadcastable to the inputs.
    """

    def __init__(
        self, evaluation: Evaluation, attribution: Tensor | Explanation, method: Explain | None = None
    ) -> None:
        super().__init__()
        if not isinstance(attribution, Tensor | Explanation):
            raise ArgumentError("attribution", type(attribution).__name__, "a tensor, or the Explanation of a method")
        self.evaluation = evaluation
        self.explanation = attribution if isinstance(attribution, Explanation) else Explanation(attribution)
        self.attribution = self.explanation.attribution
        self.positions = position_map(self.attribution, evaluation.inputs)
        self._given, self._method = attribution, method  # kept alive: the evaluation knows them by their ids

    @property
    def method(self) -> Explain:
        """What made the attribution; refused where it was not given."""
        if self._method is None:
            raise ArgumentError("method", None, "given for a metric that explains again: what made the attribution")
        return self._method

    @property
    def masks(self) -> Tensor:
        """Where the explained object is, bool `[B, H, W]`; refused where it was not given."""
        if self.evaluation.masks is None:
            raise ArgumentError("masks", None, "given for a metric of localisation: a bool tensor [B, H, W]")
        return self.evaluation.masks

    @property
    def ranks(self) -> Tensor:
        """Rank of each position, 0 for the most important, broadcastable to the inputs."""
        return self.once("ranks", lambda: rank_map(self.positions))

    @property
    def finite(self) -> Tensor:
        """Samples whose attribution has no NaN and no infinity, bool `[B]`."""
        return self.positions.isfinite().flatten(1).all(1)

    @property
    def constant(self) -> Tensor:
        """Samples whose attribution orders nothing, bool `[B]`."""
        flat = self.positions.flatten(1)
        return flat.amax(1) == flat.amin(1)
