"""SIGMA: gradients along random walks to where the model has lost its confidence.

Paper: Henry et al., "SIGMA", 2026, with the authors' code, which takes images of [0, 255]. Its numbers hold unchanged
for images of [0, 1]: with x = 255 x' and the pattern 255 q', q' of 0 and 1, both the points N(x +- beta 255 q') and the
moves alpha s 255 q' are 255 times those of x' and q', and the slope s is the same, as are quotients of two moves.

Deviations: patterns of -1 and 1, the usual ones of SPSA, are the default. One of 0 and 1 is half of such a one and a
constant, which N takes away: binary patterns with alpha and beta make the same walks as these with alpha / 4 and
beta / 2, which are the defaults. N is taken per sample. A step whose gradient sums to almost nothing is not divided by
that sum. The point given back is N(x_T), at which the model was asked, not x_T.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, fraction, positive_int
from lit_attr._view import Passes, View, looking_at
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.objectives import get_objective, prob
from lit_attr.targets import Target
from lit_attr.updates import SPSA, Bounds, Pattern, Region, Route, Walks, check_bounds, get_bounds, in_blocks, walk

__all__ = ["SIGMA", "Variants"]

_CANCELLED = 1e-3  # of sum |G|: a sum of G below this says nothing about how to share


class Variants(NamedTuple):
    """The ends of n walks from each of B samples.

    Attributes:
        samples: without confidence, where the walk reached epsilon, `[B, n, ...]`.
        confidence: p_T, `[B, n]`.
        steps: T, int64 `[B, n]`; zero for a sample of which the model was not sure to begin with.
        reached: whether p_T <= epsilon, bool `[B, n]`.
    """

    samples: Tensor
    confidence: Tensor
    steps: Tensor
    reached: Tensor


@METHODS.register("sigma")
@dataclass(frozen=True, eq=False)
class SIGMA(Method):
    """A = (1/n) sum over walks of |sum_t (p_t - p_{t+1}) G_{t+1} / sum G_{t+1}|, in [0, inf), or signed.

    p_t is the probability of the explained class at u_t = N(x_t), G_t the gradient of the objective there. Each of the
    n walks goes downhill on p by steps of `lit_attr.updates.SPSA`, until p <= epsilon. Where a step's gradient cancels
    in the sum, its absolute values share the step. Without absolute values the sum of A is exactly p_0 - p_T, its mean
    over walks; `completeness_error` is that of this signed map, whichever of the two is asked for. Its single signs
    say less than its sum: where sum G is negative, a feature that supports the class gets a negative share.

    `explain` also gives the samples without confidence, N(x_T) (`endpoint`, `[B, n, ...]`), the confidence p_t on the
    way, whether epsilon was reached (`success`), and in `info` the other map ("signed" or "absolute") and the number
    of steps shared by absolute values ("cancelled", per sample). A sample whose confidence is at most epsilon from the
    beginning has nothing to lose: zeros.

    Args:
        paths: number n of walks.
        steps: the most steps of a walk.
        alpha: size of a step; the smallest where it adapts.
        beta: how far from x_t the model is asked for the slope of a step.
        alpha_max: the largest step size that adapts to the curvature (Barzilai-Borwein); None for `alpha` in all steps.
        epsilon: confidence at which a walk ends.
        pattern: of the random directions: "rademacher" (-1 and 1) or "binary" (0 and 1).
        rescale: stretch every point to the bounds before the model is asked, N(x) = lo + (hi - lo) (x - min x) /
            (max x - min x); x_t itself has no bounds then. Without, N clamps, and so does every step. Where there are
            no bounds, N changes nothing.
        absolute: take absolute values before the mean over walks, as the authors do; else A is signed.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
        seed: of the private generator; each walk has its own draws, the same for all samples.
        objective: whose gradient G is.
        preset: "reference" has the published settings, alpha 0.5, beta 0.1 and binary patterns.

    Example:
        >>> model, x = torch.nn.Linear(3, 2), torch.rand(1, 3)
        >>> found = SIGMA(paths=2, steps=4, absolute=False).explain(model, x, 1)
        >>> found.endpoint.shape, found.confidence.shape, bool(found.completeness_error.abs() < 1e-6)
        (torch.Size([1, 2, 3]), torch.Size([1, 2, 5]), True)
    """

    ABOUT: ClassVar[About] = About("loss of confidence along random walks, shared by the gradient", "DI")

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reference": {"alpha": 0.5, "beta": 0.1, "pattern": "binary"}}

    paths: int = 7
    steps: int = 1000
    alpha: float = 0.125
    beta: float = 0.05
    alpha_max: float | None = None
    epsilon: float = 0.05
    pattern: Pattern = "rademacher"
    rescale: bool = True
    absolute: bool = True
    bounds: Bounds = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("paths", self.paths)
        positive_int("steps", self.steps)
        self._rule()  # refuses what it does not accept
        fraction("epsilon", self.epsilon, end=False)
        check_bounds(self.bounds)

    def attribute(self, view: View) -> Explanation:
        """All walks of all samples side by side; one map of each walk is kept until all have ended."""
        samples, shape = len(view.inputs), view.inputs.shape[1:]
        walks = Walks.of(view.target.index[:, None].expand(-1, self.paths))
        route = self._route(view)
        start = view.inputs.to(view.dtype)
        count = len(walks.rows)
        maps, end = start.new_zeros(count, *shape), start.new_empty(count, *shape)
        confidence = start.new_full((count, self.steps + 1), torch.nan)
        now = start.new_zeros(count)
        success = torch.zeros(count, dtype=torch.bool, device=start.device)
        cancelled = torch.zeros(count, dtype=torch.long, device=start.device)
        for number, turn in in_blocks(view, start, walks, route, get_objective(self.objective), last_gradient=True):
            at = turn.places
            before, now[at] = now[at], _confidence(turn.evidence, walks.goal[at]).to(start.dtype)
            confidence[at, number] = now[at]
            if number and turn.gradient is not None:
                share, guarded = _shares(turn.gradient)
                maps.index_add_(0, at, share * (before - now[at]).view(-1, *[1] * len(shape)))
                cancelled[at] += guarded
            gone = at[turn.ended]
            end[gone], success[gone] = route.look(turn.points[turn.ended]), turn.stopped[turn.ended]
        per_sample = (samples, self.paths)
        lost = (confidence[:, 0] - now).view(per_sample).mean(1)
        maps = maps.view(*per_sample, *shape)
        signed = maps.mean(1)
        absolute = maps.abs_().mean(1)
        several = per_sample if self.paths > 1 else (samples,)
        return Explanation(
            absolute if self.absolute else signed,
            endpoint=end.view(*several, *shape),
            completeness_error=signed.flatten(1).sum(1) - lost,
            confidence=confidence.view(*several, self.steps + 1),
            success=success.view(several),
            info={
                "signed" if self.absolute else "absolute": signed if self.absolute else absolute,
                "cancelled": cancelled.view(per_sample).sum(1),
            },
        )

    def variants(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None = None,
        *,
        keys: Tensor | None = None,
        stored: Callable[[Tensor], Tensor] = lambda points: points,
        finished: Callable[[int], object] = lambda count: None,  # noqa: ARG005
    ) -> Variants:
        """The ends of the walks alone, without a gradient: 3 T + 1 forward passes per walk of T steps.

        All walks are under way at once, some twenty tensors of their size; the ended ones leave the batch.

        Args:
            model: as in `explain`, as are inputs and target.
            inputs: samples `[B, ...]`.
            target: the class whose confidence is lost.
            keys: of the random numbers of each walk, int64 `[B, n]`: the walk is then the same in every batch, and
                another one for every key. None is as in `explain`, one direction for all samples.
            stored: how samples are rounded where they are kept. The model is asked at rounded points, so that the
                confidence is that of what is kept.
            finished: is told the number of walks that have ended, as they do.

        Raises:
            ValueError: as in `explain`, and for keys of another shape.

        Example:
            >>> model, x = torch.nn.Linear(3, 2), torch.rand(2, 3)
            >>> SIGMA(paths=4, steps=3).variants(model, x, 1).samples.shape
            torch.Size([2, 4, 3])
        """
        with looking_at(model, inputs, target, self.max_batch) as view:
            every = (len(inputs), self.paths)
            if keys is not None and keys.shape != every:
                raise ArgumentError("keys", f"shape {tuple(keys.shape)}", f"one per walk, {every}")
            walks = Walks.of(view.target.index[:, None].expand(-1, self.paths), keys=keys)
            route = self._route(view)
            look = route.look
            route = replace(route, look=lambda points: stored(look(points)))
            start = view.inputs.to(view.dtype)[walks.rows]
            end, confidence = torch.empty_like(start), start.new_empty(len(start))
            steps = torch.empty_like(walks.rows)
            reached = torch.zeros_like(steps, dtype=torch.bool)
            for number, turn in enumerate(walk(view, start, walks, route, None)):
                gone = turn.places[turn.ended]
                end[gone], steps[gone] = route.look(turn.points[turn.ended]), number
                confidence[gone] = _confidence(turn.evidence[turn.ended], walks.goal[gone]).to(confidence.dtype)
                reached[gone] = turn.stopped[turn.ended]
                if len(gone):
                    finished(len(gone))
        flat = (confidence, steps, reached)
        return Variants(end.view(*every, *inputs.shape[1:]), *(values.view(every) for values in flat))

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """Per walk and step three forward passes and one backward, and one more of both where it begins."""
        return Passes(self.paths * (3 * self.steps + 1), self.paths * (self.steps + 1))

    def _rule(self) -> SPSA:
        return SPSA(self.alpha, self.beta, self.pattern, self.alpha_max)

    def _route(self, view: View) -> Route:
        bounds = get_bounds(self.bounds, view.inputs)
        look = partial(_stretched if self.rescale else _clamped, bounds=bounds)
        return Route(
            update=self._rule(),
            steps=self.steps,
            region=Region(None, None if self.rescale else bounds),
            loss=_doubt,
            stop=lambda evidence, walks: _confidence(evidence, walks.goal) <= self.epsilon,
            starts_anyway=False,
            look=look,
            seed=self.seed,
            max_batch=self.max_batch,
        )


def _confidence(evidence: Tensor, index: Tensor) -> Tensor:
    """p; the differences of two that are near to each other decide on the walk, so that half precision would not do."""
    return prob(evidence if evidence.dtype == torch.float64 else evidence.float(), index)


def _doubt(evidence: Tensor, index: Tensor) -> Tensor:
    """What the walks climb."""
    return -_confidence(evidence, index)


def _clamped(points: Tensor, bounds: tuple[float, float] | None) -> Tensor:
    return points if bounds is None else points.clamp(*bounds)


def _stretched(points: Tensor, bounds: tuple[float, float] | None) -> Tensor:
    """Each point's values, from their own range to the bounds; a constant one is clamped."""
    if bounds is None:
        return points
    low, high = bounds
    flat = points.flatten(1)
    least, most = torch.aminmax(flat, dim=1, keepdim=True)
    span = most - least
    unit = (flat - least) / torch.where(span > 0, span, 1)
    return torch.where(span > 0, low + (high - low) * unit, flat.clamp(low, high)).view_as(points)


def _shares(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """G / sum G, or |G| / sum |G| where the sum cancels, `[n, ...]`; and where it does, bool `[n]`."""
    flat = gradient.flatten(1)
    total, size = flat.sum(1, keepdim=True), flat.abs().sum(1, keepdim=True)
    cancelled = total.abs() <= _CANCELLED * size
    tiny = torch.finfo(flat.dtype).tiny
    share = torch.where(cancelled, flat.abs() / size.clamp_min(tiny), flat / torch.where(cancelled, 1, total))
    return share.view_as(gradient), cancelled[:, 0]
