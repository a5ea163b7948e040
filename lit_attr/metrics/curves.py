"""The score along a path that replaces positions of one image by those of another, most important first."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lit_attr._chunks import in_chunks
from lit_attr._view import View
from lit_attr.objectives import Objective

__all__ = ["End", "auc", "fractions", "perturbation_curve"]


class End(NamedTuple):
    """One end of a path: images `[B, ...]` and their evidence `[B, K]`."""

    inputs: Tensor
    evidence: Tensor


def _cut_points(positions: int, steps: int) -> list[int]:
    """k_j = floor(j N / T), j = 0..T: how many positions are replaced after j steps."""
    return [j * positions // steps for j in range(steps + 1)]


def fractions(positions: int, steps: int) -> list[float]:
    """The share k_j / N of replaced positions at each of the `steps + 1` points.

    Example:
        >>> fractions(positions=9, steps=2)
        [0.0, 0.4444444444444444, 1.0]
    """
    return [k / positions for k in _cut_points(positions, steps)]


def auc(curve: Tensor, at: Sequence[float]) -> Tensor:
    """Area under curves by the trapezoid rule.

    Args:
        curve: values `[..., T+1]`.
        at: where they were taken, increasing, `T+1` numbers.

    Returns:
        `[...]`; of a curve in [0, 1] over 0..1, in [0, 1].

    Example:
        >>> auc(torch.tensor([[0.0, 1.0, 1.0]]), [0.0, 0.5, 1.0])
        tensor([0.7500])
    """
    return torch.trapezoid(curve, torch.tensor(at, dtype=curve.dtype, device=curve.device), dim=-1)


def perturbation_curve(
    view: View,
    start: End,
    finish: End,
    ranks: Tensor,
    steps: int,
    readouts: Sequence[Objective],
    max_batch: int | None = None,
) -> Tensor:
    """Scores on the way from `start` to `finish`; after step j the k_j = floor(j N / T) first positions are replaced.

    Every readout is taken from the same forward passes: `B (min(T, N) - 1)` of them, as both ends are given. Jobs
    (sample, step) form one flat batch; images and masks exist for one chunk of it at a time.

    Args:
        view: the model looking at the batch.
        start: the images as they are at step 0.
        finish: the images when all positions are replaced.
        ranks: rank of each position, 0 first, broadcastable to the images.
        steps: number of intervals T. With fewer positions than steps some cut points coincide; such points are
            evaluated once and repeated, which over the true fractions gives the area of T = N.
        readouts: functions of evidence and explained class.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Returns:
        Curves `[len(readouts), B, T+1]`.
    """
    batch, positions = len(ranks), ranks.shape[1:].numel()
    cuts = _cut_points(positions, min(steps, positions))
    inner, index = len(cuts) - 2, view.target.index
    thresholds = torch.tensor(cuts[1:-1], device=ranks.device)
    scores = start.evidence.new_empty(len(readouts), batch * inner)

    def work(first: int, last: int) -> None:
        jobs = torch.arange(first, last, device=ranks.device)
        rows, threshold = jobs // inner, thresholds[jobs % inner]
        replaced = ranks[rows] < threshold.view(-1, *[1] * (ranks.dim() - 1))
        evidence = view.evidence(torch.where(replaced, finish.inputs[rows], start.inputs[rows]), rows)
        scores[:, first:last] = _read(readouts, evidence, index[rows])

    with torch.no_grad():
        in_chunks(batch * inner, view.inputs, max_batch, work)
        ends = [_read(readouts, end.evidence, index)[..., None] for end in (start, finish)]
        curves = torch.cat([ends[0], scores.view(len(readouts), batch, inner), ends[1]], dim=2)
        return curves if steps <= positions else curves[..., _cut_points(positions, steps)]


def _read(readouts: Sequence[Objective], evidence: Tensor, index: Tensor) -> Tensor:
    return torch.stack([readout(evidence, index) for readout in readouts])
