"""Correlation of rows of numbers."""

from torch import Tensor

from lit_attr.metrics.ranking import average_ranks

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
        >>> import torch
        >>> a = torch.tensor([[1.0, 2.0, 4.0]])
        >>> correlation("pearson", a, -a)
        tensor([-1.])
    """
    if kind == "spearman":
        a, b = average_ranks(a), average_ranks(b)
    a, b = (_unit(row - row.mean(1, keepdim=True)) for row in (a, b))
    return (a * b).sum(1).clamp(-1, 1)


def _unit(rows: Tensor) -> Tensor:
    rows = rows / rows.abs().amax(1, keepdim=True)  # squares of small numbers are zero; 0 / 0 is NaN
    return rows / rows.square().sum(1, keepdim=True).sqrt()
