"""Robustness of maps of a segmenter: how alike they are when the image changes a little and the prediction does not.

The changes are those that Sakib et al., "Dual Evidence Attribution", 2026, arXiv 2603.22624, are said to use; their
strengths are ours. That only what is still predicted counts follows Ghorbani et al. and others, who found that most
differences of maps are else differences of predictions (see `ExplanationSimilarity`).
"""

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from lit_attr._checks import fraction, not_negative_int, one_of
from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._changes import CHANGES
from lit_attr.metrics._comparison import Comparison, Measure
from lit_attr.metrics._evaluation import Explain, Explained
from lit_attr.metrics._explaining import explain_again, explained_by
from lit_attr.metrics._region import Readout
from lit_attr.metrics._work import Work
from lit_attr.targets import RegionTarget

__all__ = ["RegionRobustness", "region_robustness"]

ChangeName: TypeAlias = Literal["noise", "brighter", "darker", "contrast", "blur", "flip"]


def region_robustness(  # noqa: PLR0913, PLR0917 - a batch, and the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: RegionTarget,
    method: Explain,
    change: ChangeName = "noise",
    measure: Measure = "pearson",
    min_iou: float = 0.9,
    k: float = 0.1,
    seed: int = 0,
) -> Tensor:
    """The likeness of each sample's maps, `[B]`; see `RegionRobustness`. NaN where the prediction did not hold.

    Example:
        >>> from lit_attr.attribution import Occlusion
        >>> mask = torch.ones(2, 8, 8, dtype=torch.bool)
        >>> model, images = nn.Conv2d(3, 2, 1), torch.rand(2, 3, 8, 8)
        >>> found = region_robustness(model, images, RegionTarget(1, mask), Occlusion(grid=4), "flip")
        >>> torch.allclose(found, torch.ones(2, dtype=torch.float64), atol=1e-3)
        True
    """
    metric = RegionRobustness(change, measure, min_iou, k, seed)
    return metric.per_sample(explained_by(method, model, inputs, target))


def _called(region: RegionTarget, logits: Tensor, rows: Tensor) -> Tensor:
    """Which pixels are called by the explained class: 1 and 0, NaN where the logits are not finite, `[N, H W]`."""
    called = (logits.argmax(1) == region.index[rows].view(-1, 1, 1)).to(logits)
    return called.where(logits.isfinite().all(1), torch.nan).flatten(1)


class _Found(NamedTuple):
    """At the changed images: attributions, put back in place; what is called now; what was called before, moved."""

    attribution: Tensor
    now: Tensor
    before: Tensor


@METRICS.register("region_robustness")
class RegionRobustness(AttributionMetric):
    r"""Likeness of the maps of an image and of a changed one whose region is still predicted, higher is better.

    .. math:: \text{corr}\big(A(x),\; T^{-1} A(T x)\big)

    for one change T, of maps summed over channels. In [-1, 1], for "topk" in [0, 1]. The region moves along with the
    image and is not predicted anew. Undefined where the pixels that are called by the explained class are others than
    before (intersection over union below `min_iou`), or a map is the same everywhere; `coverage` tells the share of the
    samples that remain. Costs one explanation and two forward passes, of which one is shared by all changes.

    Args:
        change: T: "noise", Gaussian of 0.03; "brighter", times 1.1; "darker", times 0.9; "contrast", times 0.85 towards
            the mean; "blur", Gaussian of one pixel; or "flip", from left to right. Changed images stay in [0, 1].
        measure: "pearson", "spearman", "ssim", "topk" or "cosine"; see `lit_attr.metrics.similarity`.
        min_iou: how alike the prediction has to be, in [0, 1].
        k: how many positions "topk" takes, or below one their share.
        seed: of the noise.

    Raises:
        ValueError: for settings out of range, images outside [0, 1], a target that is no `RegionTarget`, or without
            `method`.

    Example:
        >>> from lit_attr.attribution import Occlusion
        >>> mask = torch.ones(2, 8, 8, dtype=torch.bool)
        >>> model, images, target = nn.Conv2d(3, 2, 1), torch.rand(2, 3, 8, 8), RegionTarget(1, mask)
        >>> metric, method = RegionRobustness("flip"), Occlusion()
        >>> metric.update(model, images, target, method(model, images, target), method=method)
        >>> metric.coverage()
        tensor(1.)
    """

    higher_is_better = True
    UNDEFINED = "the prediction did not hold, or an attribution is the same everywhere"

    def __init__(
        self,
        change: ChangeName = "noise",
        measure: Measure = "pearson",
        min_iou: float = 0.9,
        k: float = 0.1,
        seed: int = 0,
    ) -> None:
        one_of("change", change, CHANGES)
        fraction("min_iou", min_iou)
        not_negative_int("seed", seed)
        compare = Comparison(measure, "sum", k)
        told = {"change": change, **compare.protocol, "min_iou": min_iou, "seed": seed}
        self._key = ("region changed", change, seed)
        shared = [Work("called", Passes(1, 0), per="sample"), Work(self._key, Passes(1, 0), 1)]
        super().__init__(told, Passes(2, 0), explanations=1, shared=shared)
        self.change, self.min_iou, self.compare, self.seed = change, min_iou, compare, seed

    def measure(self, explained: Explained) -> Reading:
        """The likeness of each sample's maps, where its prediction held."""
        found = explained.once(self._key, lambda: self._found(explained))
        both, either = (found.now * found.before).sum(1), (found.now + found.before).clamp_max(1).sum(1)
        held = both >= self.min_iou * either  # nothing that stays nothing holds
        value = self.compare(explained.attribution, found.attribution, explained.evaluation.inputs)
        finite = found.now.isfinite().all(1) & found.before.isfinite().all(1)
        finite &= found.attribution.flatten(1).isfinite().all(1)
        # What is not finite is no prediction that did not hold.
        return Reading(value.where(finite, torch.nan), defined=(held & value.isfinite()) | ~finite)

    def _found(self, explained: Explained) -> _Found:
        evaluation, change = explained.evaluation, CHANGES[self.change]
        region = evaluation.region
        moved = region.moved(change.back)
        with evaluation.view(Readout(region, _called)) as view:
            before = evaluation.once("called", lambda: view.evidence_at(view.inputs, view.rows))
            changed = change(view.inputs, self.seed)
            view.target = Readout(moved, _called)
            now = view.evidence_at(changed, view.rows)
            attribution = change.back(explain_again(explained, view, changed, moved))
        before = change.back(before.view(-1, *region.mask.shape[1:])).flatten(1)
        return _Found(attribution, now, before)
