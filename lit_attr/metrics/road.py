"""ROAD: the score when the most, or the least, important pixels are replaced by what their neighbours suggest.

Paper: Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022, arXiv
2202.00449, section 4. Code: github.com/tleemann/road_evaluation; the combined score is pytorch-grad-cam's.

Deviations: the linear system is solved by conjugate gradients on the device, to a relative residual of 1e-6, where the
authors factor a sparse matrix on the CPU. Exactly the share of the pixels is removed, equal values by index, where the
authors add noise to the map. The noise on filled pixels is the same for all images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, batch_limit, not_negative, not_negative_int, numbers, one_of
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._diffusion import diffuse
from lit_attr.metrics._elements import generator_of
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.objectives import prob
from lit_attr.targets import Target

__all__ = ["ROAD", "ROADLeRF", "ROADMoRF", "road", "road_lerf", "road_morf"]

Order = Literal["morf", "lerf"]
READOUTS = ("prob", "accuracy")
TENTHS = (10, 20, 30, 40, 50, 60, 70, 80, 90)


@dataclass(frozen=True)
class _Removal:
    """How pixels are removed and what is read; see `ROAD`."""

    readout: str
    percentages: Sequence[float]
    noise: float
    seed: int
    max_batch: int | None

    def __post_init__(self) -> None:
        one_of("readout", self.readout, READOUTS)
        accepted = "at least one number in (0, 100)"
        found = numbers("percentages", self.percentages, accepted, lambda p: 0 < p < 100)
        object.__setattr__(self, "percentages", found)
        not_negative("noise", self.noise)
        not_negative_int("seed", self.seed)
        batch_limit("max_batch", self.max_batch)

    def protocol(self, order: str) -> dict[str, Any]:
        """What is computed, in words and numbers that fit into a log."""
        score = {"prob": "softmax probability of the target", "accuracy": "1 where the target is predicted"}
        return {
            "rank": "signed sum over channels, descending, equal values by index",
            "order": order,
            "percentages": list(self.percentages),
            "removed": "floor(percentage / 100 * pixels)",
            "fill": "mean of the eight neighbours, 1/6 by side and 1/12 by corner, solved to a residual of 1e-6",
            "noise": self.noise,
            "seed": self.seed,
            "score": f"{score[self.readout]} (None: the class predicted on the clean input)",
            "value": "mean over percentages",
        }

    def told(self, name: str, *orders: Order) -> dict[str, Any]:
        """What `AttributionMetric` is told of a metric of these orders."""
        points = len(self.percentages)
        return {
            "protocol": self.protocol(name),
            "passes": Passes(len(orders) * points + 1, 0),
            "points": points,
            "shared": [CLEAN, *(Work(self._key(order), Passes(points, 0)) for order in orders)],
        }

    def _key(self, order: Order) -> tuple[Any, ...]:
        return ("road", order, self.percentages, self.noise, self.seed)

    def curve(self, explained: Explained, order: Order) -> Tensor:
        """The score at each percentage, `[B, P]`; both readouts come from passes made once per order."""
        found: Tensor = explained.once(self._key(order), lambda: self._walk(explained, order))[
            READOUTS.index(self.readout)
        ]
        return found

    def _walk(self, explained: Explained, order: Order) -> Tensor:
        inputs, count = explained.evaluation.inputs, len(self.percentages)
        if inputs.dim() != 4:
            raise ArgumentError("inputs", f"shape {tuple(inputs.shape)}", "images [B, C, H, W]")
        pixels, ranks = inputs.shape[2] * inputs.shape[3], explained.ranks
        if order == "lerf":
            ranks = pixels - 1 - ranks
        # Multiplied first: 70 / 100 * 90 is a little less than 63.
        removed = [min(pixels - 1, math.floor(p * pixels / 100)) for p in self.percentages]
        cuts = torch.tensor(removed, dtype=ranks.dtype, device=inputs.device)[:, None, None, None]
        noise = self._noise(inputs)
        with explained.evaluation.view() as view, torch.no_grad():
            index = view.target.index
            scores = torch.empty(len(READOUTS), len(inputs) * count, dtype=view.dtype, device=inputs.device)

            def work(start: int, stop: int) -> None:
                jobs = torch.arange(start, stop, device=inputs.device)
                rows, numbers = jobs // count, jobs % count
                gone = ranks[rows] < cuts[numbers]
                filled = diffuse(view.inputs[rows].to(view.dtype), ~gone) + gone * noise[numbers]
                evidence = view.evidence(filled.to(view.inputs.dtype), rows)
                right = evidence.argmax(1) == index[rows]
                known = evidence.isfinite().all(1)
                accuracy = right.to(scores).where(known, torch.nan)
                scores[:, start:stop] = torch.stack([view.score(evidence, rows, prob).to(scores), accuracy])

            in_chunks(len(inputs) * count, view.inputs, self.max_batch, work)
        return scores.view(len(READOUTS), len(inputs), count)

    def _noise(self, inputs: Tensor) -> Tensor:
        """What is added to filled pixels at each percentage, `[P, C, H, W]`."""
        draws = [
            torch.randn(inputs.shape[1:], generator=generator_of(self.seed, number)) * self.noise
            for number in range(len(self.percentages))
        ]
        return torch.stack(draws).to(inputs.device, torch.float64 if inputs.dtype == torch.float64 else torch.float32)


def road(  # noqa: PLR0913 - as many as the class has settings
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    readout: str = "prob",
    percentages: Sequence[float] = TENTHS,
    noise: float = 0.01,
    *,
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The combined ROAD score of each sample, `[B]`; see `ROAD`. NaN where something is not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> road(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    metric = ROAD(readout, percentages, noise, seed=seed, max_batch=max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("road")
class ROAD(AttributionMetric):
    r"""Half the difference of the scores without the least and without the most important pixels, higher is better.

    .. math:: \text{ROAD} = \frac{1}{P} \sum_p \frac{s(x^{\text{LeRF}}_p) - s(x^{\text{MoRF}}_p)}{2}

    where `x_p` is the sample of which p percent of the pixels are removed, the most important first (MoRF) or the least
    (LeRF), by the attribution summed over channels with its sign. A removed pixel becomes the weighted mean of its
    neighbours (see `diffuse`) plus noise, so that its absence is no feature by itself; large smooth areas still show.
    `s` is the probability of the target, or whether it is predicted.

    In [-1/2, 1/2]; about 0 for an order that says nothing. A constant attribution ranks by index and is counted in
    `constant`. Costs 2P + 1 forward passes per sample, and solving 2P linear systems per channel on the same device.

    Args:
        readout: "prob", the probability of the target, or "accuracy", 1 where it is the predicted class.
        percentages: of the pixels that are removed, in (0, 100); at least one pixel stays. The curve has their order.
        noise: standard deviation of what is added to filled pixels, in units of the inputs.
        seed: of the private generator of the noise.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: for settings outside these; on update, for inputs that are no images.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = ROAD(percentages=(25, 50))
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.curve().shape, metric.passes.forward
        (torch.Size([2]), 5)
    """

    higher_is_better = True
    ALONG = "place among the percentages"

    def __init__(
        self,
        readout: str = "prob",
        percentages: Sequence[float] = TENTHS,
        noise: float = 0.01,
        *,
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        self._removal = _Removal(readout, percentages, noise, seed, max_batch)
        super().__init__(**self._removal.told("(LeRF - MoRF) / 2", "morf", "lerf"))

    def measure(self, explained: Explained) -> Reading:
        """The mean of half the difference of each sample, and the difference at each percentage."""
        most, least = self._removal.curve(explained, "morf"), self._removal.curve(explained, "lerf")
        curve = (least - most) / 2
        return Reading(curve.mean(1), curve)


def road_morf(  # noqa: PLR0913 - as many as the class has settings
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    readout: str = "prob",
    percentages: Sequence[float] = TENTHS,
    noise: float = 0.01,
    *,
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The mean score without the most important pixels, `[B]`; see `ROADMoRF`. NaN where something is not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> road_morf(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    metric = ROADMoRF(readout, percentages, noise, seed=seed, max_batch=max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("road_morf")
class ROADMoRF(AttributionMetric):
    """The mean score when the most important pixels are removed first, lower is better.

    The curve of the paper; `ROAD` has its definition and arguments. In [0, 1]. Costs P + 1 forward passes per sample,
    none where `ROAD` is evaluated already.

    Args:
        readout: "prob", the probability of the target, or "accuracy", 1 where it is the predicted class.
        percentages: of the pixels that are removed, in (0, 100); at least one pixel stays.
        noise: standard deviation of what is added to filled pixels, in units of the inputs.
        seed: of the private generator of the noise.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: as `ROAD`.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = ROADMoRF("accuracy")
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.curve().shape
        torch.Size([9])
    """

    higher_is_better = False
    ALONG = "place among the percentages"

    def __init__(
        self,
        readout: str = "prob",
        percentages: Sequence[float] = TENTHS,
        noise: float = 0.01,
        *,
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        self._removal = _Removal(readout, percentages, noise, seed, max_batch)
        super().__init__(**self._removal.told("MoRF", "morf"))

    def measure(self, explained: Explained) -> Reading:
        """The mean score of each sample, and the score at each percentage."""
        curve = self._removal.curve(explained, "morf")
        return Reading(curve.mean(1), curve)


def road_lerf(  # noqa: PLR0913 - as many as the class has settings
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    readout: str = "prob",
    percentages: Sequence[float] = TENTHS,
    noise: float = 0.01,
    *,
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The mean score without the least important pixels, `[B]`; see `ROADLeRF`. NaN where something is not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> road_lerf(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    metric = ROADLeRF(readout, percentages, noise, seed=seed, max_batch=max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("road_lerf")
class ROADLeRF(AttributionMetric):
    """The mean score when the least important pixels are removed first, higher is better.

    The curve of the paper; `ROAD` has its definition and arguments. In [0, 1]. Costs P + 1 forward passes per sample,
    none where `ROAD` is evaluated already.

    Args:
        readout: "prob", the probability of the target, or "accuracy", 1 where it is the predicted class.
        percentages: of the pixels that are removed, in (0, 100); at least one pixel stays.
        noise: standard deviation of what is added to filled pixels, in units of the inputs.
        seed: of the private generator of the noise.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: as `ROAD`.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = ROADLeRF(percentages=(30,))
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape
        torch.Size([])
    """

    higher_is_better = True
    ALONG = "place among the percentages"

    def __init__(
        self,
        readout: str = "prob",
        percentages: Sequence[float] = TENTHS,
        noise: float = 0.01,
        *,
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        self._removal = _Removal(readout, percentages, noise, seed, max_batch)
        super().__init__(**self._removal.told("LeRF", "lerf"))

    def measure(self, explained: Explained) -> Reading:
        """The mean score of each sample, and the score at each percentage."""
        curve = self._removal.curve(explained, "lerf")
        return Reading(curve.mean(1), curve)
