"""Settings and shared work of the metrics that replace positions in the order of an attribution."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from lit_attr._checks import batch_limit, positive_int
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.metrics._base import Reading
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics.curves import End, auc, fractions, perturbation_curve
from lit_attr.objectives import Objective, prob

# All are read from the same forward passes.
READOUTS: dict[str, Objective] = {"prob": prob}


@dataclass(frozen=True)
class Perturbation:
    """How positions are replaced.

    Attributes:
        fill: what stands in for a removed position; see `get_baseline`.
        steps: number of intervals T of a curve.
        max_batch: the most images per forward pass; changes no result.
    """

    fill: Baseline = "black"
    steps: int = 64
    max_batch: int | None = None

    def __post_init__(self) -> None:
        check_baseline("fill", self.fill)
        positive_int("steps", self.steps)
        batch_limit("max_batch", self.max_batch)

    @property
    def protocol(self) -> dict[str, Any]:
        """What is computed, in words and numbers that fit into a log."""
        name = getattr(self.fill, "__name__", type(self.fill).__name__)
        return {
            "rank": "signed sum over channels, descending, equal values by index",
            "fill": self.fill if isinstance(self.fill, str | float | int) else name,
            "steps": self.steps,
            "cut_points": "floor(j * positions / steps)",
            "score": "softmax probability of the target (None: the class predicted on the clean input)",
            "area": "trapezoid over replaced / positions",
        }

    def curve(self, explained: Explained, path: Literal["insertion", "deletion"], readout: str = "prob") -> Tensor:
        """The curve of one readout, `[B, T+1]`; forward passes are made once per path, fill and number of steps."""
        curves = explained.once((path, self.fill, self.steps), lambda: self._walk(explained, path))
        return curves[list(READOUTS).index(readout)]

    def reading(self, explained: Explained, curve: Tensor) -> Reading:
        """A curve and the area under it."""
        return Reading(auc(curve, fractions(explained.ranks.shape[1:].numel(), self.steps)), curve)

    def _walk(self, explained: Explained, path: str) -> Tensor:
        evaluation = explained.evaluation
        filled = evaluation.once(("fill", self.fill), lambda: self._filled(evaluation))
        with evaluation.view() as view:
            clean = End(view.inputs, evaluation.evidence)
            start, finish = (filled, clean) if path == "insertion" else (clean, filled)
            readouts = list(READOUTS.values())
            return perturbation_curve(view, start, finish, explained.ranks, self.steps, readouts, self.max_batch)

    def _filled(self, evaluation: Evaluation) -> End:
        with evaluation.view() as view:
            images = get_baseline("fill", self.fill, view.inputs)
            return End(images, view.evidence_at(images, view.rows, self.max_batch))
