"""CW: the smallest change that fools the model."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lit_attr import updates
from lit_attr._checks import ArgumentError, positive_int
from lit_attr._view import Passes, View
from lit_attr.attacks.attack import ATTACKS, Attack, fooled
from lit_attr.objectives import margin
from lit_attr.updates import Bounds, Region, Route, Step, Walks, check_bounds, get_bounds, in_blocks

__all__ = ["CW"]

_HUGE = 1e10  # an upper end of the search that stands for none


@ATTACKS.register("cw")
@dataclass(frozen=True)
class CW(Attack):
    """Carlini and Wagner's L2 attack: of all points on the way that fool the model, the one nearest to the input.

    Paper: Carlini, Wagner, "Towards Evaluating the Robustness of Neural Networks", 2017, section V-B. Adam goes down
    ||x' - x||^2 + c * max(z_y - max_j z_j, -kappa), see `lit_attr.updates.CW`. A sample that is never fooled stays as
    it is. The search for c is per sample: halving between failure and success, times ten before the first success.

    Args:
        c: weight of the logits; where the search begins.
        kappa: by how much the logits must differ.
        steps: of Adam, in each step of the search.
        lr: of Adam.
        search_steps: how many c are tried, 9 in the paper.
        bounds: the range of the inputs; "auto" is [0, 1] for images, others must give theirs.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> x = torch.rand(2, 3, 2, 2)
        >>> (CW(steps=20, search_steps=3)(model, x, torch.tensor([0, 2])) - x).flatten(1).norm(dim=1).shape
        torch.Size([2])
    """

    c: float = 1.0
    kappa: float = 0.0
    steps: int = 50
    lr: float = 0.01
    search_steps: int = 1
    bounds: Bounds = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        updates.CW(self.c, self.kappa, self.lr)  # checks these
        positive_int("steps", self.steps)
        positive_int("search_steps", self.search_steps)
        check_bounds(self.bounds)

    def perturb(self, view: View, walks: Walks, start: Tensor | None) -> Tensor:
        """The nearest of all points that fool the model."""
        if start is not None:
            raise ArgumentError("start", "a tensor", "None for CW")
        if not view.target.compares_classes:
            raise ArgumentError("target", type(view.target).__name__, "one of classes for CW")
        wide = view.inputs.to(view.dtype)
        found, best = wide.clone(), torch.full((len(wide),), torch.inf, dtype=wide.dtype, device=wide.device)
        c = torch.full_like(best, self.c)
        low, high = torch.zeros_like(c), torch.full_like(c, _HUGE)
        for _ in range(self.search_steps):
            won = self._run(view, walks, c, found, best)
            low, high = torch.where(won, low, torch.maximum(low, c)), torch.where(won, torch.minimum(high, c), high)
            c = torch.where(high < _HUGE, (low + high) / 2, c * 10)
        return found

    def cost(self) -> Passes:
        """A forward and a backward pass a step, and a forward pass of the last point."""
        return Passes(self.search_steps * (self.steps + 1), self.search_steps * self.steps)

    def _run(self, view: View, walks: Walks, c: Tensor, found: Tensor, best: Tensor) -> Tensor:
        """One run; writes points that are nearer, and how near. Returns which samples were fooled, bool `[B]`."""
        won, wide = torch.zeros_like(c, dtype=torch.bool), view.inputs.to(view.dtype)
        region = Region(None, get_bounds(self.bounds, view.inputs))
        rule = _Weighted(self.c, self.kappa, self.lr, each=c)
        route = Route(rule, self.steps, region, seed=self.seed, max_batch=self.max_batch)
        for _, turn in in_blocks(view, wide, walks, route, None, last_gradient=False):
            some = walks.at(turn.places)
            ahead = some.toward * margin(turn.evidence, some.goal) >= self.kappa
            good = fooled(turn.evidence, some) & ahead
            distance = (turn.points - wide[turn.places]).flatten(1).norm(dim=1)
            nearer = good & (distance < best[turn.places])
            won[turn.places] |= good
            best[turn.places[nearer]] = distance[nearer]
            found[turn.places[nearer]] = turn.points[nearer]
        return won


@dataclass(frozen=True, eq=False)
class _Weighted(updates.CW):
    """With a weight for each sample."""

    each: Tensor = field(default_factory=lambda: torch.ones(0))

    def weight(self, step: Step) -> Tensor:
        """That of the walks' samples."""
        return self.each[step.walks.rows].view(-1, *[1] * (step.points.dim() - 1))
