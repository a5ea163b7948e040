"""Correlation of rows of numbers."""

import torch
from torch import Tensor

CORRELATIONS = ("pearson", "spearman")


def correlation(kind: str, a: Tensor, b: Tensor) -> Tensor:
    """Pearson's or Spearman's correlation of each row of `a` with that of `b`.

    Args:
        kind: "pearson", or "spearman", which is Pearson's of the ranks, of equal numbers their mean rank.
        a: numbers `[B, K]`, in float64 for exactness.
        b: numbers `[B, K]`.

    Returns:
        `[B]`, in [-1, 1]; NaN where a row is constant.

    Example:
        >>> a = torch.tensor([[1.0, 2.0, 4.0]])
        >>> correlation("pearson", a, -a)
        tensor([-1.])
    """
    if kind == "spearman":
        a, b = mean_ranks(a), mean_ranks(b)
    a, b = (_unit(row - row.mean(1, keepdim=True)) for row in (a, b))
    return (a * b).sum(1).clamp(-1, 1)


def mean_ranks(values: Tensor) -> Tensor:
    """The rank of each number in its row, 0.5 for the smallest; equal numbers share the mean of their ranks.

    Example:
        >>> mean_ranks(torch.tensor([[7.0, 3.0, 7.0]]))
        tensor([[2.0000, 0.5000, 2.0000]])
    """
    ordered = values.sort(1).values.contiguous()
    below, upto = (torch.searchsorted(ordered, values.contiguous(), right=right) for right in (False, True))
    return (below + upto).to(values) / 2


def _unit(rows: Tensor) -> Tensor:
    rows = rows / rows.abs().amax(1, keepdim=True)  # squares of small numbers are zero; 0 / 0 is NaN
    return rows / rows.square().sum(1, keepdim=True).sqrt()
