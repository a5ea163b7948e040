"""Attacks that go in steps: an update rule with a schedule."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative, one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attacks.attack import ATTACKS, Attack, fooled
from lit_attr.objectives import Objective, get_objective
from lit_attr.updates import (
    Bounds,
    Norm,
    Region,
    Route,
    Update,
    UpdateRule,
    Walks,
    check_bounds,
    get_bounds,
    get_update,
    in_blocks,
)

__all__ = ["UpdateAttack", "WalkingAttack"]


@dataclass(frozen=True)
class WalkingAttack(Attack):
    """Base of the attacks that go in steps, x_{t+1} = project(x_t + move), t < steps.

    Args:
        eps: radius of the ball around the input, in units of the input (pixels in [0, 1]).
        steps: how many, T.
        norm: of the ball and of steps, "linf" or "l2".
        loss: what is climbed, or left, as a function of evidence and class: a name or a function (see
            `lit_attr.objectives`).
        random_start: begin at a random point of the ball.
        restarts: runs from other random numbers. What counts is the first that fools the model, else that of the
            largest loss; samples that are fooled are left out of later runs.
        early_stop: a sample takes no step where the model is fooled by it; not for targets that compare no classes.
        keep: "last" point of a run, or its "best": fooling before not, then of the largest loss.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
    """

    eps: float = 8 / 255
    steps: int = 10
    norm: Norm = "linf"
    loss: str | Objective = "logprob"
    random_start: bool = False
    restarts: int = 1
    early_stop: bool = False
    keep: Literal["last", "best"] = "last"
    bounds: Bounds = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("eps", self.eps)
        positive_int("steps", self.steps)
        one_of("norm", self.norm, ["linf", "l2"])
        get_objective(self.loss, "loss")
        positive_int("restarts", self.restarts)
        one_of("keep", self.keep, ["last", "best"])
        check_bounds(self.bounds)

    @property
    @abstractmethod
    def rule(self) -> Update:
        """The update rule."""

    def region(self, view: View) -> Region:
        """Where the walks may go."""
        return Region(self.eps, get_bounds(self.bounds, view.inputs), self.norm)

    def cost(self) -> Passes:
        """A forward and a backward pass a step, where the rule looks at the gradient there; and what it adds.

        Where points are compared, by `early_stop`, `keep` or `restarts`, each is evaluated, the last one too.
        """
        rule = self.rule
        own, guided = (rule.passes, rule.guided) if isinstance(rule, UpdateRule) else (Passes(0, 0), True)
        steps = self.steps * self.restarts
        once = rule.once if isinstance(rule, UpdateRule) else Passes(0, 0)
        turns = steps + self.restarts if self._watched else steps * guided
        forward = turns + steps * own.forward + self.restarts * once.forward
        return Passes(forward, steps * (guided + own.backward) + self.restarts * once.backward)

    def perturb(self, view: View, walks: Walks, start: Tensor | None) -> Tensor:
        """All runs."""
        if self.early_stop and not view.target.compares_classes:
            raise ArgumentError("early_stop", self.early_stop, f"false for a {type(view.target).__name__}")
        if self.random_start and start is not None:
            raise ArgumentError("start", "a tensor", "None with random_start=True")
        wide = view.inputs.to(view.dtype)
        found, best = wide.clone(), torch.full((len(wide), 2), -torch.inf, device=wide.device, dtype=torch.float64)
        left = torch.arange(len(wide), device=wide.device)
        for run in range(self.restarts):
            self._run(run, view, walks.at(left), left, start, found, best)
            left = left[best[left, 0] != 1]
        return found

    def _run(
        self, run: int, view: View, walks: Walks, left: Tensor, start: Tensor | None, found: Tensor, best: Tensor
    ) -> None:
        """One run of the walks `left`; writes points where they are better, and whether they fool and their loss."""
        region, seed = self.region(view), self.seed + run
        wide = view.inputs.to(view.dtype)
        begin = wide if start is None else region.project(start.detach().to(wide), wide)
        if self.random_start:
            begin = region.draw(wide, torch.Generator().manual_seed(seed))
        objective = get_objective(self.loss)
        route = Route(
            update=self.rule,
            steps=self.steps,
            region=region,
            loss=None if getattr(self.rule, "loss", None) else objective,
            stop=fooled if self.early_stop else None,
            starts_anyway=False,
            seed=seed + (2**31 if self.random_start else 0),  # not the numbers of the start once more
            max_batch=self.max_batch,
        )
        climbed = route.climbed or objective
        turns = in_blocks(view, begin, walks, route, None, last_gradient=False, origin=wide, watched=self._watched)
        for _, turn in turns:
            told = turn.ended if self.keep == "last" else torch.ones_like(turn.ended)
            places = turn.places[told]
            if not self._watched:
                found[left[places]] = turn.points[told]
                continue
            some, evidence = walks.at(places), turn.evidence[told]
            loss = some.toward * climbed(evidence, some.goal)
            won = fooled(evidence, some) if view.target.compares_classes else torch.zeros_like(loss)
            worth = torch.stack([won, loss], 1).double()
            old = best[left[places]]
            better = (worth[:, 0] > old[:, 0]) | ((worth[:, 0] == old[:, 0]) & (worth[:, 1] > old[:, 1]))
            found[left[places[better]]] = turn.points[told][better]
            best[left[places[better]]] = worth[better]

    @property
    def _watched(self) -> bool:
        return self.early_stop or self.keep == "best" or self.restarts > 1


@ATTACKS.register("update")
@dataclass(frozen=True)
class UpdateAttack(WalkingAttack):
    """Any update rule as an attack.

    Args:
        update: the name of an update rule, its settings with the name under `class`, or a function of a
            `lit_attr.updates.Step`.

    Example:
        Steps that lose speed:

        >>> attack = UpdateAttack(update=lambda step: 0.02 * 0.9**step.number * step.ascent.sign())
        >>> attack(torch.nn.Linear(3, 2), torch.rand(1, 3), 0).shape
        torch.Size([1, 3])
    """

    update: str | Mapping[str, Any] | Update = "bim"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "update", get_update(self.update))

    @property
    def rule(self) -> Update:
        """The update rule."""
        return get_update(self.update)
