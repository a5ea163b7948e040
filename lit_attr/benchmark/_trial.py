"""What the candidates of a choice are worth on a few samples."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from lit_attr.attribution import Method
from lit_attr.metrics import METRICS, AttributionMetric, Evaluation
from lit_attr.metrics._evaluation import Explained
from lit_attr.metrics._explaining import explain

WEIGHTS: Mapping[str, float] = {"faithfulness": 1.0, "stability": 0.1, "cost": 0.1}
_DECADES = 4  # 10,000 passes are worth nothing
_STEPS, _BATCH = 16, 32
_DIGITS = 6  # by which values differ that have a rank each

Floats = NDArray[np.float64]


@dataclass
class Candidate:
    """A method in the trial.

    Attributes:
        name: what it is called in the table.
        method: its settings.
        passes: forward and backward passes of an explanation, per sample.
        trial: passes of its whole trial, per sample.
        values: what was measured, `[metrics + 1, N]`, larger is better, stability last.
        reason: why it is out; empty while it is in.
        rounds: how many it was in.
        told: score, its interval, faithfulness and stability at the end of its last round.
    """

    name: str
    method: Method
    passes: float
    trial: float
    values: Floats
    reason: str = ""
    rounds: int = 0
    told: tuple[float, float, float, float, float] = (math.nan,) * 5

    @property
    def place(self) -> tuple[bool, int, float, float]:
        """Its place in the table: the best first, of equal scores the cheapest, what left early last."""
        return bool(self.reason), -self.rounds, -round(self.told[0], _DIGITS), self.passes

    @property
    def cost(self) -> float:
        """1 for a single pass, 0 for 10,000, on the scale of the logarithm; negative beyond."""
        return 1 - math.log10(max(1.0, self.passes)) / _DECADES


class Judge:
    """Measures candidates on samples.

    Args:
        model: the explained model.
        inputs: the samples `[N, ...]`.
        labels: the explained classes `[N]`; None for the predicted ones.
        weights: of the parts of the score, all three.
        seed: of the noise.
    """

    def __init__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor | None, weights: Mapping[str, float], seed: int
    ) -> None:
        self.model, self.inputs, self.labels, self.weights = model, inputs, labels, weights
        self.metrics = _metrics(inputs)
        self.similarity = METRICS.build(
            "explanation_similarity", {"measure": "spearman", "reduction": "sum", "seed": seed}
        )
        self.classes = self._batch(0, 1).evidence.shape[1]

    def enter(self, name: str, method: Method) -> Candidate:
        """A candidate, with what it costs."""
        passes = float(sum(method.passes(self.inputs.shape[1:], self.classes)))
        measured = float(sum(metric.passes.forward for metric in self.metrics))
        again = passes + self.similarity.passes.forward if self.weights["stability"] else 0.0
        return Candidate(name, method, passes, passes + measured + again, np.zeros((len(self.metrics) + 1, 0)))

    def measure(self, candidates: Sequence[Candidate], start: int, stop: int) -> None:
        """Add samples to candidates; those that cannot explain them get a reason."""
        for begin in range(start, stop, _BATCH):
            evaluation = self._batch(begin, min(stop, begin + _BATCH))
            for candidate in candidates:
                if candidate.reason:
                    continue
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of candidates that may not be chosen
                        found = self._values(evaluation, candidate.method)
                except (ValueError, TypeError, NotImplementedError) as error:
                    candidate.reason = f"cannot explain this: {' '.join(str(error).split())}"
                    continue
                candidate.values = np.concatenate([candidate.values, found], axis=1)

    def parts(self, candidates: Sequence[Candidate]) -> dict[str, Floats]:
        """Faithfulness, stability and cost of each sample, `[K, N]` each, and the weighted "score"."""
        values = np.stack([candidate.values for candidate in candidates]).round(_DIGITS)
        others = max(1, len(candidates) - 1)
        beaten = (stats.rankdata(values[:, :-1], axis=0) - 1) / others
        found = {"faithfulness": beaten.mean(1), "stability": values[:, -1]}
        found["cost"] = np.broadcast_to([[candidate.cost] for candidate in candidates], found["stability"].shape)
        total = sum(self.weights.values())
        found["score"] = np.sum([self.weights[name] * found[name] for name in WEIGHTS], axis=0) / total
        return found

    def _values(self, evaluation: Evaluation, method: Method) -> Floats:
        """`[metrics + 1, B]`; a map that orders nothing is worse than any that does."""
        varied = replace(method, seed=method.seed + 1) if "seed" in {f.name for f in fields(method)} else method  # type: ignore[call-arg, attr-defined]  # a setting of some
        # Of a new tensor each: a method that gives its input back would be known from the candidate before.
        explained = Explained(evaluation, explain(evaluation, method), varied)
        empty = explained.constant | ~explained.finite
        measured = [_signed(metric, explained).masked_fill(empty, -torch.inf) for metric in self.metrics]
        stable = torch.zeros_like(measured[0])
        if self.weights["stability"]:
            stable = self.similarity.per_sample(explained).to(stable).nan_to_num(nan=0.0)
        found = torch.stack([*(value.nan_to_num(nan=-torch.inf, neginf=-torch.inf) for value in measured), stable])
        return found.cpu().double().numpy()

    def _batch(self, start: int, stop: int) -> Evaluation:
        part = slice(start, stop)
        return Evaluation(self.model, self.inputs[part], None if self.labels is None else self.labels[part])


def _metrics(inputs: Tensor) -> list[AttributionMetric]:
    """Those of faithfulness."""
    named: dict[str, Any] = {"insertion": {"steps": _STEPS, "fill": "mean"}, "deletion": {"steps": _STEPS, "fill": 0.0}}
    if inputs.dim() == 4:  # images, which alone can be blurred and filled by neighbours
        named |= {"deletion": {"steps": _STEPS, "fill": "blur"}, "road": {}}
    return list(METRICS.build_all(named).values())


def _signed(metric: AttributionMetric, explained: Explained) -> Tensor:
    value = metric.per_sample(explained).double()
    return value if metric.higher_is_better else -value
