"""Medians from counts, which add up over batches and processes as sums do."""

import torch
from torch import Tensor

from lit_attr.metrics._precision import wide

LEVELS = 1001  # 0, 0.001, ..., 1


def counted(counts: Tensor, group: Tensor, values: Tensor) -> Tensor:
    """Counts `[G, P, LEVELS]` with numbers in [0, 1] `[N, P]`, of the groups `[N]`, added at the nearest levels."""
    groups, points, levels = counts.shape
    places = group[:, None] * points + torch.arange(points, device=group.device)
    index = places * levels + (values * (levels - 1)).round().long()
    one = counts.new_ones(index.numel())
    return counts.flatten().index_add(0, index.flatten(), one).view(groups, points, levels)


def median(counts: Tensor) -> Tensor:
    """The median at each point, float64 `[P]`, of counts `[P, LEVELS]`: within 0.0005; NaN without any.

    Of an even number it is the mean of the two in the middle.

    Example:
        >>> values = torch.tensor([[0.1, 1.0], [0.2, 1.0], [0.4, 0.0], [0.9, 0.0]])
        >>> median(counted(torch.zeros(1, 2, LEVELS, dtype=torch.long), torch.zeros(4, dtype=torch.long), values)[0])
        tensor([0.3000, 0.5000], dtype=torch.float64)
    """
    up_to = counts.cumsum(-1)
    number = up_to[..., -1:]
    lower, upper = ((up_to < rank).sum(-1) for rank in ((number + 1) // 2, number // 2 + 1))
    found = wide(lower + upper) / (2 * (counts.shape[-1] - 1))
    return found.where(number[..., 0] > 0, torch.nan)
