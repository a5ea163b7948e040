"""Localisation: whether a map lies where the explained object is. Nothing is asked of the model.

Papers: pointing game: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, arXiv 1608.00507.
Relevance mass and rank accuracy: Arras, Osman, Samek, "CLEVR-XAI", 2022, arXiv 2003.07258. Attribution localisation:
Kohlbrenner et al., "Towards Best Practice in Explaining Neural Network Decisions with LRP", 2020, arXiv 1910.09840.

Deviations: tied maxima count by their share inside the mask, as if one were drawn. Only positive values have mass, as a
share of signed sums need not lie in [0, 1]. A sample without an object is left out and counted; Quantus counts it as a
hit in the pointing game, and weights localisation by the size of the batch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError, count_or_share, not_negative_int
from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Explained
from lit_attr.metrics._precision import wide
from lit_attr.metrics.ranking import average_ranks, rank_map, top_count

__all__ = [
    "AttributionLocalisation",
    "MaskAUC",
    "MaskTopK",
    "PointingGame",
    "RelevanceMass",
    "RelevanceRank",
    "attribution_localisation",
    "mask_auc",
    "mask_topk",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
]

_MAP = "signed sum over channels"


def pointing_game(maps: Tensor, masks: Tensor, tolerance: int = 0) -> Tensor:
    """Whether the maximum of each map lies in its mask, `[B]`; see `PointingGame`.

    Args:
        maps: `[B, H, W]` or `[B, 1, H, W]`; sum channels first (`lit_attr.metrics.ranking.position_map`).
        masks: where the object is, bool `[B, H, W]`.
        tolerance: how many pixels beside the mask still count.

    Returns:
        In [0, 1], float64; NaN where the mask is empty or the map is not finite.

    Raises:
        ValueError: for a map and a mask that differ in size.

    Example:
        >>> maps, masks = torch.tensor([[[0.0, 9.0], [3.0, 9.0]]]), torch.tensor([[[False, True], [False, False]]])
        >>> pointing_game(maps, masks).tolist(), pointing_game(maps, masks, tolerance=1).tolist()
        ([0.5], [1.0])
    """
    values, inside = _flat(maps, masks)
    reached = _dilated(masks, tolerance).flatten(1)
    largest = values == values.amax(1, keepdim=True)
    share = wide((largest & reached).sum(1)) / largest.sum(1)
    return _known(share, values, inside.any(1))


def relevance_mass(maps: Tensor, masks: Tensor) -> Tensor:
    """The share of each map's positive mass inside its mask, `[B]`; see `RelevanceMass`. Arguments of `pointing_game`.

    Returns:
        In [0, 1], float64; NaN where the mask is empty, or the map has nothing positive or is not finite.

    Example:
        >>> maps, masks = torch.tensor([[[-5.0, 1.0], [3.0, 0.0]]]), torch.tensor([[[True, True], [False, False]]])
        >>> relevance_mass(maps, masks).tolist()
        [0.25]
    """
    values, inside = _flat(maps, masks)
    mass = values.clamp_min(0)
    mass = mass / mass.amax(1, keepdim=True)  # no sum of them overflows
    return _known((mass * inside).sum(1) / mass.sum(1), values, inside.any(1))


def relevance_rank(maps: Tensor, masks: Tensor) -> Tensor:
    """The share of each mask among as many top positions, `[B]`; see `RelevanceRank`. Arguments of `pointing_game`.

    Returns:
        In [0, 1], float64; NaN where the mask is empty, or the map has nothing positive, is constant or is not finite.

    Example:
        >>> maps, masks = torch.tensor([[[4.0, 1.0], [3.0, 2.0]]]), torch.tensor([[[True, True], [False, False]]])
        >>> relevance_rank(maps, masks).tolist()
        [0.5]
    """
    values, inside = _flat(maps, masks)
    size = inside.sum(1)
    found = ((rank_map(values) < size[:, None]) & inside).sum(1)
    return _known(wide(found) / size, values, (values > 0).any(1) & _ordered(values))


def attribution_localisation(maps: Tensor, masks: Tensor) -> Tensor:
    """`relevance_mass` over the mask's share of the image, `[B]`; see `AttributionLocalisation`.

    Arguments and what is NaN as in `relevance_mass`.

    Returns:
        In [0, positions / positions of the mask], float64.

    Example:
        >>> maps, masks = torch.tensor([[[-5.0, 1.0], [3.0, 0.0]]]), torch.tensor([[[False, False], [True, False]]])
        >>> attribution_localisation(maps, masks).tolist()
        [3.0]
    """
    inside = masks.flatten(1)
    return relevance_mass(maps, masks) * inside.shape[1] / inside.sum(1)


def mask_auc(maps: Tensor, masks: Tensor) -> Tensor:
    """The area under the ROC curve of each map as a score for its mask, `[B]`; see `MaskAUC`.

    Arguments as in `pointing_game`.

    Returns:
        In [0, 1], float64; NaN where the mask is empty or full or the map is not finite.

    Example:
        >>> maps, masks = torch.tensor([[[4.0, 1.0], [3.0, 2.0]]]), torch.tensor([[[True, True], [False, False]]])
        >>> mask_auc(maps, masks).tolist()
        [0.5]
    """
    values, inside = _flat(maps, masks)
    size = wide(inside.sum(1))
    above = (average_ranks(values) * inside).sum(1) - size * (size + 1) / 2
    return _known(above / (size * (inside.shape[1] - size)), values, ~inside.all(1))


def mask_topk(maps: Tensor, masks: Tensor, k: float = 0.02) -> Tensor:
    """The share of each map's top k positions that lie in its mask, `[B]`; see `MaskTopK`.

    Args:
        maps: as in `pointing_game`.
        masks: as in `pointing_game`.
        k: how many positions, or below one their share.

    Returns:
        In [0, 1], float64; NaN where the mask is empty, or the map is constant or not finite.

    Example:
        >>> maps, masks = torch.tensor([[[4.0, 1.0], [3.0, 2.0]]]), torch.tensor([[[True, True], [False, False]]])
        >>> mask_topk(maps, masks, k=1).tolist(), mask_topk(maps, masks, k=0.5).tolist()
        ([1.0], [0.5])
    """
    values, inside = _flat(maps, masks)
    count = top_count(k, values.shape[1])
    found = ((rank_map(values) < count) & inside).sum(1)
    return _known(wide(found) / count, values, inside.any(1) & _ordered(values))


def _flat(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Both as `[B, n]`."""
    values, inside = wide(maps).flatten(1), masks.flatten(1)
    if values.shape != inside.shape or masks.dtype != torch.bool:
        got = f"{masks.dtype} {tuple(masks.shape)} for maps {tuple(maps.shape)}"
        raise ArgumentError("masks", got, "bool, with one value per position of a map without channels")
    return values, inside


def _ordered(values: Tensor) -> Tensor:
    """Maps that are not the same everywhere, bool `[B]`."""
    return values.amax(1) > values.amin(1)


def _known(found: Tensor, values: Tensor, defined: Tensor) -> Tensor:
    return found.where(defined & values.isfinite().all(1), torch.nan)


def _dilated(masks: Tensor, tolerance: int) -> Tensor:
    """Pixels within `tolerance`, straight across, of one of the mask."""
    if tolerance == 0:
        return masks
    if masks.dim() != 3:
        raise ArgumentError("tolerance", tolerance, "zero for masks that are not [B, H, W]")
    height, width = masks.shape[1:]
    counts = F.pad(masks, (tolerance + 1, tolerance)).cumsum(2)
    reached = torch.zeros_like(masks)
    for dy in range(-min(tolerance, height - 1), min(tolerance, height - 1) + 1):
        reach = math.isqrt(tolerance**2 - dy**2)  # to both sides, in the row that lies dy below
        first, last = tolerance - reach, tolerance + 1 + reach
        row = counts[..., last : last + width] > counts[..., first : first + width]
        reached[:, max(0, -dy) : height - max(0, dy)] |= row[:, max(0, dy) : height - max(0, -dy)]
    return reached


def _reading(value: Tensor) -> Reading:
    return Reading(value, defined=value.isfinite())


@METRICS.register("pointing_game")
class PointingGame(AttributionMetric):
    """How often the maximum of a map lies on the object, higher is better.

    A sample's value is 1 where the largest value lies inside the mask, or at most `tolerance` pixels from it, else 0;
    of equal largest values the share that does. In [0, 1]. Undefined without an object. A map that is the same
    everywhere gets the share of the mask and is counted in `constant`. It asks nothing of the model.

    Args:
        tolerance: in pixels, measured straight; Zhang et al. use 15 on images of about 500.

    Raises:
        ValueError: for a negative tolerance; without masks.

    Example:
        >>> mask = torch.tensor([[[False, True], [False, False]]])
        >>> metric = PointingGame()
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, mask.float(), masks=mask)
        >>> metric.compute()
        tensor(1.)
    """

    higher_is_better = True
    UNDEFINED = "the mask is empty"

    def __init__(self, tolerance: int = 0) -> None:
        not_negative_int("tolerance", tolerance)
        super().__init__({"map": _MAP, "tolerance": tolerance, "ties": "share of the largest values"}, Passes(0, 0))
        self.tolerance = tolerance

    def measure(self, explained: Explained) -> Reading:
        """Whether the maximum of each sample lies on the object."""
        return _reading(pointing_game(explained.positions, explained.masks, self.tolerance))


@METRICS.register("relevance_mass")
class RelevanceMass(AttributionMetric):
    r"""Share of a map's positive mass on the object, higher is better; also called energy-based pointing game.

    .. math:: \mu = \frac{\sum_{i \in M} \max(a_i, 0)}{\sum_i \max(a_i, 0)}

    over the positions i of the map a, M the mask. In [0, 1]; the share of the mask for a map that says nothing.
    Undefined without an object or anything positive. It asks nothing of the model.

    Raises:
        ValueError: without masks.

    Example:
        >>> mask = torch.tensor([[[False, True], [False, False]]])
        >>> metric = RelevanceMass()
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, torch.ones(1, 2, 2), masks=mask)
        >>> metric.compute()
        tensor(0.2500)
    """

    higher_is_better = True
    UNDEFINED = "the mask is empty, or no attribution is positive"

    def __init__(self) -> None:
        super().__init__({"map": f"{_MAP}, its positive part"}, Passes(0, 0))

    def measure(self, explained: Explained) -> Reading:
        """The share of each sample."""
        return _reading(relevance_mass(explained.positions, explained.masks))


@METRICS.register("attribution_localisation")
class AttributionLocalisation(AttributionMetric):
    r"""Density of a map's positive mass on the object, higher is better.

    .. math:: \mu_w = \mu \, \frac{n}{|M|}

    with the share of `RelevanceMass`, n positions and the mask M: 1 for a map that says nothing, whatever the size of
    the object. In [0, n / |M|]. Undefined without an object or anything positive. It asks nothing of the model.

    Raises:
        ValueError: without masks.

    Example:
        >>> mask = torch.tensor([[[False, True], [False, False]]])
        >>> metric = AttributionLocalisation()
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, torch.ones(1, 2, 2), masks=mask)
        >>> metric.compute()
        tensor(1.)
    """

    higher_is_better = True
    UNDEFINED = "the mask is empty, or no attribution is positive"

    def __init__(self) -> None:
        super().__init__({"map": f"{_MAP}, its positive part", "weight": "positions / positions in mask"}, Passes(0, 0))

    def measure(self, explained: Explained) -> Reading:
        """The density of each sample."""
        return _reading(attribution_localisation(explained.positions, explained.masks))


@METRICS.register("relevance_rank")
class RelevanceRank(AttributionMetric):
    r"""Share of the object among as many top positions, higher is better.

    .. math:: \frac{|\text{top}_{|M|}(a) \cap M|}{|M|}

    over the positions of the map a, M the mask; equal values in the order of their index. In [0, 1]. Undefined without
    an object, anything positive or any order. It asks nothing of the model.

    Raises:
        ValueError: without masks.

    Example:
        >>> mask = torch.tensor([[[False, True], [False, True]]])
        >>> metric = RelevanceRank()
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, torch.eye(2)[None], masks=mask)
        >>> metric.compute()
        tensor(0.5000)
    """

    higher_is_better = True
    UNDEFINED = "the mask is empty, no attribution is positive, or all are the same"

    def __init__(self) -> None:
        super().__init__({"map": _MAP, "ties": "by index"}, Passes(0, 0))

    def measure(self, explained: Explained) -> Reading:
        """The share of each sample."""
        return _reading(relevance_rank(explained.positions, explained.masks))


@METRICS.register("mask_auc")
class MaskAUC(AttributionMetric):
    r"""How well a map tells the object from the rest, higher is better: area under the ROC curve.

    .. math:: \frac{\sum_{i \in M} r_i - |M| (|M| + 1) / 2}{|M| (n - |M|)}

    with r the ranks of the map over n positions, 1 for the smallest, equal values sharing the mean of theirs, and M the
    mask. The probability that a position on the object has more than one beside it; in [0, 1], 0.5 for a map that says
    nothing. Undefined for an empty or full mask. It asks nothing of the model.

    Raises:
        ValueError: without masks.

    Example:
        >>> mask = torch.tensor([[[False, True], [False, False]]])
        >>> metric = MaskAUC()
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, torch.ones(1, 2, 2), masks=mask)
        >>> metric.compute()
        tensor(0.5000)
    """

    higher_is_better = True
    UNDEFINED = "the mask is empty or full"

    def __init__(self) -> None:
        super().__init__({"map": _MAP, "ties": "half"}, Passes(0, 0))

    def measure(self, explained: Explained) -> Reading:
        """The area of each sample."""
        return _reading(mask_auc(explained.positions, explained.masks))


@METRICS.register("mask_topk")
class MaskTopK(AttributionMetric):
    r"""Share of a map's top positions that lie on the object, higher is better.

    .. math:: \frac{|\text{top}_k(a) \cap M|}{k}

    over the positions of the map a, M the mask; equal values in the order of their index. In [0, 1], and below 1 where
    the object has fewer than k positions. Undefined without an object or any order. It asks nothing of the model.

    Args:
        k: how many positions, or below one their share.

    Raises:
        ValueError: for a k that is neither; without masks.

    Example:
        >>> mask = torch.tensor([[[False, True], [False, True]]])
        >>> metric = MaskTopK(k=1)
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, mask.float(), masks=mask)
        >>> metric.compute()
        tensor(1.)
    """

    higher_is_better = True
    UNDEFINED = "the mask is empty, or the attribution is the same everywhere"

    def __init__(self, k: float = 0.02) -> None:
        count_or_share("k", k)
        super().__init__({"map": _MAP, "k": k, "ties": "by index"}, Passes(0, 0))
        self.k = k

    def measure(self, explained: Explained) -> Reading:
        """The share of each sample."""
        return _reading(mask_topk(explained.positions, explained.masks, self.k))
