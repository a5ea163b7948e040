"""Is an attack weak or a model robust? Checks that a model passes whose gradients lead somewhere.

Papers: Athalye, Carlini, Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018, arXiv 1802.00420,
section 3.1; Carlini et al., "On Evaluating Adversarial Robustness", 2019, arXiv 1902.06705, section 5.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, fraction, positive_int
from lit_attr._chunks import in_chunks
from lit_attr._view import looking_at
from lit_attr.attacks import Attack, WalkingAttack, get_attack
from lit_attr.metrics.robust_accuracy import predicted_right, robust_accuracy
from lit_attr.objectives import get_objective
from lit_attr.updates import get_bounds

__all__ = ["Check", "GradientMasking"]


class Check(NamedTuple):
    """One check.

    Attributes:
        name: what is checked.
        passed: whether it holds.
        found: the number that is judged.
        limit: the most that it may be.
        meaning: what a failure says.
    """

    name: str
    passed: bool
    found: float
    limit: float
    meaning: str


_MEANING = {
    "large_eps": "accuracy at an eps that reaches every image: above zero the attack does not find what is there",
    "iterative": "the attack leaves more samples right than a single step of it",
    "more_steps": "with twice the steps more samples stay right",
    "noise": "random noise of the same size fools more samples than the attack",
    "transfer": "samples made on another model fool more than the attack on the model itself",
    "zero_gradient": "share of samples whose gradient is zero in every pixel",
    "not_finite": "share of samples with NaN or infinity in output or gradient",
}


@dataclass(frozen=True)
class GradientMasking:
    """Checks of an attack on a model for signs of gradient masking: frozen settings, called with model and samples.

    Accuracies are robust accuracies over all samples. A check holds where the first is at most the second:

    - `large_eps`: at an eps that reaches every image, 0;
    - `iterative`: the attack, one step of it of length eps;
    - `more_steps`: the attack with twice the steps, the attack;
    - `noise`: the attack, the worst of `draws` random corners of the ball (in L2 random directions of length eps);
    - `transfer`: the attack, the attack made on `surrogate` (only with one);
    - `zero_gradient`, `not_finite`: the share of such samples, 0.

    Args:
        attack: a gradient attack that goes in steps, more than one: its name, settings with the name under `class`, or
            the attack itself.
        draws: how many.
        tolerance: by how much an accuracy or a share may be too large, in [0, 1]: few samples differ by chance.

    Raises:
        ValueError: for an attack that does not go in steps, and numbers out of range.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> checks = GradientMasking("bim")(model, torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0]))
        >>> [check.name for check in checks if not check.passed]
        []
    """

    attack: str | Mapping[str, Any] | Attack = "pgd"
    draws: int = 10
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        attack = get_attack(self.attack)
        if not isinstance(attack, WalkingAttack) or attack.steps < 2 or attack.eps <= 0:
            raise ArgumentError(
                "attack", self.attack, "one that goes in several steps, with eps above 0 (pgd, bim, ...)"
            )
        object.__setattr__(self, "attack", attack)
        positive_int("draws", self.draws)
        fraction("tolerance", self.tolerance)

    def __call__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, surrogate: nn.Module | None = None
    ) -> list[Check]:
        """Measure and judge.

        Args:
            model: see `Attack.run`.
            inputs: `[B, ...]`.
            labels: the true classes, long `[B]`.
            surrogate: another model of the same classes, best one that was trained alike without a defence.
        """
        return self.judge(self.measure(model, inputs, labels, surrogate))

    def measure(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, surrogate: nn.Module | None = None
    ) -> dict[str, Tensor]:
        """What `judge` needs of each sample, bool `[B]` each: batches and processes can be put together first."""
        attack = cast("WalkingAttack", self.attack)  # since it was made
        found = robust_accuracy(model, inputs, labels, attack)
        bounds = get_bounds(attack.bounds, inputs)
        width = bounds[1] - bounds[0] if bounds else float(inputs.max() - inputs.min())
        whole = width * (math.sqrt(inputs[0].numel()) if attack.norm == "l2" else 1)
        # Two and a half times the way in all, so that every corner can be reached.
        far = replace(attack, eps=whole, **_fields(attack, alpha=2.5 * whole / attack.steps))
        single = replace(attack, steps=1, restarts=1, random_start=False, **_fields(attack, alpha=attack.eps))

        def robust(other: Attack) -> Tensor:
            return robust_accuracy(model, inputs, labels, other).robust

        measured = {
            "attack": found.robust,
            "large_eps": robust(far),
            "iterative": robust(single),
            "more_steps": robust(replace(attack, steps=2 * attack.steps)),
            "noise": found.clean & self._withstand_noise(model, inputs, labels, attack),
        }
        if surrogate is not None:
            made = attack(surrogate, inputs, labels)
            measured["transfer"] = found.clean & predicted_right(model, made, labels)
        return {**measured, **_gradients(model, inputs, labels, attack)}

    def judge(self, measured: Mapping[str, Tensor]) -> list[Check]:
        """The checks over all samples that were measured."""
        share = {name: float(values.double().mean()) for name, values in measured.items()}
        attack = share.pop("attack")
        pairs = {
            name: {
                "more_steps": (value, attack),
                "iterative": (attack, value),
                "noise": (attack, value),
                "transfer": (attack, value),
            }.get(name, (value, 0.0))
            for name, value in share.items()
        }
        return [
            Check(name, found <= limit + self.tolerance + 1e-9, found, limit, _MEANING[name])
            for name, (found, limit) in pairs.items()
        ]

    def _withstand_noise(self, model: nn.Module, inputs: Tensor, labels: Tensor, attack: WalkingAttack) -> Tensor:
        """Samples that are right under every draw, bool `[B]`."""
        bounds, right = get_bounds(attack.bounds, inputs), torch.ones(len(inputs), dtype=torch.bool)
        for draw in range(self.draws):
            generator = torch.Generator().manual_seed(attack.seed + draw)
            noise = torch.randn(inputs.shape[1:], generator=generator)  # the same for all: no matter who is beside whom
            noise = attack.eps * (noise / noise.norm() if attack.norm == "l2" else noise.sign())
            noisy = inputs + noise.to(inputs)
            noisy = noisy if bounds is None else noisy.clamp(*bounds)
            right = right.to(inputs.device) & predicted_right(model, noisy, labels)
        return right


def _fields(attack: Attack, **settings: Any) -> dict[str, Any]:
    """Those of the settings that the attack has."""
    return {f.name: settings[f.name] for f in fields(attack) if f.name in settings}


def _gradients(model: nn.Module, inputs: Tensor, labels: Tensor, attack: WalkingAttack) -> dict[str, Tensor]:
    """Of which samples the gradient of the attack's loss is zero, and of which it or the output is not finite."""
    with looking_at(model, inputs, labels, attack.max_batch) as view:
        zero, broken = torch.zeros(2, len(inputs), dtype=torch.bool, device=inputs.device)

        def work(start: int, stop: int) -> None:
            rows = view.rows[start:stop]
            gradient, evidence = view.gradient(view.inputs[rows], rows, get_objective(attack.loss))
            flat = gradient.flatten(1)
            broken[rows] = ~(flat.isfinite().all(1) & evidence.isfinite().all(1))
            zero[rows] = (flat == 0).all(1)

        in_chunks(len(inputs), view.inputs, attack.max_batch, work)
    return {"zero_gradient": zero, "not_finite": broken}
