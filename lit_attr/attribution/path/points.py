"""The engine for points known in advance: all points of all samples in as few batches as memory allows."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lit_attr._chunks import in_chunks
from lit_attr._view import View
from lit_attr.objectives import Objective, prob

__all__ = ["Gathered", "gather_gradients"]

Points = Callable[[Tensor, Tensor], Tensor]
Transform = Callable[[Tensor, Tensor, Tensor], Tensor]


class Gathered(NamedTuple):
    """Weighted sum of the gradients at each sample's points, `[B, ...]`, and the confidence there, `[B, P]`."""

    total: Tensor
    confidence: Tensor


def gather_gradients(
    view: View,
    points: Points,
    weights: Tensor,
    objective: Objective,
    max_batch: int | None = None,
    transform: Transform = lambda gradient, *_: gradient,
) -> Gathered:
    """Sum w_p * transform(grad f(point_p)) over the points of each sample.

    Args:
        view: the model and the samples `[B, ...]`.
        points: makes points from sample numbers `[N]` and point numbers `[N]`; returns `[N, ...]`.
        weights: one weight per point, `[P]`.
        objective: the differentiated scalar f.
        max_batch: the most points at once; see `in_chunks`.
        transform: of the gradients `[N, ...]`, their sample numbers and their point numbers, before they are summed
            (the square, say); the sums have the dtype that it gives.

    Returns:
        The sums, float32 (float64 for float64 inputs), and the probability of the explained class at each point.
        One forward and one backward pass a point.
    """
    count, device, dtype = len(weights), view.inputs.device, view.dtype
    first = view.rows[:1]
    template = transform(torch.zeros_like(view.inputs[:1], dtype=dtype), first, first)
    weights = weights.to(device, template.dtype)
    total = template.new_zeros((len(view.inputs), *template.shape[1:]))
    confidence = total.new_zeros(len(view.inputs) * count, dtype=dtype)

    def work(start: int, stop: int) -> None:
        jobs = torch.arange(start, stop, device=device)
        rows, numbers = jobs // count, jobs % count
        gradient, evidence = view.gradient(points(rows, numbers), rows, objective)
        gradient = transform(gradient, rows, numbers)
        confidence[start:stop] = prob(evidence, view.target.index[rows]).to(dtype)
        weighted = gradient * weights[numbers].view(-1, *[1] * (gradient.dim() - 1))
        total.index_add_(0, rows, weighted)  # at the very end: what runs out of memory is done again

    in_chunks(len(view.inputs) * count, view.inputs, max_batch, work)
    return Gathered(total, confidence.view(-1, count))
