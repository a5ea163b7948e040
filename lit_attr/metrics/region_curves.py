"""Deletion and insertion for segmenters: the share of a region's probability that is left, or back.

Papers: as `Deletion` and `Insertion`, of which these are the same curves over the mean probability of a region
(`RegionTarget`) with three differences: they are shares of the probability on the clean image, as regions differ in
it; pixels of equal attribution come in a random order, as maps of cells are full of them, and the order of the raster
is no property of a map; the steps are few, as images are large. Any other target that compares classes does, too.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from lit_attr._checks import batch_limit, not_negative_int, one_of, positive_int
from lit_attr._view import Passes
from lit_attr.baselines import Baseline, check_baseline
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._elements import named
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._perturbation import filled_end, read_along
from lit_attr.metrics._precision import wide
from lit_attr.metrics._region import shuffled_ranks
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.metrics.curves import End, auc, cut_points, perturbation_curve
from lit_attr.objectives import prob
from lit_attr.targets import Target

__all__ = ["RegionDeletion", "RegionInsertion", "region_deletion", "region_insertion"]

Unit: TypeAlias = Literal["clean", "range"]

_LEAST_RANGE = 0.2  # of the clean probability


def region_deletion(  # noqa: PLR0913, PLR0917 - a batch, and the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: Baseline = "mean",
    steps: int = 20,
    unit: Unit = "clean",
    draws: int = 2,
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The area under the deletion curve of each sample, `[B]`; see `RegionDeletion`, which has an example."""
    metric = RegionDeletion(fill, steps, unit, draws, seed, max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


def region_insertion(  # noqa: PLR0913, PLR0917 - a batch, and the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: Baseline = "mean",
    steps: int = 20,
    unit: Unit = "clean",
    draws: int = 2,
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The area under the insertion curve of each sample, `[B]`; see `RegionInsertion`."""
    metric = RegionInsertion(fill, steps, unit, draws, seed, max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@dataclass(frozen=True)
class _Curves:
    """The settings of both metrics, and the work."""

    fill: Baseline
    steps: int
    unit: Unit
    draws: int
    seed: int
    max_batch: int | None

    def __post_init__(self) -> None:
        check_baseline("fill", self.fill)
        for name in ("steps", "draws"):
            positive_int(name, getattr(self, name))
        one_of("unit", self.unit, get_args(Unit))
        not_negative_int("seed", self.seed)
        batch_limit("max_batch", self.max_batch)

    def told(self, *, insert: bool) -> dict[str, Any]:
        """What `AttributionMetric` is told."""
        walks = [Work(self._key(draw, insert=insert), Passes(self.steps - 1, 0)) for draw in range(self.draws)]
        protocol = {
            "rank": f"sum over channels, descending, equal values at random, {self.draws} draws, seed {self.seed}",
            "score": f"probability of the target, in units of the {self.unit} one",
            "fill": named(self.fill),
            "steps": self.steps,
            "area": "trapezoid",
        }
        return {
            "protocol": protocol,
            "passes": Passes(2 + self.draws * (self.steps - 1), 0),
            "points": self.steps + 1,
            "identity": self.fill,
            "shared": [CLEAN, Work(("fill", self.fill), Passes(1, 0), per="sample"), *walks],
        }

    def _key(self, draw: int, *, insert: bool) -> tuple[Any, ...]:
        return ("region curve", insert, self.fill, self.steps, self.seed, draw)

    def reading(self, explained: Explained, *, insert: bool) -> Reading:
        """The curves, averaged over the draws, and the areas under them."""
        evaluation = explained.evaluation
        index = evaluation.target.index
        filled = filled_end(evaluation, self.fill, self.max_batch)
        cuts = cut_points(explained.positions[0].numel() if len(index) else self.steps, self.steps)
        draws = []
        with evaluation.view() as view:
            clean = End(view.inputs, evaluation.evidence)
            ends = (filled, clean) if insert else (clean, filled)
            for draw in range(self.draws):

                def walked(draw: int = draw) -> Tensor:
                    ranks = shuffled_ranks(explained, self.seed, draw)
                    evidence = perturbation_curve(view, *ends, ranks, cuts, self.max_batch)
                    return read_along("prob", evidence, index, "insertion" if insert else "deletion")

                draws.append(explained.once(self._key(draw, insert=insert), walked))
        curve, low, high = torch.stack(draws).mean(0), prob(filled.evidence, index), prob(clean.evidence, index)
        curve, low, high = wide(curve), wide(low), wide(high)
        span, defined = high, high != 0
        if self.unit == "range":
            curve, span = curve - low[:, None], high - low
            defined &= ~(span < _LEAST_RANGE * high)
        curve = curve / span[:, None]
        value = auc(curve, [cut / cuts[-1] for cut in cuts])
        if len(cuts) <= self.steps:  # cut points that coincide
            curve = curve[:, [j * cuts[-1] // self.steps for j in range(self.steps + 1)]]
        return Reading(value, curve, defined)


@METRICS.register("region_deletion")
class RegionDeletion(AttributionMetric):
    r"""Area under the curve of a region's probability while pixels are deleted, lower is better.

    .. math:: \frac{1}{S(x)} \sum_{j=0}^{T-1} (q_{j+1} - q_j) \frac{S(x^{(j)}) + S(x^{(j+1)})}{2}

    S is the mean probability of the explained class over the region, :math:`x^{(j)}` the image with the first share
    :math:`q_j` of the pixels, by attribution summed over channels, replaced by the fill; averaged over draws of the
    order of equal values. In [0, 1 / S(x)], as a rule in [0, 1]. Undefined where S(x) is zero. Costs 2 + D (T - 1)
    forward passes per sample with D draws.

    Args:
        fill: what stands where pixels were (see `lit_attr.baselines`); "mean" is the mean colour of each image. Also
            ask with a fill that the method itself did not use.
        steps: number of intervals T of the curve.
        unit: what the probability is told in: that of the "clean" image; or the "range", 0 for the filled image and 1
            for the clean one, undefined where the filled one keeps more than 80 %.
        draws: of the order of equal values.
        seed: of these draws.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: for settings out of range.

    Example:
        >>> from lit_attr.targets import RegionTarget
        >>> mask = torch.zeros(2, 6, 6, dtype=torch.bool)
        >>> mask[:, :3] = True
        >>> metric, model, images = RegionDeletion(steps=4), nn.Conv2d(3, 2, 1), torch.rand(2, 3, 6, 6)
        >>> metric.update(model, images, RegionTarget(1, mask), mask.float())
        >>> metric.curve().shape
        torch.Size([5])
    """

    higher_is_better = False
    UNDEFINED = "the probability on the clean image, or its distance to that of the filled one, is too small"

    def __init__(
        self,
        fill: Baseline = "mean",
        steps: int = 20,
        unit: Unit = "clean",
        draws: int = 2,
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        curves = _Curves(fill, steps, unit, draws, seed, max_batch)
        super().__init__(**curves.told(insert=False))
        self.curves = curves

    def measure(self, explained: Explained) -> Reading:
        """The area under the deletion curve of each sample, and the curve."""
        return self.curves.reading(explained, insert=False)


@METRICS.register("region_insertion")
class RegionInsertion(AttributionMetric):
    r"""Area under the curve of a region's probability while pixels are inserted, higher is better.

    As `RegionDeletion`, with its arguments, range, cost and undefined cases, from the filled image to the clean one.

    Args:
        fill: as in `RegionDeletion`.
        steps: likewise.
        unit: likewise.
        draws: likewise.
        seed: likewise.
        max_batch: likewise.

    Raises:
        ValueError: as `RegionDeletion`.

    Example:
        >>> from lit_attr.targets import RegionTarget
        >>> mask = torch.zeros(2, 6, 6, dtype=torch.bool)
        >>> mask[:, :3] = True
        >>> metric, model, images = RegionInsertion(steps=4), nn.Conv2d(3, 2, 1), torch.rand(2, 3, 6, 6)
        >>> metric.update(model, images, RegionTarget(1, mask), mask.float())
        >>> float(metric.curve()[-1])  # the clean image
        1.0
    """

    higher_is_better = True
    UNDEFINED = RegionDeletion.UNDEFINED

    def __init__(
        self,
        fill: Baseline = "mean",
        steps: int = 20,
        unit: Unit = "clean",
        draws: int = 2,
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        curves = _Curves(fill, steps, unit, draws, seed, max_batch)
        super().__init__(**curves.told(insert=True))
        self.curves = curves

    def measure(self, explained: Explained) -> Reading:
        """The area under the insertion curve of each sample, and the curve."""
        return self.curves.reading(explained, insert=True)
