"""Performance information curves: what a model knows of a blurred image, over the bytes that the image holds.

Paper: Kapishnikov et al., "XRAI: Better Attributions Through Regions", ICCV 2019, arXiv 1906.02825, section 4. Code:
PAIR's `saliency.metrics.pic`.

Deviations: equal values of a map are revealed by index, where a quantile reveals all of them at once. The random pixels
that are known from the start are the same for all images. By default the mean over images is told, the map is the
signed sum over channels, and unknown pixels are filled by diffusion on the device, seconds instead of a minute per
image; the result should then not be called PIC. The published code is `fill="delaunay"` with `aggregate="median"`, its
notebook takes `reduction="abs_of_sum"` and a `min_score` of 0.5. The median is found from counts, to within 0.0005.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, batch_limit, fraction, not_negative_int, numbers, one_of, unit_range
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes, View
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._comparison import REDUCTIONS, Reduction
from lit_attr.metrics._diffusion import diffuse
from lit_attr.metrics._elements import generator_of
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._precision import wide
from lit_attr.metrics._work import CLEAN, Work, total
from lit_attr.metrics.ranking import ranks_by
from lit_attr.objectives import prob
from lit_attr.targets import Target

__all__ = ["AIC", "SIC", "aic", "sic"]

THRESHOLDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.13, 0.21, 0.34, 0.5, 0.75)
READOUTS = ("prob", "accuracy")
FILLS = ("diffusion", "delaunay")
Aggregate: TypeAlias = Literal["mean", "median"]
_START = 0.01  # the share of the pixels that are known from the start
_POINTS = 1001  # of a curve


class _Blurred(NamedTuple):
    """Images of which some pixels are known, N of them.

    Attributes:
        entropy: bytes of each, `[N]`.
        scores: probability of the target, and whether it is predicted, `[2, N]`.
    """

    entropy: Tensor
    scores: Tensor


@dataclass(frozen=True)
class _Information:
    """How pixels are revealed; see `SIC`."""

    fill: str
    thresholds: Sequence[float]
    reduction: Reduction
    aggregate: Aggregate
    seed: int
    max_batch: int | None

    def __post_init__(self) -> None:
        one_of("fill", self.fill, FILLS)
        one_of("reduction", self.reduction, REDUCTIONS)
        one_of("aggregate", self.aggregate, get_args(Aggregate))
        found = numbers("thresholds", self.thresholds, "at least one share in (0, 1)", lambda t: 0 < t < 1)
        object.__setattr__(self, "thresholds", found)
        if list(found) != sorted(found):
            raise ArgumentError("thresholds", found, "ascending, as the curve may only rise along them")
        not_negative_int("seed", self.seed)
        batch_limit("max_batch", self.max_batch)

    def told(self, score: str, **more: Any) -> dict[str, Any]:
        """What `AttributionMetric` is told."""
        exact, median = self.fill == "delaunay", self.aggregate == "median"
        ends, walk = self._keys
        work = [CLEAN, Work(ends, Passes(1, 0), per="sample"), Work(walk, Passes(len(self.thresholds), 0))]
        protocol = {
            "name": "PIC" if exact else "PIC-fast",
            "rank": f"{self.reduction} over channels, descending, equal values by index",
            "known_at_the_start": f"{_START} of the pixels, the same for all images, and the corners",
            "thresholds": list(self.thresholds),
            "fill": "linear on a Delaunay triangulation" if exact else "mean of the eight neighbours (ROAD's)",
            "information": "bytes of the 8-bit image as lossless WebP of quality 100",
            "seed": self.seed,
            "score": f"{score} (None: the class predicted on the clean input)",
            "curve": f"running maximum, linear between its points, {_POINTS} points",
            "aggregate": f"{self.aggregate} of the curves",
            **more,
        }
        return {"protocol": protocol, "passes": total(work).passes, "points": _POINTS, "shared": work, "median": median}

    @property
    def _keys(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        key = ("pic", self.fill, self.seed)
        return key, (*key, self.thresholds, self.reduction)

    def reading(self, explained: Explained, readout: str, least: float) -> Reading:
        """The area under the curve of each sample whose clean score is at least `least`, and the curve."""
        evaluation, number = explained.evaluation, READOUTS.index(readout)
        full, start = evaluation.once(self._keys[0], lambda: self._ends(evaluation))
        steps = explained.once(self._keys[1], lambda: self._steps(explained))
        shape = (len(full.entropy), len(self.thresholds))
        x = _share(steps.entropy.view(shape), start.entropy, full.entropy)
        low, high = start.scores[number], full.scores[number]
        y = _share(steps.scores[number].view(shape), low, high)
        curve = _curve(x, y)
        defined = ~(high < least) & ~(low >= high) & (start.entropy < full.entropy)  # of NaN the base takes care
        return Reading(torch.trapezoid(curve, dx=1 / (_POINTS - 1)), curve, defined)

    def _ends(self, evaluation: Evaluation) -> tuple[_Blurred, _Blurred]:
        """The images as they are, and with the pixels alone that are known from the start."""
        _check(evaluation.inputs)
        known = _start(evaluation.inputs, self.seed)
        with evaluation.view() as view, torch.no_grad():
            full = _Blurred(_bytes(_levels(view.inputs)), _scores(view, evaluation.evidence, view.rows))
            return full, self._blurred(view, view.rows, lambda rows, _: known.expand(len(rows), -1, -1, -1))

    def _steps(self, explained: Explained) -> _Blurred:
        """The images with the most important pixels revealed, threshold after threshold, sample by sample."""
        inputs, count = explained.evaluation.inputs, len(self.thresholds)
        known, ranks = _start(inputs, self.seed), ranks_by(self.reduction, explained.attribution, inputs)
        pixels = ranks.shape[1:].numel()
        cuts = torch.tensor([_revealed(t, pixels) for t in self.thresholds], dtype=ranks.dtype, device=inputs.device)
        with explained.evaluation.view() as view, torch.no_grad():

            def mask(rows: Tensor, jobs: Tensor) -> Tensor:
                return known | (ranks[rows] < cuts[jobs % count].view(-1, 1, 1, 1))

            return self._blurred(view, view.rows.repeat_interleave(count), mask)

    def _blurred(self, view: View, rows: Tensor, mask: Any) -> _Blurred:
        """Fill what `mask(rows, jobs)` leaves open and look at the result."""
        entropy = torch.empty(len(rows), dtype=view.dtype, device=rows.device)
        scores = entropy.new_empty(len(READOUTS), len(rows))

        def work(first: int, last: int) -> None:
            jobs = torch.arange(first, last, device=rows.device)
            part = rows[first:last]
            levels = self._filled(_levels(view.inputs[part]), mask(part, jobs))
            evidence = view.evidence((levels / 255).to(view.inputs.dtype), part)
            scores[:, first:last] = _scores(view, evidence, part).to(scores)
            entropy[first:last] = _bytes(levels).to(entropy)

        in_chunks(len(rows), view.inputs, self.max_batch, work)
        return _Blurred(entropy, scores)

    def _filled(self, levels: Tensor, known: Tensor) -> Tensor:
        """8-bit levels of images of which the pixels `known` are known."""
        if self.fill == "diffusion":
            return diffuse(levels, known).round().clamp(0, 255)
        pairs = zip(levels.double().cpu().numpy(), known[:, 0].cpu().numpy(), strict=True)
        return torch.from_numpy(np.stack([_triangulated(image, where) for image, where in pairs])).to(levels)


def _check(inputs: Tensor) -> None:
    if inputs.dim() != 4 or inputs.shape[1] not in (1, 3) or min(inputs.shape[2:]) < 2:
        accepted = "images [B, C, H, W] with one or three channels and two pixels a side"
        raise ArgumentError("inputs", f"shape {tuple(inputs.shape)}", accepted)
    unit_range("inputs", inputs, "put the normalisation into the model")


def _start(inputs: Tensor, seed: int) -> Tensor:
    """The pixels known from the start, bool `[1, 1, H, W]`."""
    height, width = inputs.shape[2:]
    known = torch.zeros(height * width, dtype=torch.bool)
    known[torch.randperm(height * width, generator=generator_of(seed, 0))[: int(_START * height * width)]] = True
    known = known.view(1, 1, height, width)
    known[..., :: height - 1, :: width - 1] = True
    return known.to(inputs.device)


def _revealed(threshold: float, pixels: int) -> int:
    """How many of `pixels` different values are at least the quantile 1 - threshold of them."""
    return pixels - math.ceil((pixels - 1) * (1 - threshold) - 1e-9)


def _levels(images: Tensor) -> Tensor:
    """From [0, 1] to 0..255, float32 or wider: bfloat16 has not as many numbers there."""
    return (images.to(torch.promote_types(images.dtype, torch.float32)) * 255).round().clamp(0, 255)


def _scores(view: View, evidence: Tensor, rows: Tensor) -> Tensor:
    """Probability of the target and whether it is predicted, `[2, N]`."""
    hit = (evidence.argmax(1) == view.target.index[rows]).to(evidence)
    return torch.stack([view.score(evidence, rows, prob), hit.where(evidence.isfinite().all(1), torch.nan)])


def _bytes(levels: Tensor) -> Tensor:
    """Size of each image, `[N]`."""
    sizes = []
    for image in levels.byte().permute(0, 2, 3, 1).cpu().numpy():
        file = BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(
            file, format="webp", lossless=True, quality=100
        )
        sizes.append(file.tell())
    return torch.tensor(sizes, dtype=torch.long, device=levels.device)


def _triangulated(image: npt.NDArray[np.float64], known: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Levels `[C, H, W]`, linear within the triangles of the pixels that are known."""
    from scipy.interpolate import LinearNDInterpolator

    if known.all():
        return image
    interpolate = LinearNDInterpolator(np.argwhere(known), image[:, known].T)
    values = interpolate(np.argwhere(~known)).T
    found = image.copy()
    found[:, ~known] = np.where(np.isnan(values), image.mean((1, 2))[:, None], values)  # NaN: outside, by rounding
    return np.rint(found.astype(np.float32))  # as PAIR: what lies between two levels but for rounding, lies between


def _share(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far values `[B, T]` have come from low to high `[B]`, float64, within [0, 1]."""
    values, low, high = (wide(part) for part in (values, low, high))
    return ((values - low[:, None]) / (high - low)[:, None]).clamp(0, 1)


def _curve(x: Tensor, y: Tensor) -> Tensor:
    """The curve through (0, 0), (1, 1) and points `[B, T]`, of which y may only rise, at evenly spaced x.

    Of points with one x the last counts to its right, (0, 0) after all others.
    """
    x = torch.cat([x, torch.zeros_like(x[:, :1]), torch.ones_like(x[:, :1])], dim=1)
    y = torch.cat([y.cummax(1).values, torch.zeros_like(y[:, :1]), torch.ones_like(y[:, :1])], dim=1)
    x, order = x.sort(dim=1, stable=True)
    y = y.gather(1, order)
    at = (torch.arange(_POINTS, device=x.device).to(x) / (_POINTS - 1)).expand(len(x), -1).contiguous()
    left = (torch.searchsorted(x, at, right=True) - 1).clamp(0, x.shape[1] - 2)
    (x0, x1), (y0, y1) = ((part.gather(1, left), part.gather(1, left + 1)) for part in (x, y))
    curve = y0 + (y1 - y0) * ((at - x0) / (x1 - x0))
    curve[:, -1:] = torch.ones_like(curve[:, -1:])
    return curve


def sic(  # noqa: PLR0913 - as many as the class has settings
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: str = "diffusion",
    min_score: float = 0.8,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    reduction: Reduction = "sum",
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The area under the curve of each sample, `[B]`; see `SIC`. NaN where it is undefined or not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        >>> sic(model, torch.rand(2, 1, 8, 8), None, torch.rand(2, 8, 8), min_score=0).shape
        torch.Size([2])
    """
    metric = SIC(fill, min_score, thresholds, reduction=reduction, seed=seed, max_batch=max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("sic")
class SIC(AttributionMetric):
    r"""Area under the softmax information curve, higher is better.

    .. math:: x_\tau = \frac{e_\tau - e_0}{e_1 - e_0}, \quad y_\tau = \frac{p_\tau - p_0}{p_1 - p_0}

    An image starts with 1 % of its pixels and the corners, from which the others are filled: entropy `e_0`, in bytes of
    a lossless WebP, and probability of the target `p_0`. For each threshold the share tau of the pixels, most important
    first, is revealed, and the rest filled anew: `e_tau`, `p_tau`; `e_1` and `p_1` are those of the whole image. `x`
    and `y` are clipped to [0, 1], `y` is not allowed to fall along the thresholds, and the curve through the points,
    (0, 0) and (1, 1), linear between them, is taken at 1001 places.

    In [0, 1]. Undefined where the model is not sure of the whole image, or where the blurred image has no fewer bytes
    or no smaller score than the whole one. Constant maps are revealed by index and counted in `constant`. Costs
    T + 2 forward passes per sample with T thresholds, none where `AIC` is evaluated already.

    Args:
        fill: "diffusion", each unknown pixel is the mean of its neighbours, on the device; "delaunay", linear between
            known pixels on the CPU, as published, a minute for an image of 224 pixels. Only the latter is PIC.
        min_score: the probability that the model must give to the whole image.
        thresholds: shares of the pixels that are revealed, ascending.
        reduction: from channels to one number per position: "sum" with its sign, its absolute value ("abs_of_sum"), or
            the sum of absolute values ("abs_sum").
        aggregate: "mean" over samples, or "median", the area under the median curve, which has no standard error.
        seed: of the pixels that are known from the start.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: for settings outside these; on update, for inputs that are no images in [0, 1] of one or three
            channels.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        >>> metric = SIC(min_score=0)
        >>> metric.protocol["name"], metric.passes.forward, metric.curve_sum.shape
        ('PIC-fast', 15, torch.Size([1, 1001]))
    """

    higher_is_better = True
    ALONG = "information in the image"
    UNDEFINED = "the model is not sure of the image, or blurring takes nothing from its bytes or its score"

    def __init__(
        self,
        fill: str = "diffusion",
        min_score: float = 0.8,
        thresholds: Sequence[float] = THRESHOLDS,
        *,
        reduction: Reduction = "sum",
        aggregate: Aggregate = "mean",
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        fraction("min_score", min_score)
        self._information = _Information(fill, thresholds, reduction, aggregate, seed, max_batch)
        self._least = min_score
        super().__init__(**self._information.told("softmax probability of the target", min_score=min_score))

    def measure(self, explained: Explained) -> Reading:
        """The area of each sample, and its curve."""
        return self._information.reading(explained, "prob", self._least)


def aic(  # noqa: PLR0913 - as many as the class has settings
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: str = "diffusion",
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    reduction: Reduction = "sum",
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The area under the curve of each sample, `[B]`; see `AIC`. NaN where it is undefined or not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        >>> aic(model, torch.rand(2, 1, 8, 8), None, torch.rand(2, 8, 8)).shape
        torch.Size([2])
    """
    metric = AIC(fill, thresholds, reduction=reduction, seed=seed, max_batch=max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("aic")
class AIC(AttributionMetric):
    """Area under the accuracy information curve, higher is better.

    `SIC` with 1 where the target is the predicted class, else 0, for the probability. In [0, 1]. Undefined where the
    target is not predicted on the whole image or is predicted on the blurred one, or where that has no fewer bytes.

    Args:
        fill: "diffusion" or "delaunay"; see `SIC`.
        thresholds: shares of the pixels that are revealed, ascending.
        reduction: from channels to one number per position: "sum" with its sign, its absolute value ("abs_of_sum"), or
            the sum of absolute values ("abs_sum").
        aggregate: "mean" over samples, or "median", the area under the median curve, which has no standard error.
        seed: of the pixels that are known from the start.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: as `SIC`.

    Example:
        >>> AIC("delaunay").protocol["name"]
        'PIC'
    """

    higher_is_better = True
    ALONG = "information in the image"
    UNDEFINED = "the target is not predicted, or still is when blurred, or blurring takes nothing from the bytes"

    def __init__(
        self,
        fill: str = "diffusion",
        thresholds: Sequence[float] = THRESHOLDS,
        *,
        reduction: Reduction = "sum",
        aggregate: Aggregate = "mean",
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        self._information = _Information(fill, thresholds, reduction, aggregate, seed, max_batch)
        super().__init__(**self._information.told("1 where the target is predicted"))

    def measure(self, explained: Explained) -> Reading:
        """The area of each sample, and its curve."""
        return self._information.reading(explained, "accuracy", 1.0)
