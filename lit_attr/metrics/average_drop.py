"""Average drop, increase and gain: the confidence that is left when an image is dimmed by its own map.

Papers: Chattopadhay et al., "Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional
Networks", WACV 2018, arXiv 1710.11063, section 4.1 (drop, increase); Zhang et al., "Opti-CAM: Optimizing saliency maps
for interpretability", 2023, arXiv 2301.07002 (gain). Code: torch-cam's `ClassificationMetric`, pytorch-grad-cam's
`DropInConfidence`, which is the absolute drop.

Deviations: fractions, not percent. The mask is that of the signed sum over channels. A map that is the same everywhere
masks nothing.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, batch_limit
from lit_attr._view import Passes
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._elements import SCORE, named
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._masking import weights
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.objectives import prob
from lit_attr.targets import Target

__all__ = ["AverageDrop", "AverageGain", "AverageIncrease", "average_drop", "average_gain", "average_increase"]

_LEAST = 1e-7  # that a confidence is divided by
_ROUNDING = 1e-6  # of a probability: the same image in another batch is no increase


class _Masking:
    """How a sample is masked by its attribution.

    Args:
        fill: what stands in for what is masked.
        keep: the share of positions that a binary mask keeps; None for the soft mask.
        max_batch: the most images per forward pass.
    """

    def __init__(self, fill: Baseline, keep: float | None, max_batch: int | None) -> None:
        check_baseline("fill", fill)
        if keep is not None and not (isinstance(keep, int | float) and 0 < keep <= 1):
            raise ArgumentError("keep", keep, "in (0, 1], or None for the soft mask")
        batch_limit("max_batch", max_batch)
        self._fill, self._keep, self._max_batch = fill, keep, max_batch

    @property
    def protocol(self) -> dict[str, Any]:
        soft = "min-max of the signed sum over channels"
        return {
            "mask": soft if self._keep is None else f"1 on the {self._keep} of the positions of largest signed sum",
            "constant_map": "masks nothing",
            "fill": named(self._fill),
            "score": SCORE.format("softmax probability"),
        }

    def scores(self, explained: Explained) -> tuple[Tensor, Tensor]:
        """The confidence in the target, `[B]`, of each sample and of the masked sample; made once per attribution."""
        evaluation = explained.evaluation
        whole = prob(evaluation.evidence, evaluation.target.index)
        return whole, explained.once(self._work.key, lambda: self._masked(explained))

    def told(self, **more: Any) -> dict[str, Any]:
        """What `AttributionMetric` is told."""
        protocol, shared = {**self.protocol, **more}, [CLEAN, self._work]
        return {"protocol": protocol, "passes": Passes(2, 0), "identity": self._fill, "shared": shared}

    @property
    def _work(self) -> Work:
        return Work(("masked by itself", self._fill, self._keep), Passes(1, 0))

    def _masked(self, explained: Explained) -> Tensor:
        kept = weights(explained.positions, self._keep).nan_to_num()
        with explained.evaluation.view() as view:
            fill = get_baseline("fill", self._fill, view.inputs)
            points = torch.lerp(fill, view.inputs, kept.to(view.inputs.dtype))
            return view.value(points, view.rows, prob, self._max_batch)


def average_drop(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    relative: bool = True,
    fill: Baseline = "black",
    keep: float | None = None,
    max_batch: int | None = None,
) -> Tensor:
    """The drop of each sample, `[B]`; see `AverageDrop`. NaN where attribution or model output is not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> average_drop(model, torch.rand(2, 1, 4, 4), None, torch.ones(2, 4, 4)).round(decimals=5).abs()
        tensor([0., 0.])
    """
    return AverageDrop(relative, fill, keep, max_batch).per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("average_drop")
class AverageDrop(AttributionMetric):
    r"""The share of its confidence that the model loses when the image is masked by its map, lower is better.

    .. math:: \text{AD} = \frac{\max(0, Y - O)}{\max(Y, 10^{-7})}, \quad Y = p_y(x), \quad
              O = p_y(m x + (1 - m) b), \quad m = \frac{a - \min a}{\max a - \min a}

    where `p_y` is the probability of the target, `b` the fill and `a` the attribution summed over channels with its
    sign. In [0, 1]. A map that is the same everywhere has m = 1, and drops nothing. A map that is bright everywhere
    hardly drops either: read it together with `AverageGain`. Costs 2 forward passes per sample, none where increase or
    gain are evaluated already.

    Args:
        relative: False for max(0, Y - O) itself, as in pytorch-grad-cam's `DropInConfidence`.
        fill: what stands in for what is masked; see `get_baseline`.
        keep: instead of the soft mask, keep this share of the positions, most important first.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: for an unknown fill or a share outside (0, 1].

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = AverageDrop()
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape, metric.passes.forward
        (torch.Size([]), 2)
    """

    higher_is_better = False

    def __init__(
        self,
        relative: bool = True,
        fill: Baseline = "black",
        keep: float | None = None,
        max_batch: int | None = None,
    ) -> None:
        self._masking, self._relative = _Masking(fill, keep, max_batch), relative
        super().__init__(**self._masking.told(relative=relative))

    def measure(self, explained: Explained) -> Reading:
        """The drop of each sample."""
        whole, masked = self._masking.scores(explained)
        drop = (whole - masked).clamp_min(0)
        return Reading(drop / whole.clamp_min(_LEAST) if self._relative else drop)


def average_increase(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: Baseline = "black",
    keep: float | None = None,
    max_batch: int | None = None,
) -> Tensor:
    """1 where a sample's confidence rises, `[B]`; see `AverageIncrease`. NaN where something is not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> average_increase(model, torch.rand(2, 1, 4, 4), None, torch.ones(2, 4, 4))
        tensor([0., 0.])
    """
    return AverageIncrease(fill, keep, max_batch).per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("average_increase")
class AverageIncrease(AttributionMetric):
    """The share of samples whose confidence rises when the image is masked by its map, higher is better.

    AI = 1[O > Y] with the symbols, arguments and costs of `AverageDrop`; a rise is more than 1e-6, so that rounding is
    none.

    Args:
        fill: what stands in for what is masked; see `get_baseline`.
        keep: instead of the soft mask, keep this share of the positions, most important first.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: as `AverageDrop`.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = AverageIncrease(keep=0.5)
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape
        torch.Size([])
    """

    higher_is_better = True

    def __init__(self, fill: Baseline = "black", keep: float | None = None, max_batch: int | None = None) -> None:
        self._masking = _Masking(fill, keep, max_batch)
        super().__init__(**self._masking.told(increase=f"more than {_ROUNDING}"))

    def measure(self, explained: Explained) -> Reading:
        """1 for samples whose confidence rises, else 0."""
        whole, masked = self._masking.scores(explained)
        known = masked.isfinite() & whole.isfinite()
        return Reading((masked > whole + _ROUNDING).to(whole).where(known, torch.nan))


def average_gain(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: Baseline = "black",
    keep: float | None = None,
    max_batch: int | None = None,
) -> Tensor:
    """The gain of each sample, `[B]`; see `AverageGain`. NaN where attribution or model output is not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> average_gain(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    return AverageGain(fill, keep, max_batch).per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("average_gain")
class AverageGain(AttributionMetric):
    r"""The share of its doubt that the model loses when the image is masked by its map, higher is better.

    .. math:: \text{AG} = \frac{\max(0, O - Y)}{\max(1 - Y, 10^{-7})}

    with the symbols, arguments and costs of `AverageDrop`, to which it is the other side. In [0, 1].

    Args:
        fill: what stands in for what is masked; see `get_baseline`.
        keep: instead of the soft mask, keep this share of the positions, most important first.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: as `AverageDrop`.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = AverageGain(fill="mean")
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape
        torch.Size([])
    """

    higher_is_better = True

    def __init__(self, fill: Baseline = "black", keep: float | None = None, max_batch: int | None = None) -> None:
        self._masking = _Masking(fill, keep, max_batch)
        super().__init__(**self._masking.told())

    def measure(self, explained: Explained) -> Reading:
        """The gain of each sample."""
        whole, masked = self._masking.scores(explained)
        return Reading((masked - whole).clamp_min(0) / (1 - whole).clamp_min(_LEAST))
