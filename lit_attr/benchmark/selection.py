"""The choice of a method: successive halving over methods and their settings on a small sample.

Papers: Jamieson, Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016
(successive halving); the choice itself is promised in "ABE: A Unified Framework for Robust and Faithful
Attribution-Based Explainability", arXiv 2505.06258.

Deviations: half of the candidates leave after a round only if the paired intervals show that they are worse than the
best one, so that chance throws nothing out; samples of earlier rounds are kept.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from torch import nn

from lit_attr._checks import ArgumentError, not_negative_int, one_of, positive_int
from lit_attr._files import write_csv
from lit_attr.attribution import METHODS, Method
from lit_attr.benchmark._samples import take
from lit_attr.benchmark._trial import WEIGHTS, Candidate, Judge
from lit_attr.benchmark.candidates import candidates
from lit_attr.benchmark.statistics import least_pairs, paired_bootstrap

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Row", "Selection", "select"]

_ROUNDS = 3
_LEVEL = 0.95
LEAST_SAMPLES = 8  # samples in the first round; `least_pairs` of the level are needed to show anything
_COLUMNS = ("method", "verdict", "score", "faithfulness", "stability", "passes", "samples", "reason")


class Row(NamedTuple):
    """One candidate of a choice.

    Attributes:
        name: method and settings.
        verdict: "chosen"; "even", not shown to be worse than the chosen one; "worse"; "not tried".
        score: the mean over samples, with the ends `low` and `high` of its interval.
        low: see `score`.
        high: see `score`.
        faithfulness: the mean of that part.
        stability: likewise.
        passes: forward and backward passes of an explanation, per sample.
        samples: on which it was tried.
        reason: in words.
    """

    name: str
    verdict: Literal["chosen", "even", "worse", "not tried"]
    score: float
    low: float
    high: float
    faithfulness: float
    stability: float
    passes: float
    samples: int
    reason: str


@dataclass(frozen=True)
class Selection:
    """A choice with its reasons.

    Attributes:
        method: the chosen method, ready to be called.
        name: what it is called in the table.
        table: all candidates: the chosen one, those that are even, those that are worse, by how long they were kept and
            then by score; at last those that were not tried.
        weights: of the parts of the score.
        passes: that the choice has cost, all samples together, as declared.
    """

    method: Method
    name: str
    table: tuple[Row, ...]
    weights: Mapping[str, float]
    passes: int

    def __str__(self) -> str:
        """The table as plain text."""
        rows = [list(_COLUMNS), *(_told(row) for row in self.table)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(lines)

    def __rich__(self) -> "Table":
        """The table in colour, for `rich.print`."""
        from rich.table import Table
        from rich.text import Text

        shown = Table(title=f"{self.name} is chosen", caption=f"{self.passes:,} passes of the model")
        for column in _COLUMNS:
            shown.add_column(column)
        for row in self.table:
            style = {"chosen": "bold green", "not tried": "dim"}.get(row.verdict, "")
            shown.add_row(*(Text(cell) for cell in _told(row)), style=style)
        return shown

    def to_csv(self, path: str | Path) -> None:
        """Write the table, with all digits."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(path, Row._fields, self.table)


def select(
    model: nn.Module,
    data: Any,
    budget: int = 200_000,
    methods: list[str] | dict[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
    *,
    samples: int = 64,
    target: Literal["predicted", "label"] = "predicted",
    seed: int = 0,
) -> Selection:
    r"""Choose an attribution method for a model and its data, with reasons.

    .. math:: s = \frac{w_f F + w_s S + w_c C}{w_f + w_s + w_c}

    per sample, with

    - faithfulness F in [0, 1]: the share of the other candidates whose explanation of the same sample is worse (ties
      count half), the mean over insertion into the mean, deletion into the blurred image (16 steps each) and ROAD; of
      inputs that are no images insertion into the mean and deletion into zero. An attribution that is the same
      everywhere is worst.
    - stability S in [-1, 1]: Spearman's correlation of the attribution, summed over channels, with that of a noisy copy
      (uniform, 0.02) made with the next seed; 0 where there is none.
    - cost C = 1 - log10(passes) / 4: 1 for a single pass, 0 for 10,000; forward and backward passes count alike.

    Three rounds share the budget. Each adds as many samples as its share pays for to all candidates that are left; then
    the worse half leaves, but only what the 95 % interval of the paired difference (see `paired_bootstrap`) shows to be
    worse than the best. F of those left is then taken among them. Candidates that do not fit into the first round with
    eight samples, dearest first, are not tried. The candidate with the highest score is chosen, of equal ones the
    cheapest; the table tells which others are not shown to be worse. Faithfulness is what is known to agree with ground
    truth, so it weighs most.

    Args:
        model: any module that gives logits; nothing in it is changed.
        data: inputs `[N, ...]`, a batch (inputs, labels), batches, a DataLoader, or a LightningDataModule, of which the
            validation set is used.
        budget: the most passes of the model, forward and backward, one sample each. A number of passes and not of
            seconds, so that the same choice is made on every machine.
        methods: names, or a mapping from names to settings or instances (see `Registry.build_all`); None for those of
            `lit_attr.benchmark.CANDIDATES`.
        weights: of "faithfulness" (1), "stability" (0.1) and "cost" (0.1), in brackets what is taken for one left out.
            Without stability nothing is explained twice.
        samples: the most that are looked at.
        target: explain the "predicted" class, or the "label".
        seed: draws samples, noise and resamples.

    Raises:
        ArgumentError: for fewer than eight samples, a budget that does not pay for any candidate, unknown or negative
            weights, or labels that are asked for and missing.
        ValueError: if no candidate can explain the model.

    Example:
        >>> import torch
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), torch.rand(8, 1, 8, 8)
        >>> found = select(model, images, methods={"ig": {"steps": 2}, "smoothgrad": {"samples": 4}})
        >>> found.name
        'ig'
        >>> [row.verdict for row in found.table]
        ['chosen', 'worse']
    """
    positive_int("budget", budget)
    positive_int("samples", samples)
    not_negative_int("seed", seed)
    one_of("target", target, ["predicted", "label"])
    taken = take(data, samples, seed)
    device = next((parameter.device for parameter in model.parameters()), taken.inputs.device)
    if len(taken.inputs) < LEAST_SAMPLES:
        raise ArgumentError("data", f"{len(taken.inputs)} samples", f"of {LEAST_SAMPLES} samples or more")
    labels = taken.labels if target == "label" else None
    if target == "label" and labels is None:
        raise ArgumentError("data", "batches without class indices", "with labels [B] for target='label'")
    labels = labels if labels is None else labels.to(device)
    judge = Judge(model, taken.inputs.to(device), labels, checked_weights(weights), seed)
    tried = candidates() if methods is None else METHODS.build_all(methods)
    entered = [judge.enter(name, method) for name, method in tried.items()]
    passes = _Halving(judge, entered, budget, seed).run()
    return _selection(entered, judge.weights, passes)


class _Halving:
    """The rounds of a choice."""

    def __init__(self, judge: Judge, entered: list[Candidate], budget: int, seed: int) -> None:
        self.judge, self.entered, self.budget, self.seed = judge, entered, budget, seed
        self.spent = 0.0

    @property
    def left(self) -> list[Candidate]:
        return [candidate for candidate in self.entered if not candidate.reason]

    def run(self) -> int:
        """All rounds; the passes that they cost."""
        self._admit()
        seen, every = 0, len(self.judge.inputs)
        for number in range(_ROUNDS):
            share = (self.budget - self.spent) / (_ROUNDS - number)
            price = sum(candidate.trial for candidate in self.left)
            stop = min(every, seen + int(share / price))
            if stop > seen:
                before = self.left
                self.judge.measure(before, seen, stop)
                self.spent += price * (stop - seen)
                seen = stop
                self._judge(last=number == _ROUNDS - 1 or seen == every)
            if len(self.left) == 1 or seen == every:
                break
        return round(self.spent)

    def _admit(self) -> None:
        """Keep, cheapest first, what the first round pays for with the fewest samples."""
        price = 0.0
        for candidate in sorted(self.entered, key=lambda one: one.trial):
            price += candidate.trial
            if price * LEAST_SAMPLES > self.budget / _ROUNDS:
                told = f"{candidate.passes:,.0f} passes per explanation do not fit into the budget"
                candidate.reason = f"{told}; {math.ceil(price * LEAST_SAMPLES * _ROUNDS):,} would do"
        if not self.left:
            cheapest = min(self.entered, key=lambda one: one.trial)
            least = math.ceil(cheapest.trial * LEAST_SAMPLES * _ROUNDS)
            raise ArgumentError("budget", self.budget, f"at least {least}, for {cheapest.name} alone")

    def _judge(self, *, last: bool) -> None:
        """Tell each candidate its score, and put out those of the worse half that are shown to be worse."""
        left = self.left
        if not left:
            msg = "no candidate can explain this; " + "; ".join(f"{one.name} {one.reason}" for one in self.entered)
            raise ValueError(msg)
        parts = self.judge.parts(left)
        found = paired_bootstrap(parts["score"], _LEVEL, seed=self.seed)
        for i, candidate in enumerate(left):
            candidate.rounds += 1
            score, low, high = (float(part[i]) for part in found.means[:3])
            faithfulness, stability = (float(parts[name][i].mean()) for name in ("faithfulness", "stability"))
            candidate.told = score, low, high, faithfulness, stability
        order = sorted(range(len(left)), key=lambda i: left[i].place)
        best = order[0]
        gap, lower, upper, number = (part[best] for part in found.differences)
        for place, i in enumerate(order):
            shown = lower[i] > 0 and number[i] >= least_pairs(_LEVEL)
            if shown and (last or place >= (len(order) + 1) // 2):
                told = f"{gap[i]:.3f} [{lower[i]:.3f}, {upper[i]:.3f}] on {number[i]} samples"
                left[i].reason = f"worse than {left[best].name} by {told}"


def _selection(entered: list[Candidate], weights: Mapping[str, float], passes: int) -> Selection:
    tried = sorted((one for one in entered if one.rounds), key=lambda one: one.place)
    chosen, rows = tried[0], []
    for candidate in [*tried, *(one for one in entered if not one.rounds)]:
        verdict: Literal["chosen", "even", "worse", "not tried"] = "even"
        reason = candidate.reason or f"not shown to be worse than {chosen.name}"
        if candidate is chosen:
            verdict, even = "chosen", [one.name for one in tried[1:] if not one.reason]
            reason = "highest score" + (f"; not shown to be better than {', '.join(even)}" if even else "")
        elif not candidate.rounds:
            verdict = "not tried"
        elif candidate.reason:
            verdict = "worse"
        samples = candidate.values.shape[1] if candidate.rounds else 0
        rows.append(Row(candidate.name, verdict, *candidate.told, candidate.passes, samples, reason))
    return Selection(chosen.method, chosen.name, tuple(rows), weights, passes)


def checked_weights(given: Mapping[str, float] | None) -> dict[str, float]:
    """All weights of the score, those that are left out as they come."""
    given = given or {}
    for name, weight in given.items():
        one_of("weights", name, WEIGHTS)
        if not (isinstance(weight, int | float) and 0 <= weight < math.inf):
            raise ArgumentError("weights", dict(given), "numbers of at least 0")
    found = {**WEIGHTS, **given}
    if not sum(found.values()):
        raise ArgumentError("weights", dict(given), "numbers of at least 0, one of them above")
    return found


def _told(row: Row) -> list[str]:
    """The cells of a row, in words."""
    score = "" if math.isnan(row.score) else f"{row.score:.3f} [{row.low:.3f}, {row.high:.3f}]"
    parts = ["" if math.isnan(part) else f"{part:z.2f}" for part in (row.faithfulness, row.stability)]
    return [row.name, row.verdict, score, *parts, f"{row.passes:,.0f}", str(row.samples), row.reason]
