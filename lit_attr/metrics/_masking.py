"""How much of each position stays when a sample is masked by its own attribution."""

import torch
from torch import Tensor

from lit_attr.metrics._precision import wide
from lit_attr.metrics.ranking import rank_map


def weights(maps: Tensor, keep: float | None, maskable: Tensor | None = None) -> Tensor:
    """Weights in [0, 1]: the map scaled to it, or 1 for the share `keep` of the positions, the largest first.

    A map that is the same everywhere keeps everything, and so does what may not be masked.

    Args:
        maps: `[B, ...]`.
        keep: a share, of which at least one position stays; None for the map itself.
        maskable: what may be masked, bool in the shape of the maps; None for all.

    Returns:
        In the shape of the maps, `wide`; NaN where a map that is scaled is not finite.

    Example:
        >>> maps = torch.tensor([[1.0, 3.0, 2.0, 9.0]])
        >>> weights(maps, None, maps < 9).tolist(), weights(maps, 0.5).tolist()
        ([[0.0, 1.0, 0.5, 1.0]], [[0.0, 1.0, 0.0, 1.0]])
    """
    values = wide(maps).flatten(1)
    free = torch.ones_like(values, dtype=torch.bool) if maskable is None else maskable.flatten(1)
    low, high = value_range(values, free)
    if keep is None:
        found = (values - low) / (high - low)
    else:
        count = (keep * wide(free.sum(1, keepdim=True))).round().clamp_min(1)
        found = wide(rank_map(values.where(free, -torch.inf)) < count)
    return found.where(free & (low != high), 1).view_as(maps)


def above_median(maps: Tensor, maskable: Tensor) -> Tensor:
    """1 where a map `[B, n]` is above the median of its `maskable` values, and where nothing may be masked, else 0."""
    middle = wide(maps).where(maskable, torch.nan).nanquantile(0.5, dim=1, keepdim=True)
    return wide((maps > middle) | ~maskable)


def at_every_occurrence(kept: Tensor, names: Tensor) -> Tensor:
    """The product of the weights `[B, n]` of all positions of one name `[B, n]`, at each of them."""
    same = names[:, :, None] == names[:, None]
    return kept[:, None].where(same, 1).prod(-1)


def value_range(values: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest of the `free` values `[B, n]`, `[B, 1]` each."""
    low, high = values.where(free, torch.inf), values.where(free, -torch.inf)
    return low.amin(1, keepdim=True), high.amax(1, keepdim=True)
