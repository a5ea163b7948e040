"""One batch under evaluation: what several metrics need of it is computed once."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn

from lit_attr._view import Passes, View, looking_at
from lit_attr.metrics.ranking import position_map, rank_map
from lit_attr.targets import ClassTarget, Target

T = TypeVar("T")


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

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> batch = Evaluation(model, torch.rand(2, 1, 2, 2))
        >>> batch.evidence.shape, batch.passes.forward
        (torch.Size([2, 3]), 1.0)
    """

    def __init__(self, model: nn.Module, inputs: Tensor, target: int | Tensor | Target | None = None) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs
        self._given = target
        self._forwards = self._backwards = 0

    @property
    def evidence(self) -> Tensor:
        """Class evidence of the clean inputs, `[B, K]`."""
        return self.once("clean", self._clean)[0]

    @property
    def target(self) -> Target:
        """What is explained, also where it was given as None."""
        return self.once("clean", self._clean)[1]

    @property
    def passes(self) -> Passes:
        """What was run so far, per sample."""
        count = max(1, len(self.inputs))
        return Passes(self._forwards / count, self._backwards / count)

    @contextmanager
    def view(self) -> Iterator[View]:
        """Open the model on this batch; see `looking_at`. The passes count towards the evaluation."""
        with self._counted(self.target) as view:
            yield view

    def of(self, attribution: Tensor) -> "Explained":
        """This batch with an attribution `[B, ...]` of it; the same tensor always gives the same object."""
        # The object keeps the tensor alive, so its id is not given to another.
        return self.once(("attribution", id(attribution)), lambda: Explained(self, attribution))

    def require(self, model: nn.Module, inputs: Tensor, target: int | Tensor | Target | None) -> None:
        """Refuse to stand for anything but these very objects."""
        given = self._given
        same = target is given or (isinstance(target, int) and isinstance(given, int) and target == given)
        if model is not self.model or inputs is not self.inputs or not same:
            msg = "`evaluation` is of another model, batch or target than those given with it"
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


class Explained(_Memo):
    """A batch together with one attribution of it; made by `Evaluation.of`."""

    def __init__(self, evaluation: Evaluation, attribution: Tensor) -> None:
        super().__init__()
        self.evaluation = evaluation
        self.attribution = attribution
        self.positions = position_map(attribution, evaluation.inputs)

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
