"""Correlation of rows of numbers, and their angles."""

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
    return aligned(*(row - row.mean(1, keepdim=True) for row in (a, b)))


def aligned(a: Tensor, b: Tensor) -> Tensor:
    """The cosine of the angle between each row of `a` and that of `b`, `[B]`; NaN where a row is zero."""
    a, b = (rows / rows.abs().amax(1, keepdim=True) for rows in (a, b))  # squares of small numbers are zero; 0/0 is NaN
    return ((a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()).clamp(-1, 1)
