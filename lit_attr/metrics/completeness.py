"""Completeness error: how far an attribution is from adding up to the change of what it explains.

Paper: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv 1703.01365, section 3.

Deviations: Quantus' `Completeness` asks two floats to be equal, after division by the largest attribution; this is how
far they are apart. The relative error is the mean of each sample's own, not a ratio of sums.
"""

from typing import Any, NamedTuple

from torch import Tensor, nn

from lit_attr._checks import batch_limit
from lit_attr._view import Passes
from lit_attr.attribution import Explanation
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._elements import element_map, named
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._precision import wide
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.objectives import OBJECTIVES, Objective, get_objective
from lit_attr.targets import Target

__all__ = ["Completeness", "completeness"]

_ROUNDING = 1e-6  # of a float32 sum, relative to what is summed


def completeness(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor | Explanation,
    relative: bool = False,
    baseline: Baseline = "black",
    objective: str | Objective = "logit",
    max_batch: int | None = None,
) -> Tensor:
    """The error of each sample, `[B]`; see `Completeness`. NaN where it is undefined or something is not finite.

    Example:
        >>> import torch
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> terms = images * model[1].weight[1].detach().view(1, 1, 4, 4)
        >>> bool((completeness(model, images, 1, terms) < 1e-5).all())
        True
    """
    metric = Completeness(relative, baseline, objective, max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


class _Reference(NamedTuple):
    """What attributions without an end point are held against; a tuple, as torchmetrics would register a network."""

    baseline: Baseline
    objective: Objective

    @property
    def key(self) -> tuple[Any, ...]:
        return ("objective at the baseline", *self)


class _Balance(NamedTuple):
    """Both sides of the sum, `[B]` each.

    Attributes:
        error: the sum of the attribution minus the change.
        change: of the objective, from the end point to the input.
        scale: of the numbers that were subtracted, whose rounding the change cannot be told from.
    """

    error: Tensor
    change: Tensor
    scale: Tensor


@METRICS.register("completeness")
class Completeness(AttributionMetric):
    r"""How far the sum of an attribution is from the change that it should add up to, lower is better.

    .. math:: e = \left| \sum_i A_i - (F(x) - F(x')) \right|

    Where an `Explanation` is given that knows its error (`method.explain` of methods that have an end point), `F` is
    the objective of the method, `x'` the end of its path (of several paths the changes are summed), and nothing is run.
    For an attribution alone `F` is the objective named here and `x'` the baseline, and it costs 2 forward passes per
    sample.

    In [0, inf), in units of F; zero for complete attributions. `relative` divides by `|F(x) - F(x')|`; undefined where
    that is rounding.

    Args:
        relative: divide by the change.
        baseline: x' of attributions given without an end point; see `get_baseline`.
        objective: F of attributions given without an end point; see `lit_attr.objectives`.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: for an unknown baseline or objective.

    Example:
        >>> import torch
        >>> from lit_attr.attribution import IntegratedGradients
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> metric = Completeness(relative=True)
        >>> metric.update(model, images, 1, IntegratedGradients(steps=4).explain(model, images, 1))
        >>> bool(metric.compute() < 1e-4)
        True
    """

    higher_is_better = False
    WHOLE = True
    UNDEFINED = "the objective is the same at both ends, so there is nothing to divide by"

    def __init__(
        self,
        relative: bool = False,
        baseline: Baseline = "black",
        objective: str | Objective = "logit",
        max_batch: int | None = None,
    ) -> None:
        check_baseline("baseline", baseline)
        batch_limit("max_batch", max_batch)
        self._reference = _Reference(baseline, get_objective(objective))
        self._relative, self._max_batch = relative, max_batch
        function = self._reference.objective
        protocol = {
            "relative": relative,
            "explanation_with_end_point": "its own completeness_error",
            "objective": named(function),
            "baseline": named(baseline),
        }
        known = OBJECTIVES.get(str(protocol["objective"])) is function
        shared = [CLEAN, Work(self._reference.key, Passes(1, 0), per="sample")]
        super().__init__(protocol, Passes(2, 0), identity=(baseline, None if known else function), shared=shared)

    def measure(self, explained: Explained) -> Reading:
        """The error of each sample, absolute or relative to the change."""
        error, change, scale = self._told(explained) or self._found(explained)
        if not self._relative:
            return Reading(error.abs())
        return Reading(error.abs() / change.abs(), defined=change.abs() > _ROUNDING * scale)

    def _told(self, explained: Explained) -> _Balance | None:
        """By the explanation itself; None where it does not know."""
        error = explained.explanation.completeness_error
        if error is None:
            return None
        attribution = wide(explained.attribution.to(explained.evaluation.inputs.device)).flatten(1)
        error = wide(error.to(attribution.device))
        return _Balance(error, attribution.sum(1) - error, attribution.abs().sum(1) + error.abs())

    def _found(self, explained: Explained) -> _Balance:
        evaluation = explained.evaluation
        objective, index = self._reference.objective, evaluation.target.index
        start = wide(evaluation.once(self._reference.key, lambda: self._at_baseline(evaluation)))
        end = wide(objective(evaluation.evidence, index))
        error = element_map(explained).flatten(1).sum(1) - (end - start)
        return _Balance(error, end - start, start.abs() + end.abs())

    def _at_baseline(self, evaluation: Evaluation) -> Tensor:
        with evaluation.view() as view:
            points = get_baseline("baseline", self._reference.baseline, view.inputs)
            return view.value(points, view.rows, self._reference.objective, self._max_batch)
