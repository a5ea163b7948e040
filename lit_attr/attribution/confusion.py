"""The confusion feature: the colour about which a model is least certain.

Paper: "LAAI", submission to ICLR, section 3.2, algorithm 1 (CFA). Deviation: the search climbs S, as appendix A derives
it; equation 4 and algorithm 1 print a minus, which leads to colours that the model is certain about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, batch_limit, not_negative, positive_int
from lit_attr._chunks import default_chunk
from lit_attr._view import Passes, looking_at
from lit_attr.attribution._method import CLASSES, SHAPE
from lit_attr.objectives import sum_logprob
from lit_attr.updates import Region, Route, Step, Walks, walk

__all__ = ["Confusion", "ConfusionFeature"]


class Confusion(NamedTuple):
    """What the search found.

    Attributes:
        colour: the candidate with the largest entropy, `[C, 1, 1]`, of the model's dtype and device.
        entropy: of the model's probabilities for an image of it, in [0, log K].
        candidates: every point of every restart, `[R, T + 1, C]`.
        entropies: of these, `[R, T + 1]`.
    """

    colour: Tensor
    entropy: float
    candidates: Tensor
    entropies: Tensor


@dataclass(frozen=True, kw_only=True)
class ConfusionFeature:
    """The colour c in [0, 1]^C whose image r(c), c in every pixel, has the largest entropy H(softmax(z(r(c)))).

    A baseline for path methods and a fill for metrics that says nothing for any class, instead of a black that a model
    may well have an opinion about. From random colours, c <- clip(c + alpha_t sign grad S(r(c))) with S(c) =
    sum_j log p_j, which is largest where H is; of all colours on the way the one with the largest H is taken. The
    step is alpha in the first half of the steps, alpha / 2 and alpha / 4 in the last two quarters.

    A result is kept as long as the model lives and its parameters and buffers stay what they are.

    Args:
        restarts: number R of random colours to start from.
        steps: number of steps T from each.
        alpha: the first step per channel.
        seed: of the random colours.
        max_batch: the most images at once; None chooses from the device and their size. The result does not depend
            on it.

    Example:
        >>> from lit_attr.attribution import IntegratedGradients
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 5))
        >>> colour = ConfusionFeature(restarts=4)(model, (3, 4, 4))
        >>> colour.shape
        torch.Size([3, 1, 1])
        >>> IntegratedGradients(baseline=colour)(model, torch.rand(2, 3, 4, 4)).shape
        torch.Size([2, 3, 4, 4])
    """

    restarts: int = 20
    steps: int = 20
    alpha: float = 0.05
    seed: int = 0
    max_batch: int | None = None

    def __post_init__(self) -> None:
        positive_int("restarts", self.restarts)
        positive_int("steps", self.steps)
        not_negative("alpha", self.alpha)
        batch_limit("max_batch", self.max_batch)

    def __call__(self, model: nn.Module, shape: Sequence[int] = SHAPE) -> Tensor:
        """The colour alone, `[C, 1, 1]`; see `find`."""
        with torch.inference_mode(False):  # of use outside, too
            return self.find(model, shape).colour.clone()

    def find(self, model: nn.Module, shape: Sequence[int] = SHAPE) -> Confusion:
        """The colour, and all that was tried.

        Args:
            model: any module that gives logits for images in [0, 1], with the normalisation inside (see
                `lit_attr.targets.logits_of`). It is evaluated in eval mode and nothing in it is changed.
            shape: of an image, `(C, H, W)`.

        Raises:
            ArgumentError: for another shape.
        """
        shape = tuple(shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ArgumentError("shape", shape, "the shape (C, H, W) of an image")
        kept = _KEPT.setdefault(model, {})
        state, found = kept.get((self, shape), (None, None))
        if found is None or state != _state(model):
            found = self._search(model, shape)
            kept[self, shape] = _state(model), found
        return found

    def passes(self, shape: Sequence[int] = SHAPE, classes: int = CLASSES) -> Passes:
        """Passes per model, not per sample: one forward a candidate, one backward a step."""
        return Passes(self.restarts * (self.steps + 1), self.restarts * self.steps)

    def _search(self, model: nn.Module, shape: tuple[int, ...]) -> Confusion:
        like = next((tensor for tensor in model.parameters() if tensor.is_floating_point()), torch.zeros(()))
        generator = torch.Generator().manual_seed(self.seed)
        start = torch.rand(self.restarts, shape[0], generator=generator).to(like.device, like.dtype)
        route = Route(
            update=self._move,
            steps=self.steps,
            region=Region(None, (0.0, 1.0)),
            loss=sum_logprob,
            max_batch=self.max_batch or default_chunk(start.new_empty(1, *shape)),
        )
        colours, entropies = [], []
        with looking_at(_OfColours(model, shape), start, 0) as view:
            walks = Walks.of(view.target.index[:, None])
            for turn in walk(view, view.inputs.to(view.dtype), walks, route, None):
                colours.append(turn.points)
                entropies.append(torch.special.entr(turn.evidence.softmax(1)).sum(1))
            candidates, found = torch.stack(colours, 1), torch.stack(entropies, 1)
            best = int(found.argmax())
            colour = candidates.flatten(0, 1)[best].to(like.dtype)[:, None, None]
            return Confusion(colour, float(found.flatten()[best]), candidates, found)

    def _move(self, step: Step) -> Tensor:
        halved = int(step.number >= self.steps / 2) + int(step.number >= self.steps * 3 / 4)
        return self.alpha * 0.5**halved * step.ascent.sign()


class _OfColours(nn.Module):
    """A model of images as one of colours `[N, C]`."""

    def __init__(self, model: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.size = shape[1:]

    def forward(self, colours: Tensor) -> Any:
        return self.model(colours[:, :, None, None].repeat(1, 1, *self.size))


def _state(model: nn.Module) -> "_State":
    """What differs once a parameter or buffer was replaced or written.

    Sums, because fused optimizers and Lightning's weight averaging write without counting a version.
    """
    tensors = [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]
    return [
        (
            tensor.data_ptr(),
            0 if tensor.is_inference() else tensor._version,
            float((tensor.abs() if tensor.is_complex() else tensor).sum(dtype=torch.float64)),
        )
        for tensor in tensors
    ]


_State: TypeAlias = list[tuple[int, int, float]]
_KEPT: WeakKeyDictionary[nn.Module, dict[tuple[ConfusionFeature, tuple[int, ...]], tuple[_State, Confusion]]]
_KEPT = WeakKeyDictionary()
