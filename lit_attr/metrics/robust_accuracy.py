"""Accuracy under attack, with what an honest report of it needs: counts, an interval, distances, passes.

Sources: Croce et al., "RobustBench: a standardized adversarial robustness benchmark", 2021, arXiv 2010.09670 (accuracy
under attack over all samples; only samples that are predicted right are attacked; the worst case of several attacks per
sample); Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927 (the interval).
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lit_attr._checks import ArgumentError
from lit_attr._view import Passes, looking_at
from lit_attr.attacks import ATTACKS, Attack, get_attack, get_attacks
from lit_attr.attacks.attack import rightly
from lit_attr.metrics._base import fingerprint, told
from lit_attr.metrics.wilson import wilson_interval
from lit_attr.updates import get_bounds

__all__ = [
    "Outcome",
    "RobustAccuracy",
    "RobustSummary",
    "WorstCase",
    "predicted_right",
    "robust_accuracy",
    "worst_case",
]


class Outcome(NamedTuple):
    """What an attack did to each sample of a batch.

    Attributes:
        clean: predicted right as it is, bool `[B]`.
        robust: predicted right as it is and as the attack left it, bool `[B]`: the input lies in its own ball.
        linf: the largest change of a feature, `[B]`; 0 for samples that were wrong before, which are not attacked.
        l2: the Euclidean length of the change, `[B]`.
        adversarial: like the inputs.
        passes: forward and backward passes that were run, per sample of the batch.
    """

    clean: Tensor
    robust: Tensor
    linf: Tensor | None = None
    l2: Tensor | None = None
    adversarial: Tensor | None = None
    passes: Passes = Passes(0, 0)


class RobustSummary(NamedTuple):
    """An attack over some samples.

    Attributes:
        accuracy: robust samples among all; NaN without samples.
        low: lower end of its Wilson interval of 95 %.
        high: upper end.
        clean_accuracy: without the attack.
        success_rate: fooled samples among those that are predicted right without the attack; NaN without any.
        samples: how many.
        linf: the largest change of a feature in any sample.
        l2: the largest Euclidean length of a change.
        linf_mean: mean over the attacked samples; NaN without any.
        l2_mean: likewise.
        passes: forward and backward passes per sample.
    """

    accuracy: float
    low: float
    high: float
    clean_accuracy: float
    success_rate: float
    samples: int
    linf: float
    l2: float
    linf_mean: float
    l2_mean: float
    passes: Passes


def robust_accuracy(model: nn.Module, inputs: Tensor, labels: Tensor, attack: Attack | None) -> Outcome:
    """Attack the samples that are predicted right, and see which still are.

    A sample whose output is NaN or infinite is wrong. That the attack kept to its ball (`eps` and `norm`, where it has
    them) and to the range of the inputs is verified for every batch.

    Args:
        model: see `Attack.run`.
        inputs: `[B, ...]`.
        labels: the true classes, long `[B]`.
        attack: an untargeted one, or one that chooses its targets; None for none, which gives plain accuracy.

    Raises:
        ValueError: for inputs or labels that do not fit, or an attack that seeks the given class.
        RuntimeError: for an attack that leaves its ball or the range, or returns NaN.

    Example:
        >>> from lit_attr.attacks import FGSM, get_attacks
        >>> model = nn.Linear(1, 2, bias=False)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        >>> inputs = torch.tensor([[0.05], [0.5], [-0.5]])
        >>> robust_accuracy(model, inputs, torch.tensor([1, 1, 1]), FGSM(eps=0.1)).robust
        tensor([False,  True, False])
    """
    if attack is not None and attack.targeted is True:
        raise ArgumentError("attack.targeted", True, "false, 'random' or 'least_likely': the true class is given")
    with looking_at(model, inputs, labels) as view:
        clean = rightly(view.evidence_at(view.inputs, view.rows, attack.max_batch if attack else None), labels)
        inputs = view.inputs
    adversarial, robust, passes = inputs.clone(), clean.clone(), Passes(1, 0)
    if attack is not None and bool(clean.any()):
        attacked = attack.run(model, inputs[clean], labels[clean])
        adversarial[clean], robust[clean] = attacked.adversarial, rightly(attacked.evidence, labels[clean])
        share = float(clean.double().mean())
        passes = Passes(1 + share * attacked.passes.forward, share * attacked.passes.backward)
    change = (adversarial.double() - inputs.double()).flatten(1)
    outcome = Outcome(clean, robust, change.abs().amax(1), change.norm(dim=1), adversarial, passes)
    if attack is not None:
        _require_inside(attack, inputs, outcome)
    return outcome


def predicted_right(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Which samples are classified correctly as they are, bool `[B]`; one forward pass.

    Example:
        >>> predicted_right(nn.Flatten(), torch.eye(2), torch.tensor([0, 0]))
        tensor([ True, False])
    """
    with looking_at(model, inputs, labels) as view:
        return rightly(view.evidence_at(view.inputs, view.rows), labels)


def worst_case(outcomes: Sequence[Outcome]) -> Outcome:
    """Several attacks on the same samples as one: a sample is robust that is so against each.

    The adversarial sample and its distances are those of the first attack that fooled, else of the first.

    Example:
        >>> right, never = torch.tensor([True, True]), torch.tensor([False, False])
        >>> worst_case([Outcome(right, torch.tensor([True, False])), Outcome(right, right)]).robust
        tensor([ True, False])
    """
    if not outcomes:
        raise ArgumentError("outcomes", list(outcomes), "those of at least one attack")
    found = outcomes[0]
    for other in outcomes[1:]:
        found = _merged(found, other, torch.arange(len(found.robust), device=found.robust.device))
    return found


_COUNTS = ("samples", "correct", "robust", "fooled")
_SUMS = ("linf_sum", "l2_sum", "forwards", "backwards")
_LARGEST = ("linf_max", "l2_max")


def summarise(*outcomes: Outcome) -> RobustSummary:
    """The summary of batches, without a metric and without asking other processes.

    Example:
        >>> right = torch.tensor([True, True, False, True])
        >>> found = summarise(Outcome(right, torch.tensor([True, False, False, True])))
        >>> found.accuracy, round(found.success_rate, 3)
        (0.5, 0.333)
    """
    parts = [_sums(outcome) for outcome in outcomes]
    total = {name: sum(part[name] for part in parts) for name in (*_COUNTS, *_SUMS)}
    return _summary(total | {name: max([0.0, *(part[name] for part in parts)]) for name in _LARGEST})


class RobustMetric(Metric):
    """Base of the metrics of accuracy under attack: sums and counts.

    A subclass writes `attempt`; it must not override the other methods. The result does not depend on how samples are
    split into batches or over processes. The model is used, never stored.

    Args:
        settings: what tells one metric from another.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    samples: Tensor
    robust: Tensor

    def __init__(self, settings: object) -> None:
        super().__init__()
        for name in _COUNTS:
            self.add_state(name, torch.tensor(0), "sum")
        for name in _SUMS:
            self.add_state(name, torch.tensor(0.0, dtype=torch.float64), "sum")
        for name in _LARGEST:
            self.add_state(name, torch.tensor(0.0, dtype=torch.float64), "max")
        self.add_state("_cfg", fingerprint(f"{type(self).__qualname__} {told(settings)}"), "max")

    @abstractmethod
    def attempt(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> Outcome:
        """Attack a batch."""

    def update(
        self,
        model: nn.Module | None = None,
        inputs: Tensor | None = None,
        labels: Tensor | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        """Add a batch; an empty one adds nothing.

        Args:
            model: what is attacked; see `Attack.run`.
            inputs: `[B, ...]`.
            labels: the true classes, long `[B]`.
            outcome: what is known of the batch already, instead of the other three.

        Raises:
            ValueError: where neither the three nor `outcome` is given.
        """
        if outcome is None:
            if model is None or inputs is None or labels is None:
                raise ArgumentError("outcome", None, "given where one of `model`, `inputs` and `labels` is not")
            if len(inputs) == 0:
                return
            outcome = self.attempt(model, inputs, labels)
        for name, value in _sums(outcome).items():
            state = getattr(self, name)
            setattr(self, name, state.clamp_min(value) if name in _LARGEST else state + value)

    def compute(self) -> Tensor:
        """Robust samples among all, float32 scalar; NaN without samples."""
        return (self.robust / self.samples).float()

    def summary(self) -> RobustSummary:
        """All that is known. Like `compute` it gathers from all processes: call it on each, or on none."""
        with self.sync_context(should_sync=self._to_sync):
            return _summary({name: getattr(self, name).item() for name in (*_COUNTS, *_SUMS, *_LARGEST)})


class RobustAccuracy(RobustMetric):
    r"""Accuracy under an attack, higher is better.

    .. math:: \frac{1}{n} \sum_i \big[\hat y(x_i) = y_i \wedge \hat y(\tilde x_i) = y_i\big]

    over all n samples, with the input x_i and what the attack made of it. `summary` tells the interval, the success
    rate over samples that were right, and the largest and mean distances.

    Args:
        attack: its name, settings with the name under `class`, or an `Attack`; None for plain accuracy.

    Raises:
        ValueError: for an unknown attack or setting.

    Example:
        >>> from lit_attr.attacks import PGD, get_attacks
        >>> metric = RobustAccuracy(PGD(eps=8 / 255))
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> metric.update(model, torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0]))
        >>> metric.summary().samples, metric.summary().linf <= 8 / 255 + 1e-6
        (4, True)
    """

    def __init__(self, attack: str | Mapping[str, Any] | Attack | None = None) -> None:
        self.attack = None if attack is None else get_attack(attack)
        super().__init__(self.attack)

    def attempt(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> Outcome:
        """Attack a batch."""
        return robust_accuracy(model, inputs, labels, self.attack)


class WorstCase(RobustMetric):
    """Accuracy under several attacks, higher is better: a sample counts that withstands each.

    The attacks come in turn, each on the samples that withstood those before.

    Args:
        attacks: names, attacks, or a mapping from names to settings (see `Registry.build_all`); at least one.

    Raises:
        ValueError: for an unknown attack or setting, or none.

    Example:
        >>> list(WorstCase({"fgsm": {}, "strong": {"class": "pgd", "steps": 50}}).attacks)
        ['fgsm', 'strong']
    """

    def __init__(self, attacks: Sequence[str | Attack] | Mapping[str, Mapping[str, Any] | Attack | None]) -> None:
        self.attacks = get_attacks(attacks)
        if not self.attacks:
            raise ArgumentError("attacks", attacks, "at least one attack")
        super().__init__(tuple(self.attacks.values()))

    def attempt(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> Outcome:
        """Attack a batch."""
        first, *others = self.attacks.values()
        found = robust_accuracy(model, inputs, labels, first)
        for attack in others:
            left = found.robust.nonzero().flatten()
            if len(left):
                found = _merged(found, robust_accuracy(model, inputs[left], labels[left], attack), left)
        return found


def _merged(found: Outcome, other: Outcome, rows: Tensor) -> Outcome:
    """`found` with what `other` did to the samples `rows`, where that fooled and the attacks before did not."""
    fooled = found.robust[rows] & ~other.robust
    hit = rows[fooled]
    robust = found.robust.clone()
    robust[hit] = False
    changed: dict[str, Tensor] = {}
    for name in ("linf", "l2", "adversarial"):
        old, new = getattr(found, name), getattr(other, name)
        if old is not None and new is not None:
            changed[name] = old.clone()
            changed[name][hit] = new[fooled]
    share = len(rows) / max(1, len(found.robust))
    passes = Passes(*(a + share * b for a, b in zip(found.passes, other.passes, strict=True)))
    return found._replace(robust=robust, passes=passes, **changed)


def _require_inside(attack: Attack, inputs: Tensor, outcome: Outcome) -> None:
    """Refuse a result outside the ball or the range; rounding is forgiven."""
    name, adversarial = ATTACKS.name_of(attack), outcome.adversarial
    if adversarial is None or outcome.linf is None or outcome.l2 is None or not len(inputs):
        return
    slack = 1e-6 + 4 * torch.finfo(torch.float32).eps * float(inputs.abs().max())
    if not bool(adversarial.isfinite().all()):
        msg = f"attack '{name}' returned NaN or infinite values"
        raise RuntimeError(msg)
    if attack.ball is not None:
        eps, norm = attack.ball
        used = float((outcome.l2 if norm == "l2" else outcome.linf).max())
        many = math.sqrt(inputs[0].numel()) if norm == "l2" else 1  # rounded features add up
        if used > eps * (1 + 1e-5) + slack * many:
            msg = f"attack '{name}' moved a sample by {used:.6g} in {norm}, further than its eps of {eps:.6g}"
            raise RuntimeError(msg)
    bounds = get_bounds(getattr(attack, "bounds", "auto"), inputs)
    if bounds is not None:
        low, high = (float(value) for value in torch.aminmax(adversarial))
        least, most = (float(value) for value in torch.aminmax(inputs))
        if low < min(bounds[0], least) - slack or high > max(bounds[1], most) + slack:
            msg = f"attack '{name}' left the range {list(bounds)} of the inputs: [{low:.6g}, {high:.6g}]"
            raise RuntimeError(msg)


def _sums(outcome: Outcome) -> dict[str, Any]:
    """What a batch adds."""
    clean, robust, n = outcome.clean, outcome.robust, len(outcome.clean)
    found: dict[str, Any] = {
        "samples": n,
        "correct": int(clean.sum()),
        "robust": int(robust.sum()),
        "fooled": int((clean & ~robust).sum()),
        "forwards": n * outcome.passes.forward,
        "backwards": n * outcome.passes.backward,
    }
    for name in ("linf", "l2"):
        values = getattr(outcome, name)
        known = values is not None and n > 0
        found[f"{name}_sum"] = float(values.sum()) if known else 0.0
        found[f"{name}_max"] = float(values.max()) if known else 0.0
    return found


def _summary(total: Mapping[str, Any]) -> RobustSummary:
    n, correct = total["samples"], total["correct"]
    low, high = wilson_interval(total["robust"], n)
    return RobustSummary(
        accuracy=_share(total["robust"], n),
        low=low,
        high=high,
        clean_accuracy=_share(correct, n),
        success_rate=_share(total["fooled"], correct),
        samples=n,
        linf=total["linf_max"],
        l2=total["l2_max"],
        linf_mean=_share(total["linf_sum"], correct),
        l2_mean=_share(total["l2_sum"], correct),
        passes=Passes(_share(total["forwards"], n), _share(total["backwards"], n)),
    )


def _share(part: float, whole: int) -> float:
    return part / whole if whole else math.nan
