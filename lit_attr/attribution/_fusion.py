"""How two kinds of evidence about an image become one map: where both agree, and where one cannot be trusted."""

from typing import NamedTuple

import torch
from torch import Tensor

from lit_attr.attribution._cells import Cells

_NOTHING = 1e-6  # of evidence in [0, 1]
_NO_EFFECT = 1e-4  # of the score


class Weights(NamedTuple):
    """What counts how much.

    Attributes:
        lam: the share of the evidence of cells that no gate takes away, in [0, 1].
        beta: the weight of the agreement.
        smooth: whether the cells of a grid are spread bilinearly.
    """

    lam: float
    beta: float
    smooth: bool


class Fused(NamedTuple):
    """The fused map and its parts.

    Attributes:
        fused: in [0, 1], `[B, 1, H, W]`.
        region: R, the evidence of the cells, in [0, 1], `[B, 1, H, W]`.
        agreement: a of each cell, in [0, 1], `[B, R]`.
        degenerate: samples of which no cell matters, bool `[B]`.
    """

    fused: Tensor
    region: Tensor
    agreement: Tensor
    degenerate: Tensor


def to_unit(maps: Tensor, quantile: float) -> Tensor:
    """Maps `[B, 1, H, W]` of at least 0, divided by a quantile of their own and cut off at 1.

    Where that quantile is zero, by the largest value; a map of zeros stays one.
    """
    flat = maps.flatten(1)
    if not flat.numel():
        return maps
    size = torch.stack([values.quantile(quantile) for values in flat])  # one by one: of many values torch refuses
    size = size.where(size > 0, flat.amax(1))
    size = size.where(size != 0, 1)  # NaN stays
    return (maps / size.view(-1, 1, 1, 1)).clamp_max(1)


def by_largest(values: Tensor) -> Tensor:
    """Rows `[B, R]` divided by the largest of each; those without a positive one as they are."""
    largest = values.amax(1, keepdim=True)
    return values / largest.where(largest != 0, 1)


def correlated(one: Tensor, other: Tensor, exists: Tensor) -> Tensor:
    """Pearson's correlation of rows `[B, R]` over what exists, if positive, else 0; `[B]`, 0 of a constant row."""
    weights = exists.to(one)
    count = weights.sum(1, keepdim=True).clamp_min(1)
    units, flat = [], torch.zeros(len(one), dtype=torch.bool, device=one.device)
    for values in (one * weights, other * weights):
        moved = (values - values.sum(1, keepdim=True) / count) * weights
        length = moved.norm(dim=1, keepdim=True)
        tiny = 4 * torch.finfo(values.dtype).eps * values.norm(dim=1, keepdim=True)
        flat |= (length <= tiny)[:, 0]
        units.append(moved / length.where(length > tiny, 1))
    return torch.where(flat, 0, (units[0] * units[1]).sum(1).clamp(0, 1))


def gradient_cells(gradient: Tensor, cells: Cells) -> Tensor:
    """The evidence of a gradient map in [0, 1] for each cell: the mean in it, over that of the best cell, `[B, R]`."""
    return by_largest(cells.mean(gradient))


def fuse(gradient: Tensor, effects: Tensor, score: Tensor, gate: Tensor, cells: Cells, weights: Weights) -> Fused:
    """E = w G + (1 - w) R + beta a sqrt(G R), w = (1 - lam) s, divided by its largest value.

    Args:
        gradient: G in [0, 1], `[B, 1, H, W]`.
        effects: the fall of the score without each cell, signed, `[B, R]`; zero for cells that do not exist.
        score: of the clean samples, `[B]`.
        gate: s in [0, 1], how far the gradient is trusted, `[B, 1]`, or of each cell `[B, R]`.
        cells: of the samples.
        weights: what counts how much.
    """
    falls = by_largest(effects.clamp_min(0))
    means = gradient_cells(gradient, cells)
    both = falls + means
    agreement = (2 * torch.minimum(falls, means) / both.where(both > 0, 1)).where(both >= _NOTHING, 0)
    region, agrees = (cells.spread(values, smooth=weights.smooth) for values in (falls, agreement))
    trust = gate[..., None, None] if gate.shape[1] == 1 else cells.spread(gate, smooth=weights.smooth)
    w = (1 - weights.lam) * trust
    fused = w * gradient + (1 - w) * region + weights.beta * agrees * (gradient * region).sqrt()
    degenerate = effects.amax(1) < _NO_EFFECT * score.abs()
    degenerate |= (effects <= 0).all(1)
    fused = by_largest(fused.flatten(1)).view_as(fused)
    return Fused(torch.where(degenerate.view(-1, 1, 1, 1), gradient, fused), region, agreement, degenerate)
