"""What is accumulated along a guided walk: the gradient of the objective over the moves that were made."""

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from lit_attr._checks import one_of
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes, View
from lit_attr.attribution._method import Explanation
from lit_attr.objectives import Objective, prob
from lit_attr.updates import Route, Turn, Update, UpdateRule, Walks, in_blocks

__all__ = ["WalkRule", "check_walk_rule", "integrate", "walk_passes"]

WalkRule: TypeAlias = Literal["trapezoid", "left"]


def check_walk_rule(rule: WalkRule) -> None:
    """Refuse an unknown rule."""
    one_of("rule", rule, get_args(WalkRule))


def integrate(
    view: View,
    start: Tensor,
    walks: Walks,
    route: Route,
    objective: Objective | None,
    rule: WalkRule = "trapezoid",
    *,
    leaves: bool = True,
    surrogate: str | None = None,
) -> Explanation:
    """Walk, and sum the gradient over the moves: A_i = sum over walks and steps of dx_i * df/dx_i.

    Args:
        view: the model and its samples.
        start: where the walks of each sample begin, `[B, ...]`.
        walks: N = B M walks, those of a sample next to each other.
        route: how they go.
        objective: the scalar f; None with a surrogate, where the error of completeness is then left open.
        rule: "trapezoid" takes the mean of the gradients at both ends of a move, "left" that at its beginning. With
            `route.from_origin` a move does not end where the next one begins: use "left".
        leaves: the walks lead away from the samples, so that A is the negative sum; else they lead towards them.
        surrogate: the name under which the update rule remembers what it took for the gradient of the loss
            (`Step.memory`), to be summed in place of the gradient of f; with the rule "left".

    Returns:
        An explanation with end points, the error of completeness, confidence and success.
    """
    count, paths, shape = len(walks.rows), walks.paths, view.inputs.shape[1:]
    start = start.to(view.dtype)
    total = torch.zeros_like(start)
    end = start.new_empty(count, *shape)
    change = total.new_zeros(count)
    confidence = total.new_full((count, route.steps + 1), torch.nan)
    success = torch.zeros(count, dtype=torch.bool, device=start.device)
    sign = -1.0 if leaves else 1.0
    for number, turn in in_blocks(view, start, walks, route, objective, last_gradient=rule == "trapezoid"):
        rows = walks.rows[turn.places]
        gradient = _remembered(turn, walks, surrogate) if surrogate else turn.gradient
        if gradient is not None:
            move = turn.leaving if rule == "left" else (turn.arrived + turn.leaving) / 2
            total.index_add_(0, rows, sign / route.substeps * move * gradient)
        if route.substeps > 1 and objective is not None:
            within = _within(view, turn, rows, objective, route)
            total.index_add_(0, rows, sign / route.substeps * turn.leaving * within)
        _note(change, turn, number, sign)
        confidence[turn.places, number] = prob(turn.evidence, view.target.index[rows]).to(view.dtype)
        gone = turn.places[turn.ended]
        end[gone], success[gone] = turn.points[turn.ended], turn.stopped[turn.ended]
    error = total.flatten(1).sum(1).index_add(0, walks.rows, -change)
    several = (-1, paths) if paths > 1 else (-1,)
    return Explanation(
        total,
        endpoint=end.view(*several, *shape),
        completeness_error=None if objective is None else error,
        confidence=confidence.view(*several, route.steps + 1),
        success=success.view(several) if route.stop else None,
    )


def _within(view: View, turn: Turn, rows: Tensor, objective: Objective, route: Route) -> Tensor:
    """The sum of the gradients at the points that divide the moves which lead on, `[n, ...]`."""
    substeps = route.substeps
    going, found = (~turn.ended).nonzero()[:, 0], torch.zeros_like(turn.points)

    def work(first: int, stop: int) -> None:
        jobs = torch.arange(first, stop, device=rows.device)
        some, parts = going[jobs // (substeps - 1)], jobs % (substeps - 1) + 1
        shares = (parts / substeps).to(found.dtype).view(-1, *[1] * (found.dim() - 1))
        gradient, _ = view.gradient(turn.points[some] + shares * turn.leaving[some], rows[some], objective)
        found.index_add_(0, some, gradient)

    in_chunks(len(going) * (substeps - 1), view.inputs, route.max_batch, work)
    return found


def _note(change: Tensor, turn: Turn, number: int, sign: float) -> None:
    """Add up f(end) - f(start), with the sign of the attribution."""
    if turn.value is None:
        return
    value = sign * turn.value.to(change.dtype)
    if number == 0:
        change[turn.places] -= value
    change[turn.places[turn.ended]] += value[turn.ended]


def _remembered(turn: Turn, walks: Walks, name: str) -> Tensor:
    """The gradient of f as the update rule took it, `[n, ...]`: what it remembers is that of the loss it climbs."""
    found = torch.zeros_like(turn.points)
    if name in turn.memory:
        toward = walks.toward[turn.places][~turn.ended].to(found.dtype)
        found[~turn.ended] = turn.memory[name] * toward.view(-1, *[1] * (found.dim() - 1))
    return found


def walk_passes(
    paths: int, steps: int, rule: WalkRule, *, own_loss: bool, substeps: int = 1, update: Update | None = None
) -> Passes:
    """The passes of `integrate`, at most: those of walks that go all steps.

    Args:
        paths: M.
        steps: T.
        rule: of `integrate`.
        own_loss: the route has a loss other than the objective.
        substeps: of the route.
        update: of the route; of a plain function it is not known what it evaluates, which then comes on top. None for
            one that looks at nothing but the gradient of the loss.
    """
    own, once, guided = Passes(0, 0), Passes(0, 0), True
    if isinstance(update, UpdateRule):
        own, once, guided = update.passes, update.once, update.guided
        own_loss = own_loss or update.loss is not None
    gradients, within = steps + (rule == "trapezoid") + steps * (own_loss and guided), steps * (substeps - 1)
    forward = steps + 1 + within + steps * own.forward + once.forward
    backward = gradients + within + steps * own.backward + once.backward
    return Passes(paths * forward, paths * backward)
