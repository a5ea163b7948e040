"""ISA: iterative search, the least important features removed round by round.

Paper: Zhu et al., "Iterative Search Attribution for Deep Neural Networks", 2024, with the authors' code. Deviations:
all losses are those of one sample; the last round's features, the most important ones, get their rank like the others
(the published code leaves them at zero, the least); the smallest effect is subtracted, not added; removed features take
part in nothing, neither by gradients nor by noise; points stay inside the bounds, and a move is what is left of it
there. The number of rounds is given, not the number of features of each, so that the cost does not depend on the size
of the inputs: 31 rounds are the paper's 5000 features of 3x224x224.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lit_attr._checks import not_negative, positive_int
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.objectives import Objective, get_objective
from lit_attr.updates import Bounds, check_bounds, get_bounds

__all__ = ["ISA"]

_LEAST_CHANGE = 1e-6  # of a loss, as a divisor
_SHORT = 1 + 1e-3  # keeps a round's largest value below the next round's smallest, in float32 too


@METHODS.register("isa")
@dataclass(frozen=True, eq=False)
class ISA(Method):
    """The round in which a feature is removed, and its place in that round: ranks, in [0, rounds).

    In each round two walks of small signed steps lead from the features that are left: up the loss -f, and down. A
    feature's effect is the sum over both walks of |dx * v| / w, v the gradient and w the change of the loss along the
    walk. Those with the smallest |(effect - least effect) * x| are removed, set to zero, and get the value
    round + span * place, place in [0, 1) by that size. A feature that is zero goes first.

    Args:
        rounds: into how many rounds, as equal as possible, the features are divided; at most one feature each.
        ascent_steps: steps of the walk up the loss.
        descent_steps: steps of the walk down.
        alpha: step per feature, in units of the input.
        penalty: weight of the point's Euclidean norm, taken from the loss on the way up and added to it on the way
            down (lambda in the paper).
        noise: standard deviation of the noise at which gradients are taken.
        span: of the values of a round; with more than 1 they reach into those of the next.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
        seed: of the private noise generator; the draws are the same for all samples.
        preset: "paper" has a span of 1.1; "reference", the published code, one of 1.3 and steps of 0.004.

    Example:
        A linear model f = 2 x_0 - x_1, and a feature that it does not see:

        >>> model = torch.nn.Linear(3, 2, bias=False)
        >>> model.load_state_dict({"weight": torch.tensor([[0.0, 0.0, 0.0], [2.0, -1.0, 0.0]])})
        <All keys matched successfully>
        >>> ISA(objective="logit")(model, torch.ones(1, 3), 1)
        tensor([[2., 1., 0.]])
    """

    ABOUT: ClassVar[About] = About("ranks, by removing what matters least round by round", "I")

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"span": 1.1},
        "reference": {"alpha": 0.004, "span": 1.3},
    }

    rounds: int = 31
    ascent_steps: int = 8
    descent_steps: int = 8
    alpha: float = 0.002
    penalty: float = 0.01
    noise: float = 0.05
    span: float = 1.0
    bounds: Bounds = "auto"
    seed: int = 0
    objective: str | Objective = "logprob"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rounds", "ascent_steps", "descent_steps"):
            positive_int(name, getattr(self, name))
        for name in ("alpha", "penalty", "noise", "span"):
            not_negative(name, getattr(self, name))
        check_bounds(self.bounds)

    def attribute(self, view: View) -> Explanation:
        """Round by round, all samples side by side."""
        inputs = view.inputs.to(view.dtype)
        bounds = get_bounds(self.bounds, inputs)
        generator = torch.Generator().manual_seed(self.seed)
        kept, ranks = torch.ones_like(inputs), torch.zeros_like(inputs).flatten(1)
        features = ranks.shape[1]
        rounds = min(self.rounds, features)
        for number in range(rounds):
            effect = self._effect(view, inputs * kept, kept, bounds, generator)
            count = features * (number + 1) // rounds - features * number // rounds
            chosen, place = _least(effect, inputs, kept, count)
            ranks.scatter_(1, chosen, number + self.span * place)
            kept = kept.flatten(1).scatter(1, chosen, 0).view_as(inputs)
        return Explanation(ranks.view_as(inputs))

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a step of each round, of which there are at most as many as features."""
        steps = min(self.rounds, math.prod(shape)) * (self.ascent_steps + self.descent_steps)
        return Passes(steps, steps)

    def _effect(
        self,
        view: View,
        start: Tensor,
        kept: Tensor,
        bounds: tuple[float, float] | None,
        generator: torch.Generator,
    ) -> Tensor:
        """The sum of |dx * v| / w over both walks, `[B, ...]`; side by side, 2 B points."""
        samples, shape = start.shape[0], start.shape[1:]
        # The longer walk comes first, so that those under way are always the first ones.
        steps, signs = zip(*sorted([(self.ascent_steps, 1.0), (self.descent_steps, -1.0)], reverse=True), strict=True)
        rows = view.rows.repeat(2)
        up = start.new_tensor(signs).repeat_interleave(samples)
        points, kept = torch.cat([start, start]), torch.cat([kept, kept])
        effect = torch.zeros_like(points)
        first, last = start.new_zeros(2 * samples), start.new_zeros(2 * samples)
        for number in range(steps[0]):
            walks = slice(0, samples * sum(number < count for count in steps))
            here, mask, sign = points[walks], kept[walks], up[walks]
            noise = torch.randn(2, *shape, generator=generator).to(start).repeat_interleave(samples, 0)
            gradient, value = self._ask(view, here + self.noise * noise[walks] * mask, rows[walks])
            norm = here.flatten(1).norm(dim=1)
            pull = here / _like(norm.clamp_min(torch.finfo(norm.dtype).tiny), here)
            climbed = (-gradient - self.penalty * _like(sign, here) * pull) * mask
            last[walks] = -value - self.penalty * sign * norm
            if number == 0:
                first = last.clone()
            there = here + self.alpha * _like(sign, here) * climbed.sign()
            there = (there if bounds is None else there.clamp(*bounds)) * mask
            effect[walks] += ((there - here) * climbed).abs()
            points[walks] = there
        # The losses are those before each move: extended to the last move, so that walks of any length count the same.
        moves = start.new_tensor([count / max(1, count - 1) for count in steps]).repeat_interleave(samples)
        change = (up * (last - first) * moves).clamp_min(_LEAST_CHANGE)
        return (effect / _like(change, effect)).view(2, *start.shape).sum(0)

    def _ask(self, view: View, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of the objective, `[N, ...]`, and its value, `[N]`."""
        objective = get_objective(self.objective)
        gradients, values = torch.empty_like(points), points.new_empty(len(points))

        def work(start: int, stop: int) -> None:
            gradients[start:stop], evidence = view.gradient(points[start:stop], rows[start:stop], objective)
            values[start:stop] = view.score(evidence, rows[start:stop], objective)

        in_chunks(len(points), view.inputs, self.max_batch, work)
        return gradients, values


def _least(effect: Tensor, inputs: Tensor, kept: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` features of least weight that are left, `[B, count]`, and their places among each other, in [0, 1).

    Equal ones are taken in their order, so that the choice does not depend on the device or the batch.
    """
    effect, removed = effect.flatten(1), kept.flatten(1) == 0
    least = effect.masked_fill(removed, torch.inf).amin(1, keepdim=True)
    weight = ((effect - least) * inputs.flatten(1)).abs().masked_fill(removed, torch.inf)
    weight, order = weight.sort(dim=1, stable=True)
    chosen, weight = order[:, :count], weight[:, :count]
    low, high = weight[:, :1], weight[:, -1:]
    return chosen, (weight - low) / ((high - low) * _SHORT).clamp_min(torch.finfo(weight.dtype).tiny)


def _like(values: Tensor, other: Tensor) -> Tensor:
    """Values `[N]` shaped to multiply `other` `[N, ...]`."""
    return values.view(-1, *[1] * (other.dim() - 1))
