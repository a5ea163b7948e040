"""Subset correlation: sensitivity-n, faithfulness correlation and muFidelity.

Papers: Ancona et al., "Towards better understanding of gradient-based attribution methods for deep neural networks",
ICLR 2018, arXiv 1711.06104, section 4 (sensitivity-n); Bhatt, Weller, Moura, "Evaluating and Aggregating Feature-based
Model Explanations", IJCAI 2020, arXiv 2005.00631 (faithfulness correlation); Fel et al., "How Good is your Explanation?
Algorithmic Stability Measures to Assess the Quality of Explanations for Deep Neural Networks", WACV 2022, arXiv
2009.04521 (muFidelity). Code: Quantus' `FaithfulnessCorrelation`, xplique's `MuFidelity`.

Deviations: all samples see the same subsets. A sample without a correlation is left out and counted, where xplique
counts it as 0. Quantus calls the minimum of the image "black"; here a baseline is what its name says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, batch_limit, not_negative_int, numbers, one_of, positive_int
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._correlation import CORRELATIONS, correlation
from lit_attr.metrics._elements import SCORE, element_map, generator_of, moves, named
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._precision import wide
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.metrics.ranking import channel_axis
from lit_attr.objectives import logit
from lit_attr.targets import Target

__all__ = ["SubsetCorrelation", "subset_correlation"]

_MOST_VALUES = 2**22  # of subsets that are multiplied with attributions at once


@dataclass(frozen=True)
class _Subsets:
    """What is removed, and what the score says to it; see `SubsetCorrelation`."""

    sizes: Sequence[float]
    subsets: int
    unit: str | int
    baseline: Baseline
    multiply: bool
    seed: int
    max_batch: int | None

    def __post_init__(self) -> None:
        accepted = "at least one share in (0, 1) or positive integer"
        object.__setattr__(self, "sizes", numbers("sizes", self.sizes, accepted, _is_size))
        not_negative_int("seed", self.seed)
        positive_int("subsets", self.subsets)
        if self.subsets < 2:
            raise ArgumentError("subsets", self.subsets, "at least 2, as one has no correlation")
        if isinstance(self.unit, str):
            one_of("unit", self.unit, ["pixel", "scalar"])
        else:
            positive_int("unit", self.unit)
        check_baseline("baseline", self.baseline)
        batch_limit("max_batch", self.max_batch)

    def drops(self, evaluation: Evaluation) -> list[Tensor]:
        """How much the removal of each subset takes off the score, `[B, K]` for each size; made once per evaluation."""
        return evaluation.once(self.work.key, lambda: self._drops(evaluation))

    @property
    def work(self) -> Work:
        """What `drops` costs."""
        key = ("subsets", self.sizes, self.subsets, self.unit, self.baseline, self.seed)
        return Work(key, Passes(self.subsets * len(self.sizes), 0), per="sample")

    def _drops(self, evaluation: Evaluation) -> list[Tensor]:
        """How much the removal of each subset takes off the score, `[B, K]` for each size."""
        clean = logit(evaluation.evidence, evaluation.target.index)
        found = []
        with evaluation.view() as view, torch.no_grad():
            samples, device = len(view.inputs), view.inputs.device
            baseline = get_baseline("baseline", self.baseline, view.inputs)
            index = _unit_index(self.unit, view.inputs)
            for number in range(len(self.sizes)):
                subsets = self.draw(number, int(index.max()) + 1).to(device)
                scores = clean.new_empty(self.subsets * samples)

                def work(start: int, stop: int, subsets: Tensor = subsets, scores: Tensor = scores) -> None:
                    jobs = torch.arange(start, stop, device=device)
                    rows = jobs % samples
                    points = torch.where(subsets[jobs // samples][:, index], baseline[rows], view.inputs[rows])
                    scores[start:stop] = view.score(view.evidence(points, rows), rows, logit)

                in_chunks(len(scores), view.inputs, self.max_batch, work)
                found.append(clean[:, None] - scores.view(self.subsets, samples).T)
        return found

    def units(self, explained: Explained) -> Tensor:
        """The attribution of each unit, `[B, U]`, float64."""
        inputs, elements = explained.evaluation.inputs, element_map(explained)
        if self.multiply:
            elements = elements * wide(inputs - get_baseline("baseline", self.baseline, inputs))
        index = _unit_index(self.unit, inputs).expand(inputs.shape[1:]).flatten()
        zeros = elements.new_zeros(len(elements), int(index.max()) + 1)
        return zeros.index_add(1, index, elements.flatten(1))

    def sums(self, units: Tensor, number: int) -> Tensor:
        """The attribution of each subset of one size, `[B, K]`."""
        subsets = self.draw(number, units.shape[1])
        step = max(1, _MOST_VALUES // units.shape[1])
        with torch.autocast(units.device.type, enabled=False):
            return torch.cat([units @ subsets[k : k + step].to(units).T for k in range(0, len(subsets), step)], dim=1)

    def draw(self, number: int, units: int) -> Tensor:
        """The subsets of one size, bool `[K, U]`."""
        size, generator = self._size(number, units), generator_of(self.seed, number)
        subsets = torch.zeros(self.subsets, units, dtype=torch.bool)
        for subset in subsets:
            subset[torch.randperm(units, generator=generator, dtype=torch.int32)[:size]] = True
        return subsets

    def _size(self, number: int, units: int) -> int:
        size = self.sizes[number]
        if isinstance(size, int):
            if size >= units:
                raise ArgumentError("sizes", size, f"less than the number of units, {units}")
            return size
        return max(1, min(units - 1, round(size * units)))


def _is_size(size: float) -> bool:
    return size >= 1 if isinstance(size, int) and not isinstance(size, bool) else 0 < size < 1


def _unit_index(unit: str | int, inputs: Tensor) -> Tensor:
    """The number of the unit that each scalar belongs to, broadcastable to a sample."""
    shape, axis = list(inputs.shape[1:]), channel_axis(inputs)
    if isinstance(unit, int):
        if inputs.dim() != 4:
            raise ArgumentError("inputs", f"shape {tuple(inputs.shape)}", "images [B, C, H, W] for a grid")
        rows, columns = (torch.arange(n, device=inputs.device) * min(unit, n) // n for n in shape[1:])
        return (rows[:, None] * min(unit, shape[2]) + columns)[None]
    if unit == "pixel" and axis is not None:
        shape[axis - 1] = 1
    return torch.arange(math.prod(shape), device=inputs.device).view(shape)


def subset_correlation(  # noqa: PLR0913 - as many as the class has settings
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    preset: str = "sensitivity_n",
    sizes: Sequence[float] | None = None,
    subsets: int | None = None,
    *,
    unit: str | int | None = None,
    correlation: str | None = None,
    baseline: Baseline = "black",
    multiply_by_inputs: bool = False,
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The mean correlation of each sample, `[B]`; see `SubsetCorrelation`. NaN where it is undefined or not finite.

    Example:
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> attribution = images * model[1].weight[1].detach().view(1, 1, 4, 4)
        >>> found = subset_correlation(model, images, 1, attribution, subsets=8)
        >>> torch.allclose(found, torch.ones(2, dtype=found.dtype), atol=1e-3)
        True
    """
    metric = SubsetCorrelation(
        preset,
        sizes,
        subsets,
        unit=unit,
        correlation=correlation,
        baseline=baseline,
        multiply_by_inputs=multiply_by_inputs,
        seed=seed,
        max_batch=max_batch,
    )
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("subset_correlation")
class SubsetCorrelation(AttributionMetric):
    r"""Correlation of the attribution of random subsets with the change of the score without them, higher is better.

    .. math:: \rho_n = \text{corr}_k(a_k, d_k), \quad a_k = \sum_{i \in S_k} A_i, \quad
              d_k = z_y(x) - z_y(b \text{ on } S_k, x \text{ elsewhere}), \quad |S_k| = n

    where `z_y` is the logit of the target, `b` the baseline and `S_1..S_K` random subsets, the same for all samples.
    The value is the mean of `rho_n` over the sizes; the curve has one point per size, in their order. `A` must include
    the factor of the input, as integrated gradients to the same baseline do; `multiply_by_inputs` puts it in.

    In [-1, 1]; 1 for an additive model explained by its terms. Undefined where at some size all subsets have the same
    attribution or change the score alike, as for constant maps. Costs K forward passes for each size and one more,
    none for another attribution of the same evaluation.

    Args:
        preset: what the other settings are where they are None: "sensitivity_n", 1 to 80 % of the positions, K = 100,
            Pearson; "faithfulness_correlation", 224 scalars, K = 100, Pearson; "mu_fidelity", 20 % of the cells of a
            9 x 9 grid, K = 200, Spearman.
        sizes: sizes n of the subsets; floats in (0, 1) are shares of all units, integers are numbers.
        subsets: number of subsets K of each size, at least 2.
        unit: what is removed as one: "pixel", a position with all its channels; "scalar"; a number g, the cells of a
            g x g grid over images.
        correlation: "pearson" or "spearman".
        baseline: what stands in for what is removed; see `get_baseline`.
        multiply_by_inputs: use A (x - b) for A, for gradient-like attributions.
        seed: of the private generator of subsets.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: for settings outside these; on update, for sizes or a unit that the inputs do not have.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = SubsetCorrelation(sizes=(0.2, 0.5), subsets=8)
        >>> metric.update(model, torch.rand(2, 1, 4, 4), 1, torch.rand(2, 1, 4, 4))
        >>> metric.curve().shape, metric.passes.forward
        (torch.Size([2]), 17)
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sensitivity_n": {"sizes": (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)},
        "faithfulness_correlation": {"sizes": (224,), "unit": "scalar"},
        "mu_fidelity": {"sizes": (0.2,), "subsets": 200, "unit": 9, "correlation": "spearman"},
    }
    higher_is_better = True
    ALONG = "place among the sizes"
    UNDEFINED = "all subsets of a size have the same attribution, or change the score alike"

    def __init__(  # noqa: PLR0913 - each is a key of the config
        self,
        preset: str = "sensitivity_n",
        sizes: Sequence[float] | None = None,
        subsets: int | None = None,
        *,
        unit: str | int | None = None,
        correlation: str | None = None,
        baseline: Baseline = "black",
        multiply_by_inputs: bool = False,
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        one_of("preset", preset, self.PRESETS)
        settings = {"subsets": 100, "unit": "pixel", "correlation": "pearson", **self.PRESETS[preset]}
        given = {"sizes": sizes, "subsets": subsets, "unit": unit, "correlation": correlation}
        settings.update({name: value for name, value in given.items() if value is not None})
        one_of("correlation", settings["correlation"], CORRELATIONS)
        self._correlation = settings["correlation"]
        self._removal = removal = _Subsets(
            settings["sizes"],
            settings["subsets"],
            settings["unit"],
            baseline,
            multiply_by_inputs,
            seed,
            max_batch,
        )
        unit = removal.unit
        protocol = {
            "sizes": list(removal.sizes),
            "subsets": removal.subsets,
            "unit": unit if isinstance(unit, str) else f"cells of a {unit} x {unit} grid",
            "correlation": self._correlation,
            "baseline": named(baseline),
            "multiply_by_inputs": multiply_by_inputs,
            "seed": seed,
            "score": SCORE.format("logit"),
            "value": "mean over sizes",
        }
        passes = Passes(removal.subsets * len(removal.sizes) + 1, 0)
        shared = [CLEAN, removal.work]
        super().__init__(protocol, passes, points=len(removal.sizes), identity=baseline, shared=shared)

    def measure(self, explained: Explained) -> Reading:
        """The mean over sizes of the correlation of each sample, and the correlation at each size."""
        evaluation = explained.evaluation
        drops, units = self._removal.drops(evaluation), self._removal.units(explained)
        score = logit(evaluation.evidence, evaluation.target.index)
        defined = torch.ones(len(score), dtype=torch.bool, device=score.device)
        if not self._removal.multiply:
            defined &= ~explained.constant
        curve = []
        for number, drop in enumerate(drops):
            sums = self._removal.sums(units, number)
            spread = (sums - sums.mean(1, keepdim=True)).abs().amax(1)
            defined = defined & (spread > 1e-12 * units.abs().sum(1)) & moves(drop - drop[:, :1], score)
            curve.append(correlation(self._correlation, sums, wide(drop)))
        curves = torch.stack(curve, dim=1)
        return Reading(curves.mean(1), curves, defined)
