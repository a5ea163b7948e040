"""Guided Integrated Gradients: a path from the baseline that moves first what makes the least difference.

Paper: Kapishnikov et al., "Guided Integrated Gradients: An Adaptive Path Method for Removing Noise", 2021.
Original code: PAIR's `saliency`, `core/guided_ig.py`. Deviation: the trapezoid rule is the default (the published
code takes the left end of each step).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, fraction, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.integral import WalkRule, check_walk_rule, integrate, walk_passes
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.objectives import get_objective
from lit_attr.updates import Route, Step, Walks

__all__ = ["GuidedIG"]


@METHODS.register("guided_ig")
@dataclass(frozen=True, eq=False)
class GuidedIG(Method):
    """A = sum_t dx_t * grad f(x_t) on a walk from the baseline x' to the input x.

    Every step shortens the L1 distance to x by the same amount. It moves the features with the smallest |grad f|
    first, the lowest `fraction` at a time, each as far as `max_dist` ahead of the straight line; those further than
    that behind the line are drawn along. The sum of A is f(x) - f(x').

    Args:
        steps: number of steps T.
        fraction: of all features, those that move at a time, in (0, 1].
        max_dist: the most that a feature's share of its way, in [0, 1], may differ from that of the straight line; 0
            is Integrated Gradients, 1 any path inside the box between x' and x.
        rule: the end of a step at which the gradient is taken: "left", or the mean of both, "trapezoid".
        baseline: the start x' (see `lit_attr.baselines`). Features equal to it get no attribution.
        preset: "reference" is the published code: 200 steps, left rule.

    Example:
        >>> model, x = torch.nn.Linear(3, 2, bias=False), torch.rand(1, 3)
        >>> torch.allclose(GuidedIG(steps=4)(model, x, 1), x * model.weight[1].detach())
        True
    """

    ABOUT: ClassVar[About] = About(
        "gradient along a path that moves what matters least first", "SDIC", "gradients, a baseline"
    )
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reference": {"steps": 200, "rule": "left"}}

    steps: int = 50
    fraction: float = 0.25
    max_dist: float = 0.02
    rule: WalkRule = "trapezoid"
    baseline: Baseline = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("steps", self.steps)
        if not 0 < self.fraction <= 1:
            raise ArgumentError("fraction", self.fraction, "in (0, 1]")
        fraction("max_dist", self.max_dist)
        check_walk_rule(self.rule)
        check_baseline("baseline", self.baseline)

    def attribute(self, view: View) -> Explanation:
        """One walk per sample, from its baseline."""
        start = get_baseline("baseline", self.baseline, view.inputs)
        update = partial(self._move, view.inputs.to(view.dtype))
        route = Route(update=update, steps=self.steps, max_batch=self.max_batch)
        walks = Walks.of(view.target.index[:, None])
        found = integrate(view, start, walks, route, get_objective(self.objective), self.rule, leaves=False)
        return replace(found, endpoint=start)  # the other end: that of the walk is the input

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a step, and at the input: a forward, for the trapezoid a backward too."""
        return walk_passes(1, self.steps, self.rule, own_loss=False)

    def _move(self, inputs: Tensor, step: Step) -> Tensor:
        """From where the walks are to where the step leads."""
        start, end = step.origin, inputs[step.walks.rows]
        ways = (end - start).abs().flatten(1)
        shares = step.memory.get("shares", torch.zeros_like(ways))
        shares = step.memory["shares"] = self._shares(shares, ways, step.ascent.flatten(1).abs(), step.number + 1)
        return torch.lerp(start, end, shares.view_as(start)) - step.points

    def _shares(self, shares: Tensor, ways: Tensor, sizes: Tensor, number: int) -> Tensor:
        """The share of its way that each feature has gone after a step, `[N, D]`.

        Args:
            shares: those before the step.
            ways: |x - x'|.
            sizes: |grad f|.
            number: of the step, from 1.
        """
        line = number / self.steps
        low, high = max(line - self.max_dist, 0.0) if number < self.steps else 1.0, min(line + self.max_dist, 1.0)
        shares = shares.clamp_min(low)
        whole = ways.sum(1)
        gap = torch.linalg.vecdot(ways, 1 - shares) - (1 - line) * whole
        close = whole * max(1e-9, 10 * torch.finfo(ways.dtype).eps)  # is close enough, as rounding may leave a rest
        room = ways * (high - shares)
        sizes = sizes.masked_fill(room <= 0, torch.inf)
        end, largest, tiny = shares.new_tensor(high), torch.finfo(sizes.dtype).max, torch.finfo(sizes.dtype).tiny
        some = int(self.fraction * (ways.shape[1] - 1)) + 1  # up to the quantile, the lower of two neighbours
        for _ in range(-(-ways.shape[1] // some)):
            going = gap > close
            if not bool(going.any()):
                break
            # Not `kthvalue`, which some devices refuse where algorithms are to be deterministic.
            most = sizes.topk(some, dim=1, largest=False, sorted=False).values.amax(1, keepdim=True)
            chosen = sizes <= most.clamp_max(largest).where(going[:, None], -1.0)
            weights = chosen.to(room)
            reach = torch.linalg.vecdot(room, weights)
            part = (gap / reach.clamp_min(tiny)).clamp(0.0, 1.0)
            gap = gap - part * reach
            shares = shares.lerp_(end, weights.mul_(part[:, None]))  # at a weight of 0 or 1 without rounding
            sizes.masked_fill_(chosen, torch.inf)
        return shares
