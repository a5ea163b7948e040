"""What an update rule sees: N walks at one moment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from lit_attr._view import View
from lit_attr.objectives import Objective
from lit_attr.updates import _draws
from lit_attr.updates.walks import Walks

__all__ = ["Step", "Update"]


@dataclass
class Step:
    """N walks at the moment of their step number `number`; an update rule turns it into the moves `[N, ...]`.

    Attributes:
        points: where the walks are, x_t, `[N, ...]`.
        origin: where they began, x_0, `[N, ...]`.
        ascent: the gradient at x_t of the loss that the walk climbs, `[N, ...]`; zero where the route is not guided.
        number: t, from 0.
        steps: the most steps of a walk, T.
        walks: what they seek, and of which samples they are.
        view: the model and the samples, for rules that look further than at the loss.
        memory: tensors `[N, ...]` that a rule keeps from step to step, by name; rows of walks that end are dropped.
        generator: of this walk's random numbers, on the CPU.
        losses: the loss at other points, `[k N]` for k sets of points `[k N, ...]`, one set after the other: one
            forward pass each.
        ascents: its gradient at other points, likewise: one forward and one backward pass each. A second argument is an
            objective to climb in place of the loss.
        bounds: the range of the inputs, or None.
        together: how many points are evaluated at once, for rules that make many.
    """

    points: Tensor
    origin: Tensor
    ascent: Tensor
    number: int
    steps: int
    walks: Walks
    view: View
    generator: torch.Generator
    losses: Callable[[Tensor], Tensor]
    ascents: Callable[[Tensor, Objective | None], Tensor]
    bounds: tuple[float, float] | None = None
    together: int = 1
    memory: dict[str, Tensor] = field(default_factory=dict)

    def normal(self) -> Tensor:
        """Standard normal numbers `[N, ...]`: other ones for each path of a sample, the same for all samples.

        So a result does not depend on which samples are in a batch. Nor does it where walks have keys (`Walks.keys`):
        then those are drawn for each walk from its key.
        """
        return self._draw(torch.randn, _draws.normal)

    def uniform(self) -> Tensor:
        """Uniform numbers in [0, 1), `[N, ...]`, drawn as `normal` draws."""
        return self._draw(torch.rand, _draws.uniform)

    def mean_ascent(
        self, variant: Callable[[Tensor, int], Tensor], copies: int, objective: Objective | None = None
    ) -> Tensor:
        """The mean over `copies` variants of the gradient of their loss with respect to the points, `[N, ...]`.

        Args:
            variant: makes set number 0, 1, ... of variants `[N, ...]` of the points it is given; gradients go back
                through it.
            copies: how many sets.
            objective: to climb in place of the loss.
        """
        size = max(1, self.together // max(1, len(self.points)))
        total = torch.zeros_like(self.points)
        points = self.points.detach().requires_grad_()
        for first in range(0, copies, size):
            sets = torch.cat([variant(points, number) for number in range(first, min(first + size, copies))])
            found = self.ascents(sets.detach(), objective)
            with torch.autocast(points.device.type, enabled=False):
                total += torch.autograd.grad(sets, points, found)[0]
        return total / copies

    def _draw(self, sampler: Callable[..., Tensor], keyed: Callable[[Tensor, int, int], Tensor]) -> Tensor:
        if self.walks.keys is not None:
            salt = int(torch.randint(2**62, (1,), generator=self.generator))  # another one for each draw
            return keyed(self.walks.keys, salt, self.points[0].numel()).to(self.points).view_as(self.points)
        drawn = sampler((self.walks.paths, *self.points.shape[1:]), generator=self.generator)
        return drawn.to(self.points)[self.walks.path]


Update: TypeAlias = Callable[[Step], Tensor]
"""An update rule: from where the walks are to the moves they propose, `[N, ...]`. It changes nothing but the memory."""
