"""The score along a path that replaces positions of one image by those of another, most important first."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lit_attr._chunks import in_chunks
from lit_attr._view import View

__all__ = ["AREAS", "End", "auc", "cut_points", "perturbation_curve", "resampled"]


class End(NamedTuple):
    """One end of a path: images `[B, ...]` and their evidence `[B, K]`."""

    inputs: Tensor
    evidence: Tensor


def cut_points(positions: int, steps: int, per_step: int | None = None) -> list[int]:
    """How many positions are replaced at each point, 0 first and all of them last, without repetitions.

    Args:
        positions: their number N.
        steps: number of intervals T, at most N: k_j = floor(j N / T).
        per_step: positions per step instead; the last step may be shorter.

    Example:
        >>> cut_points(10, steps=4), cut_points(10, steps=4, per_step=3), cut_points(2, steps=4)
        ([0, 2, 5, 7, 10], [0, 3, 6, 9, 10], [0, 1, 2])
    """
    if per_step is not None:
        return [*range(0, positions, per_step), positions]
    steps = min(steps, positions)
    return [j * positions // steps for j in range(steps + 1)]


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


AREAS: dict[str, Callable[[Tensor, Sequence[float]], Tensor]] = {
    "trapezoid": auc,
    "even": lambda curve, _: torch.trapezoid(curve, dim=-1) / (curve.shape[-1] - 1),
    "mean": lambda curve, _: curve.mean(-1),
    "unit_steps": lambda curve, _: torch.trapezoid(curve[..., 1:], dim=-1),
}
"""What is told of a curve: the area over the true shares; the same as if all steps were equal; the mean of all points;
the area with steps of length one and without the first point."""


def resampled(curve: Tensor, at: Sequence[float], points: int) -> Tensor:
    """Curves `[..., P]` taken at the increasing `at` in 0..1, at `points` even shares, linear in between.

    Example:
        >>> resampled(torch.tensor([0.0, 1.0, 2.0]), [0.0, 0.8, 1.0], points=3)
        tensor([0.0000, 0.6250, 2.0000])
    """
    taken = torch.tensor(at, dtype=curve.dtype, device=curve.device)
    even = torch.linspace(0, 1, points, dtype=curve.dtype, device=curve.device)
    after = torch.searchsorted(taken, even, right=True).clamp(1, len(at) - 1)
    weight = (even - taken[after - 1]) / (taken[after] - taken[after - 1])
    return torch.lerp(curve[..., after - 1], curve[..., after], weight)


def perturbation_curve(
    view: View, start: End, finish: End, ranks: Tensor, cuts: Sequence[int], max_batch: int | None = None
) -> Tensor:
    """Evidence on the way from `start` to `finish`; at point j the `cuts[j]` first positions are replaced.

    Takes `B (len(cuts) - 2)` forward passes, as both ends are given. Jobs (sample, step) form one flat batch; images
    and masks exist for one chunk of it at a time, the evidence of all is kept, so that anything can be read from it.

    Args:
        view: the model looking at the batch.
        start: the images as they are at step 0.
        finish: the images when all positions are replaced.
        ranks: rank of each position, 0 first, broadcastable to the images.
        cuts: as of `cut_points`, T+1 numbers.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Returns:
        Evidence `[B, T+1, K]`.
    """
    batch, inner, classes = len(ranks), len(cuts) - 2, start.evidence.shape[1]
    thresholds = torch.tensor(cuts[1:-1], dtype=ranks.dtype, device=ranks.device)  # else ranks would be widened
    between = start.evidence.new_empty(batch * inner, classes)

    def work(first: int, last: int) -> None:
        jobs = torch.arange(first, last, device=ranks.device)
        rows, threshold = jobs // inner, thresholds[jobs % inner]
        replaced = ranks[rows] < threshold.view(-1, *[1] * (ranks.dim() - 1))
        between[first:last] = view.evidence(torch.where(replaced, finish.inputs[rows], start.inputs[rows]), rows)

    with torch.no_grad():
        in_chunks(batch * inner, view.inputs, max_batch, work)
        return torch.cat(
            [start.evidence[:, None], between.view(batch, inner, classes), finish.evidence[:, None]], dim=1
        )
