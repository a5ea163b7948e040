"""The guided walk: points that are found step by step, all walks of all samples side by side."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr._chunks import default_chunk, in_chunks
from lit_attr._guard import as_written
from lit_attr._view import View
from lit_attr.objectives import Objective
from lit_attr.updates.region import Region
from lit_attr.updates.step import Step, Update
from lit_attr.updates.walks import Walks

__all__ = ["Route", "Turn", "in_blocks", "walk"]


@dataclass(frozen=True)
class Route:
    """How walks go.

    Attributes:
        update: the update rule.
        steps: the most steps.
        region: where they may go.
        loss: what a walk climbs (or descends, see `Walks.toward`), as a function of evidence and goal; None is that of
            the rule, if it has one (`UpdateRule.loss`), else the objective of the path integral, whose gradient then
            serves both.
        stop: from evidence `[n, K]` and walks to those that have arrived, bool `[n]`; None goes all steps.
        starts_anyway: a walk that has arrived when it begins (to a class that is predicted already) goes all steps;
            else it has none.
        from_origin: every step starts from the origin again, x_{t+1} = project(x_0 + move).
        look: the point at which the model is asked, as a function of the walk's point.
        substeps: into how many equal parts a path integral divides each move; the walk is the same.
        seed: of the rule's random numbers.
        max_batch: see `in_chunks`.
    """

    update: Update
    steps: int
    region: Region = field(default_factory=Region)
    loss: Objective | None = None
    stop: Callable[[Tensor, Walks], Tensor] | None = None
    starts_anyway: bool = True
    from_origin: bool = False
    look: Callable[[Tensor], Tensor] = lambda points: points
    substeps: int = 1
    seed: int = 0
    max_batch: int | None = None

    @property
    def guided(self) -> bool:
        """Whether the rule looks at `Step.ascent`; else that is zero, and costs no backward pass."""
        return bool(getattr(self.update, "guided", True))

    @property
    def climbed(self) -> Objective | None:
        """The loss of the route or of its rule; None for the objective of the path integral."""
        found: Objective | None = self.loss or getattr(self.update, "loss", None)
        return found

    @property
    def ceiling(self) -> float | None:
        """Of the rule, if the loss is its own."""
        return None if self.loss else getattr(self.update, "ceiling", None)


class Turn(NamedTuple):
    """The walks that were under way at x_t, n of N; t = 0..steps.

    Attributes:
        places: which of the N walks, `[n]`.
        points: x_t, `[n, ...]`.
        evidence: of the model at x_t, `[n, K]`; empty, `[n, 0]`, where nobody asked for it.
        value: the objective at x_t, `[n]`.
        gradient: its gradient, `[n, ...]`; None without an objective.
        arrived: the move that led to x_t, zero at t = 0.
        leaving: the move that leads on, as it is after projection; zero for walks that end here.
        memory: what the update rule remembers of the walks that go on, by name; see `Step.memory`.
        ended: bool `[n]`.
        stopped: those that ended because they have arrived, bool `[n]`.
    """

    places: Tensor
    points: Tensor
    evidence: Tensor
    value: Tensor | None
    gradient: Tensor | None
    arrived: Tensor
    leaving: Tensor
    memory: Mapping[str, Tensor]
    ended: Tensor
    stopped: Tensor


def walk(
    view: View,
    start: Tensor,
    walks: Walks,
    route: Route,
    objective: Objective | None,
    *,
    last_gradient: bool = True,
    origin: Tensor | None = None,
    watched: bool = True,
) -> Iterator[Turn]:
    """Go, and tell of every turn.

    Args:
        view: the model and its batch.
        start: where the walks begin, `[N, ...]`.
        walks: N walks.
        route: how they go.
        objective: what is integrated along the way, of the explained class; None where only the end matters.
        last_gradient: also at the last point; else only the objective's value is found there.
        origin: what the region lies around, `[N, ...]`, where walks begin beside it; None is the start.
        watched: the evidence of every turn is asked for; else the model is evaluated only where that is needed to go
            on, and not at the last point.

    Yields:
        One `Turn` for t = 0..steps, fewer where all walks stop before: one forward and one backward pass per walk and
        turn; one backward pass more, but not in the last turn, where a guided route's loss is not the objective.
    """
    generator = torch.Generator().manual_seed(route.seed)
    model = _Asked(view, route, objective)
    places = torch.arange(len(start), device=start.device)
    origin, points = start if origin is None else origin, start
    watched |= route.stop is not None or objective is not None
    arrived, memory = torch.zeros_like(points), dict[str, Tensor]()
    for number in range(route.steps + 1):
        last = number == route.steps
        guided = route.guided and not last
        if watched or guided:
            evidence, value, gradient, ascent = model.answer(
                points, walks, gradient=last_gradient or not last, ascent=guided
            )
        else:
            evidence, value, gradient, ascent = points.new_zeros(len(points), 0), None, None, torch.zeros_like(points)
        stopped = route.stop(evidence, walks) if route.stop else torch.zeros_like(places, dtype=torch.bool)
        if number == 0:
            settled = stopped & route.starts_anyway
        stopped = stopped & ~settled
        ended = stopped | last
        going = (~ended).nonzero()[:, 0]
        leaving = torch.zeros_like(points)
        if len(going):
            memory = {name: values[going] for name, values in memory.items()}
            here, began, left = points[going], origin[going], walks.at(going)
            step = Step(
                points=here,
                origin=began,
                ascent=ascent[going],
                number=number,
                steps=route.steps,
                walks=left,
                view=view,
                generator=generator,
                losses=partial(model.losses, left),
                ascents=partial(model.ascents, left),
                bounds=route.region.bounds,
                together=route.max_batch or default_chunk(view.inputs),
                memory=memory,
            )
            base = began if route.from_origin else here.clone()  # a rule may write into its points
            move = route.update(step)
            if not isinstance(move, Tensor) or move.shape != here.shape:
                got = f"moves of shape {tuple(move.shape)}" if isinstance(move, Tensor) else repr(move)
                raise ArgumentError("update", got, f"a rule that returns moves {tuple(here.shape)}")
            target = route.region.project(base + move.detach(), began)
            leaving[going] = target - base
        kept = memory if len(going) else {}
        yield Turn(places, points, evidence, value, gradient, arrived, leaving, kept, ended=ended, stopped=stopped)
        if not len(going):
            return
        places, points, origin, arrived, walks = places[going], target, began, leaving[going], left
        settled = settled[going]


def in_blocks(
    view: View,
    start: Tensor,
    walks: Walks,
    route: Route,
    objective: Objective | None,
    *,
    last_gradient: bool,
    origin: Tensor | None = None,
    watched: bool = True,
) -> Iterator[tuple[int, Turn]]:
    """`walk` from the samples' starts `[B, ...]`, one block of walks after the other, as many as are evaluated at once.

    A walk holds some twenty tensors of the size of its points.

    Yields:
        The number t of each turn and the turn, its places among all the walks.
    """
    count = len(walks.rows)
    held = route.max_batch or default_chunk(view.inputs)
    for first in range(0, count, held):
        block = torch.arange(first, min(first + held, count), device=start.device)
        some = walks.at(block)
        turns = walk(
            view,
            start[some.rows],
            some,
            route,
            objective,
            last_gradient=last_gradient,
            origin=None if origin is None else origin[some.rows],
            watched=watched,
        )
        for number, turn in enumerate(turns):
            yield number, turn._replace(places=block[turn.places])


@dataclass
class _Asked:
    """The model along one route."""

    view: View
    route: Route
    objective: Objective | None

    def answer(
        self, points: Tensor, walks: Walks, *, gradient: bool, ascent: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
        """At every point: the evidence, the objective and its gradient, and the gradient of the loss (else zeros)."""
        view, count = self.view, len(points)
        gradient &= self.objective is not None
        shape, own_loss = view.inputs.shape[1:], self.objective is None or self.route.climbed is not None
        evidences: list[Tensor] = []
        values, gradients = points.new_zeros(count), points.new_zeros(count, *shape) if gradient else None
        ascents = points.new_zeros(count, *shape) if ascent and own_loss else None

        def work(first: int, stop: int) -> None:
            some = walks.at(torch.arange(first, stop, device=points.device))
            at = self._at(points[first:stop])
            twice = gradients is not None and ascents is not None
            with torch.set_grad_enabled(gradient or ascent), as_written() if twice else nullcontext():
                evidence = view.evidence(at, some.rows)
                value = None if self.objective is None else view.score(evidence, some.rows, self.objective)
            if value is not None:
                values[first:stop] = value.detach()
            if value is not None and gradients is not None:
                gradients[first:stop] = view.derive(value, at, again=twice)[0]
            if ascents is not None:
                ascents[first:stop] = view.derive(self._loss(evidence, some), at)[0]
            evidences.append(evidence.detach())

        in_chunks(count, view.inputs, self.route.max_batch, work)
        if not evidences:
            work(0, 0)
        if ascents is None:
            same = gradients if ascent else None
            ascents = torch.zeros_like(points) if same is None else same * _like(walks.toward, points)
        none = self.objective is None
        return torch.cat(evidences), None if none else values, None if none else gradients, ascents

    def ascents(self, walks: Walks, points: Tensor, objective: Objective | None = None) -> Tensor:
        """The gradient of the loss, or of an objective in its place, at k sets of points, `[k N, ...]`."""
        found = torch.empty_like(points)
        every = _for_sets(walks, points)

        def work(first: int, stop: int) -> None:
            some = every.at(torch.arange(first, stop, device=points.device))
            at = self._at(points[first:stop])
            loss = self._loss(self.view.evidence(at, some.rows), some, objective)
            found[first:stop] = self.view.derive(loss, at)[0]

        in_chunks(len(points), self.view.inputs, self.route.max_batch, work)
        return found

    def losses(self, walks: Walks, points: Tensor) -> Tensor:
        """The loss at k sets of points, `[k N]`."""
        every = _for_sets(walks, points)
        evidence = self.view.evidence_at(self._at(points).detach(), every.rows, self.route.max_batch)
        return self._loss(evidence, every)

    def _at(self, points: Tensor) -> Tensor:
        """Where the model is asked, ready to be differentiated."""
        return self.route.look(points).detach().to(self.view.inputs.dtype).requires_grad_()

    def _loss(self, evidence: Tensor, walks: Walks, objective: Objective | None = None) -> Tensor:
        """What the walks climb, `[n]`."""
        climbed = objective or self.route.climbed or self.objective
        if climbed is None:
            msg = "a walk without an objective needs a loss"
            raise ValueError(msg)
        values = climbed(evidence, walks.goal)
        if values.shape != walks.goal.shape:
            raise ArgumentError("loss", f"shape {tuple(values.shape)}", f"one value per row, [{len(walks.goal)}]")
        found = walks.toward * values
        ceiling = None if objective else self.route.ceiling
        return found if ceiling is None else found.clamp_max(ceiling)


def _for_sets(walks: Walks, points: Tensor) -> Walks:
    """The walks, repeated for k sets of points `[k N, ...]`."""
    return walks.at(torch.arange(len(points), device=points.device) % max(1, len(walks.rows)))


def _like(values: Tensor, other: Tensor) -> Tensor:
    """Values `[N]` shaped to multiply `other` `[N, ...]`."""
    return values.to(other.dtype).view(-1, *[1] * (other.dim() - 1))
