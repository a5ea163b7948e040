"""A model as methods and metrics see it: the evidence of variants of one batch, their gradients, every pass counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lit_attr._checks import ArgumentError, batch_of_floats, classes_below
from lit_attr._chunks import in_chunks
from lit_attr._guard import no_trace
from lit_attr.objectives import Objective
from lit_attr.targets import ClassTarget, Target


class Passes(NamedTuple):
    """Forward and backward passes of the model, per sample."""

    forward: float
    backward: float


@dataclass
class View:
    """The model, one batch and its target, while `looking_at` is open.

    Attributes:
        model: the model, in eval mode, parameters frozen.
        inputs: the samples `[B, ...]`, detached, no inference tensor.
        target: what is explained of each sample.
    """

    model: nn.Module
    inputs: Tensor
    target: Target
    forwards: int = 0
    backwards: int = 0
    _checked: bool = field(default=False, repr=False)

    @property
    def rows(self) -> Tensor:
        """0..B-1: each sample as its own variant."""
        return torch.arange(len(self.inputs), device=self.inputs.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of attributions and sums: float64 for float64 samples, else float32."""
        return torch.float64 if self.inputs.dtype == torch.float64 else torch.float32

    @property
    def passes(self) -> Passes:
        """What was run so far, per sample."""
        count = max(1, len(self.inputs))
        return Passes(self.forwards / count, self.backwards / count)

    def evidence(self, points: Tensor, rows: Tensor) -> Tensor:
        """Class evidence `[N, K]` of the variants `points` `[N, ...]`; differentiable where `points` is."""
        output = self.model(points.clone())  # a first layer may write into its input
        self.forwards += len(points)
        evidence = self.target.evidence(output, rows)
        if not self._checked:
            classes_below("target", self.target.index, evidence.shape[1])
            self._checked = True
        return evidence

    def score(self, evidence: Tensor, rows: Tensor, objective: Objective) -> Tensor:
        """The objective of evidence `[N, K]`, one value per variant, `[N]`."""
        values = objective(evidence, self.target.index[rows])
        if values.shape != rows.shape:
            raise ArgumentError("objective", f"shape {tuple(values.shape)}", f"one value per row, [{len(rows)}]")
        return values

    def value(self, points: Tensor, rows: Tensor, objective: Objective, max_batch: int | None = None) -> Tensor:
        """The objective at each variant, `[N]`, without a graph; at most `max_batch` at once (see `in_chunks`)."""
        return self.score(self.evidence_at(points, rows, max_batch), rows, objective)

    def evidence_at(self, points: Tensor, rows: Tensor, max_batch: int | None = None) -> Tensor:
        """The class evidence at each variant, `[N, K]`, without a graph; at most `max_batch` at once."""
        found: list[Tensor] = []

        def work(start: int, stop: int) -> None:
            with torch.no_grad():
                found.append(self.evidence(points[start:stop], rows[start:stop]))

        in_chunks(len(points), self.inputs, max_batch, work)
        if not found:
            work(0, 0)
        return torch.cat(found)

    def gradient(self, points: Tensor, rows: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """The gradient of the objective at each variant, float32 or wider, `[N, ...]`, and the evidence `[N, K]`."""
        points = points.detach().to(self.inputs.dtype).requires_grad_()
        evidence = self.evidence(points, rows)
        (gradient,) = self.derive(self.score(evidence, rows, objective), points)
        return gradient if gradient.dtype == torch.float64 else gradient.float(), evidence.detach()

    def derive(self, values: Tensor, *wanted: Tensor, again: bool = False) -> tuple[Tensor, ...]:
        """The gradients of per-sample values `[N]` with respect to tensors they were computed from: one backward.

        With `again`, the graph is kept for other values of the same forward pass.

        Raises:
            ValueError: if the values do not depend on such a tensor in a differentiable way.
        """
        self.backwards += len(values)
        found: tuple[Tensor | None, ...] = ()
        if values.requires_grad:
            found = torch.autograd.grad(values.sum(), wanted, retain_graph=again, allow_unused=True)
        gradients = tuple(gradient for gradient in found if gradient is not None)
        if len(gradients) < len(wanted):
            msg = f"the output of {type(self.model).__name__} does not depend differentiably on what is explained"
            raise ValueError(msg)
        return gradients


@contextmanager
def looking_at(
    model: nn.Module, inputs: Tensor, target: int | Tensor | Target | None, max_batch: int | None = None
) -> Iterator[View]:
    """Open a view of `model` on one batch; leaves no trace in the model or the global random state.

    Args:
        model: any module that takes `inputs`; of one wrapped for several processes, what is inside.
        inputs: the samples, floating, `[B, ...]`.
        target: the explained class: an index, a long tensor `[B]`, a `Target`, or None for the predicted class (one
            forward pass more).
        max_batch: the most samples at once in that pass.

    Raises:
        ArgumentError: for inputs that are not finite floats, or a target that does not fit them.
    """
    batch_of_floats("inputs", inputs)
    if isinstance(model, DistributedDataParallel):  # its forward waits for the other processes
        model = model.module
    with no_trace(model):
        inputs = inputs.clone() if inputs.is_inference() else inputs.detach()
        view = View(model, inputs, _expanded(0 if target is None else target, inputs))
        if target is None:
            view.target = ClassTarget(view.evidence_at(view.inputs, view.rows, max_batch).argmax(1))
        yield view


def _expanded(target: int | Tensor | Target, inputs: Tensor) -> Target:
    found = (target if isinstance(target, Target) else ClassTarget(target)).to(inputs.device)
    if isinstance(found, ClassTarget) and found.index.dim() == 0:
        return ClassTarget(found.index.expand(len(inputs)))
    if len(found.index) != len(inputs):
        msg = f"`target` has {len(found.index)} classes for {len(inputs)} samples; give one per sample, or one index"
        raise ValueError(msg)
    return found
