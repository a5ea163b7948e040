"""How alike two maps of each sample are: pure functions from two batches of maps to one number per sample.

Papers: Spearman's correlation and the intersection of the top positions are those of Ghorbani, Abid, Zou,
"Interpretation of Neural Networks is Fragile", AAAI 2019, arXiv 1710.10547; SSIM is that of Wang, Bovik, Sheikh,
Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, on maps scaled to [0, 1].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr.metrics._correlation import aligned, correlation
from lit_attr.metrics._precision import wide
from lit_attr.metrics.ranking import rank_map, top_count

__all__ = ["cosine", "pearson", "spearman", "ssim", "topk_intersection"]

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2  # of Wang et al., for maps in [0, 1]


def spearman(one: Tensor, other: Tensor) -> Tensor:
    """Correlation of the ranks, equal values sharing the mean of theirs, `[B]`.

    Args:
        one: maps `[B, ...]`.
        other: maps with as many positions.

    Returns:
        In [-1, 1], float64; NaN where a map is constant or not finite.

    Example:
        >>> spearman(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[9.0, 4.0, 1.0]])).tolist()
        [-1.0]
    """
    return _known(correlation("spearman", *_pair(one, other)), one, other)


def pearson(one: Tensor, other: Tensor) -> Tensor:
    """Correlation of the values, `[B]`; arguments as in `spearman`.

    Returns:
        In [-1, 1], float64; NaN where a map is constant or not finite.

    Example:
        >>> pearson(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[5.0, 3.0, 1.0]])).tolist()
        [-1.0]
    """
    return _known(correlation("pearson", *_pair(one, other)), one, other)


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Cosine of the angle between the maps as vectors, `[B]`; arguments as in `spearman`.

    Returns:
        In [-1, 1], float64; NaN where a map is zero everywhere or not finite.

    Example:
        >>> cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, -2.0]])).tolist()
        [0.0]
    """
    return _known(aligned(*_pair(one, other)), one, other)


def topk_intersection(one: Tensor, other: Tensor, k: float = 0.02) -> Tensor:
    """Share of the top k positions of one map that are among those of the other, `[B]`; ties go by index.

    Args:
        one: maps `[B, ...]`.
        other: maps with as many positions.
        k: how many positions, or below one their share.

    Returns:
        In [0, 1], float64; NaN where a map is constant or not finite.

    Example:
        >>> topk_intersection(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[1.0, 2.0, 3.0]]), k=2).tolist()
        [0.5]
    """
    a, b = _pair(one, other)
    count = top_count(k, a.shape[1])
    found = wide(((rank_map(a) < count) & (rank_map(b) < count)).sum(1)) / count
    varied = (a.amax(1) > a.amin(1)) & (b.amax(1) > b.amin(1))
    return _known(found.where(varied, torch.nan), one, other)


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Mean structural similarity of the maps, each scaled to [0, 1], `[B]`.

    A Gaussian window of 11x11, sigma 1.5, wherever it lies inside the map; of the largest odd size that fits into
    smaller maps. A constant map is zero everywhere, so that two of them are alike.

    Args:
        one: maps `[B, H, W]` or `[B, 1, H, W]`.
        other: maps of the same size.

    Returns:
        In [-1, 1], float64; NaN where a map is not finite.

    Raises:
        ValueError: for maps that are no pictures.

    Example:
        >>> maps = torch.rand(2, 16, 16)
        >>> ssim(maps, 3 * maps + 1).round(decimals=6).tolist()
        [1.0, 1.0]
    """
    _pair(one, other)
    maps = torch.stack([_unit(one), _unit(other)])
    kernel = _kernel(min(_WINDOW, maps.shape[-2] - 1 + maps.shape[-2] % 2, maps.shape[-1] - 1 + maps.shape[-1] % 2))

    def smooth(values: Tensor) -> Tensor:
        line = kernel.to(values)
        return F.conv2d(F.conv2d(values[:, None], line[None, None, :, None]), line[None, None, None])[:, 0]

    a, b = maps
    mean_a, mean_b = smooth(a), smooth(b)
    variance_a, variance_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    brightness = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return _known((brightness * structure).flatten(1).mean(1), one, other)


def _pair(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both as `[B, n]`, in float64."""
    a, b = wide(one).flatten(1), wide(other).flatten(1)
    if a.shape != b.shape:
        raise ArgumentError("other", f"shape {tuple(other.shape)}", f"maps of the size of `one`, {tuple(one.shape)}")
    return a, b


def _known(found: Tensor, one: Tensor, other: Tensor) -> Tensor:
    finite = [maps.flatten(1).isfinite().all(1) for maps in (one, other)]
    return found.where(finite[0] & finite[1], torch.nan)


def _unit(maps: Tensor) -> Tensor:
    """Maps `[B, H, W]` scaled to [0, 1] each."""
    values = wide(maps)
    values = values[:, 0] if values.dim() == 4 and values.shape[1] == 1 else values
    if values.dim() != 3:
        raise ArgumentError("one", f"shape {tuple(maps.shape)}", "maps [B, H, W] or [B, 1, H, W] for SSIM")
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    return (values - low) / (high - low).where(high > low, 1)


def _kernel(size: int) -> Tensor:
    places = torch.arange(size, dtype=torch.float64) - size // 2
    weights = (-(places**2) / (2 * _SIGMA**2)).exp()
    return weights / weights.sum()
