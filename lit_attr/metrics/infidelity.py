"""Infidelity: how far an attribution is from predicting what random perturbations do to the score.

Papers: Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, arXiv 1901.09392, definition
2.1 with the optimal scale of its experiments; "Attribution-Based Explainability (ABE)", 2025, whose protocol is the
default. Code: github.com/chihkuanyeh/saliency_evaluation, github.com/LMBTough/ABE-XAI.

Deviations: the attribution is brought to length one before it is scaled, where ABE adds 1e-8 to the denominator, which
small attributions do not outweigh. All samples see the same perturbations. Squares are drawn at random, where Yeh takes
all of them, and an attribution is held against the change of the input, also within squares.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, batch_limit, not_negative_int, one_of, positive_int, unit_range
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._elements import SCORE, element_map, generator_of, moves
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._precision import wide
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.objectives import logit
from lit_attr.targets import Target

__all__ = ["Infidelity", "infidelity"]

Draw: TypeAlias = tuple[Tensor, Tensor]
"""What a perturbation keeps of a sample and what it adds, `x - I = keep * x + add`, each of the shape of a sample."""


def _chosen(shape: Sequence[int], share: float, generator: torch.Generator) -> Tensor:
    size = math.prod(shape)
    order = torch.randperm(size, generator=generator, dtype=torch.int32)  # three times as fast as of int64
    return order[: max(1, round(share * size))]


def _noisy_black(shape: Sequence[int], share: float, generator: torch.Generator) -> Draw:
    keep, add = torch.ones(math.prod(shape)), torch.zeros(math.prod(shape))
    chosen = _chosen(shape, share, generator)
    keep[chosen] = 0
    add[chosen] = (torch.randn(len(chosen), generator=generator) * -0.2).clamp(0, 1)
    return keep.view(*shape), add.view(*shape)


def _gaussian(shape: Sequence[int], sigma: float, generator: torch.Generator) -> Draw:
    return torch.ones(*shape), torch.randn(*shape, generator=generator) * -sigma


def _square(shape: Sequence[int], largest: float, generator: torch.Generator) -> Draw:
    if len(shape) != 3:
        raise ArgumentError("inputs", f"[B, {', '.join(map(str, shape))}]", "images [B, C, H, W] for squares")
    height, width = shape[1:]
    sides = torch.arange(1, min(int(largest), height, width) + 1)
    places = (height - sides + 1) * (width - sides + 1)
    number = int(torch.randint(int(places.sum()), (), generator=generator))
    which = int(torch.searchsorted(places.cumsum(0), number, right=True))
    side = int(sides[which])
    top, left = divmod(number - int(places[:which].sum()), width - side + 1)
    keep = torch.ones(*shape)
    keep[:, top : top + side, left : left + side] = 0
    return keep, torch.zeros(*shape)


def _subset(shape: Sequence[int], share: float, generator: torch.Generator) -> Draw:
    keep = torch.ones(math.prod(shape))
    keep[_chosen(shape, share, generator)] = 0
    return keep.view(*shape), torch.zeros(*shape)


class _Kind(NamedTuple):
    """A way to perturb.

    Attributes:
        draw: makes one perturbation from the shape of a sample, the amount and a generator.
        amount: its default.
        accepted: which amounts are.
        about: what it does.
    """

    draw: Callable[[Sequence[int], float, torch.Generator], Draw]
    amount: float
    accepted: str
    about: str


_BLACK = "a random share `amount` of the scalars becomes clip(-0.2 z, 0, 1), z ~ N(0, 1)"
_KINDS = {
    "abe": _Kind(_noisy_black, 1 / 3, "in (0, 1]", _BLACK),
    "yeh": _Kind(_noisy_black, 1.0, "in (0, 1]", _BLACK),
    "gaussian": _Kind(_gaussian, 0.1, "a positive number", "amount * N(0, 1) is taken off each scalar"),
    "square": _Kind(_square, 10, "a positive integer", "a square of 1 to `amount` pixels, all equally likely, is 0"),
    "subset": _Kind(_subset, 0.1, "in (0, 1]", "a random share `amount` of the scalars is 0"),
}


def infidelity(  # noqa: PLR0913 - as many as the class has settings
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    perturbation: str = "abe",
    amount: float | None = None,
    samples: int = 100,
    relative: bool = False,
    *,
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The infidelity of each sample, `[B]`; see `Infidelity`. NaN where it is undefined or something is not finite.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> attribution = model[1].weight[1].detach().view(1, 1, 4, 4).expand(2, 1, 4, 4)
        >>> bool((infidelity(model, torch.rand(2, 1, 4, 4), 1, attribution, samples=8) < 1e-9).all())
        True
    """
    metric = Infidelity(perturbation, amount, samples, relative, seed=seed, max_batch=max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("infidelity")
class Infidelity(AttributionMetric):
    r"""Mean squared error of an attribution as a linear model of the score, lower is better.

    .. math:: \text{INFD} = \min_\beta \frac{1}{K} \sum_k (d_k - \beta a_k)^2, \quad
              a_k = \langle I_k, A \rangle, \quad d_k = z_y(x) - z_y(x - I_k)

    where `z_y` is the logit of the target and `I_k` the perturbations, the same for all samples; the perturbed input is
    not clipped. `A` must be about the target that is given: a gradient-like attribution, as `I_k` carries the change of
    the input. The value does not change when `A` is multiplied by a number. With `A` = 0 it is the mean of `d_k^2`.

    In [0, inf), in squared logits, so that values of different models do not compare; `relative` divides by the mean of
    `d_k^2`, which gives 1 - cos^2(a, d) in [0, 1]. Costs K + 1 forward passes per sample, none for another attribution
    of the same evaluation.

    Args:
        perturbation: "abe", a third of all scalars becomes noisy black, as in ABE; "yeh", all of them do, as in Yeh's
            Gaussian protocol, which takes 10,000 samples; "square", a black square, as in Yeh's other; "gaussian",
            noise on everything; "subset", random scalars become 0. The first two ask for inputs in [0, 1].
        amount: how much; the share of the scalars of "abe" (1/3), "yeh" (1) and "subset" (0.1), the standard deviation
            of "gaussian" (0.1), the side of the largest "square" (10 pixels). None takes the number in brackets.
        samples: number of perturbations K.
        relative: divide by the mean of `d_k^2`.
        seed: of the private generator of perturbations.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: for an unknown perturbation or an amount that it does not take; on update, for inputs that do not
            suit it.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = Infidelity(samples=8, relative=True)
        >>> metric.update(model, torch.rand(2, 1, 4, 4), 1, torch.rand(2, 1, 4, 4))
        >>> metric.compute().shape, metric.passes.forward
        (torch.Size([]), 9)
    """

    higher_is_better = False
    UNDEFINED = "no perturbation changes the score, so there is nothing to divide by"

    def __init__(
        self,
        perturbation: str = "abe",
        amount: float | None = None,
        samples: int = 100,
        relative: bool = False,
        *,
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        one_of("perturbation", perturbation, _KINDS)
        positive_int("samples", samples)
        not_negative_int("seed", seed)
        batch_limit("max_batch", max_batch)
        self._kind = _KINDS[perturbation]
        self._amount = _checked(self._kind, self._kind.amount if amount is None else amount)
        self._samples, self._relative, self._seed, self._max_batch = samples, relative, seed, max_batch
        self._pixels = self._kind.draw is _noisy_black
        protocol = {
            "perturbation": self._kind.about,
            "amount": self._amount,
            "samples": samples,
            "seed": seed,
            "score": SCORE.format("logit"),
            "scaling": "the best factor for each sample",
            "relative": relative,
        }
        self._key = ("infidelity", self._kind, self._amount, samples, seed)
        shared = [CLEAN, Work(self._key, Passes(samples, 0), per="sample")]
        super().__init__(protocol, Passes(samples + 1, 0), shared=shared)

    def measure(self, explained: Explained) -> Reading:
        """The mean squared error of each sample at its best scale."""
        evaluation = explained.evaluation
        actual = wide(evaluation.once(self._key, lambda: self._differences(evaluation)))
        predicted = explained.once(self._key, lambda: self._predicted(explained))
        power = predicted.square().mean(1)
        scale = torch.where(power > 0, (predicted * actual).mean(1) / power, 0)
        error = (actual - scale[:, None] * predicted).square().mean(1)
        if not self._relative:
            return Reading(error)
        changed = moves(actual, logit(evaluation.evidence, evaluation.target.index))
        return Reading(error / actual.square().mean(1), defined=changed)

    def _differences(self, evaluation: Evaluation) -> Tensor:
        """How much each perturbation takes off the score, `[B, K]`; draw after draw, each made once for a chunk."""
        clean = logit(evaluation.evidence, evaluation.target.index)
        with evaluation.view() as view, torch.no_grad():
            samples = len(view.inputs)
            if self._pixels:
                unit_range("inputs", view.inputs, "put the normalisation into the model, or take another perturbation")
            scores = clean.new_empty(self._samples * samples)

            def work(start: int, stop: int) -> None:
                rows = torch.arange(start, stop, device=view.inputs.device) % samples
                points = view.inputs[rows]  # a copy, in the memory format of the inputs
                for k in range(start // samples, (stop - 1) // samples + 1):
                    keep, add = self._draw(k, view.inputs)
                    points[max(0, k * samples - start) : (k + 1) * samples - start].mul_(keep).add_(add)
                scores[start:stop] = view.score(view.evidence(points, rows), rows, logit)

            in_chunks(len(scores), view.inputs, self._max_batch, work)
        return clean[:, None] - scores.view(self._samples, samples).T

    def _predicted(self, explained: Explained) -> Tensor:
        """What the attribution, at length one, says that each perturbation takes off, `[B, K]`."""
        inputs = explained.evaluation.inputs
        attribution = element_map(explained).flatten(1)
        attribution = attribution / attribution.abs().amax(1, keepdim=True)  # squares of small numbers are zero
        attribution = nn.functional.normalize(attribution.where(attribution.isfinite(), 0), eps=0.5)
        weighted, found = attribution * wide(inputs).flatten(1), []
        for k in range(self._samples):
            keep, add = (wide(part).flatten() for part in self._draw(k, inputs))
            found.append(weighted @ (1 - keep) - attribution @ add)
        return torch.stack(found, dim=1)

    def _draw(self, number: int, inputs: Tensor) -> Draw:
        """One perturbation, from a source of its own."""
        keep, add = self._kind.draw(inputs.shape[1:], self._amount, generator_of(self._seed, number))
        return keep.to(inputs), add.to(inputs)


def _checked(kind: _Kind, amount: float) -> float:
    good = isinstance(amount, int | float) and not isinstance(amount, bool) and 0 < amount < math.inf
    if kind.accepted == "in (0, 1]":
        good = good and amount <= 1
    elif kind.accepted == "a positive integer":
        good = good and float(amount).is_integer()
    if not good:
        raise ArgumentError("amount", amount, kind.accepted)
    return amount
