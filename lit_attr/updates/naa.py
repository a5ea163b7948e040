"""NAA: steps that take from the neurons of a layer what they contribute to a class.

Paper: Zhang et al., "Improving Adversarial Transferability via Neuron Attribution-Based Attacks", 2022, sections 3.2
and 3.3, with linear transformations of positive and negative attributions. The weights are normalised as in its code,
which is of no account for the direction.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative, positive_int
from lit_attr._chunks import in_chunks
from lit_attr._places import at_layer, uncompiled, watching
from lit_attr._view import Passes
from lit_attr.objectives import Objective, prob
from lit_attr.updates.iterative import IterativeRule
from lit_attr.updates.rules import UPDATES, unit
from lit_attr.updates.step import Step

__all__ = ["NAA"]


@UPDATES.register("naa")
@dataclass(frozen=True)
class NAA(IterativeRule):
    """The neuron attribution-based attack: g = +-grad (sum A^+ + gamma sum A^-), A = (Y(x_t) - Y(0)) * W.

    Y is the output of a layer and W = sum_n dp_y/dY at (1 - n / N) (x_0 + noise n'), n = 0, ..., N - 1, n' normal,
    scaled to the Euclidean length one. A walk that leaves its class y makes the sum smaller, one that goes to it
    larger; its loss is not looked at. W and Y(0) are found in the first step and remembered as "weights" and
    "features", the number of the layer among the model's modules as "layer". Each step then costs one forward pass and
    a backward pass from Y. Where p_y has no gradient there is no move.

    Args:
        layer: dotted name of a submodule with places: output `[B, C, h, w]`, `[B, h, w, C]` or tokens `[B, h*w, C]`.
            One in the middle is usual, of a residual network "layer2". None takes the last one, as `GradCAM` does.
        copies: how many points between the image and black give the weights, N.
        noise: standard deviation of the noise of these points, in units of the input.
        gamma: weight of the neurons that speak against the class.

    Raises:
        ValueError: for what is no image, and if the layer does not exist or has no places.
    """

    IMAGES: ClassVar[bool] = True

    momentum: float = 1.0
    layer: str | None = None
    copies: int = 30
    noise: float = 0.1
    gamma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.layer, str | None):
            raise ArgumentError("layer", self.layer, "the name of a submodule, or None")
        positive_int("copies", self.copies)
        not_negative("noise", self.noise)
        not_negative("gamma", self.gamma)

    @property
    def guided(self) -> bool:
        """The loss is not looked at."""
        return False

    @property
    def once(self) -> Passes:
        """A forward and a backward pass a copy, and a forward pass of the black image.

        Where no layer is named, more at the first copy of some models: see `GradCAM.cost`.
        """
        return Passes(self.copies + 1, self.copies)

    def gradient(self, step: Step, ahead: Tensor | float) -> Tensor:
        """That of the attributions."""
        if "weights" not in step.memory:
            self._weigh(step)
        return self.mean(replace(step, ascents=partial(self._ascents, step)), ahead, self.copy, self.count)

    def _weigh(self, step: Step) -> None:
        """Find what is remembered."""
        walks, view, black = step.walks, step.view, torch.zeros_like(step.origin)
        layer, size, weights = self.layer, max(1, step.together // len(black)), list[Tensor]()

        def work(places: Tensor, points: Tensor) -> Tensor:
            nonlocal layer
            goal = walks.goal[places]
            found = at_layer(view, points, walks.rows[places], lambda evidence: prob(evidence, goal), layer, "NAA")
            layer = found.name
            return found.gradient.to(view.dtype)

        for first in range(0, self.copies, size):
            numbers = range(first, min(first + size, self.copies))
            sets = torch.cat([(1 - n / self.copies) * (step.origin + self.noise * step.normal()) for n in numbers])
            found = _chunked(step, sets, work)
            part = found.view(len(numbers), len(black), *found.shape[1:]).sum(0)
            weights = [part + weights[0]] if weights else [part]
        with torch.no_grad():
            features = _chunked(step, black, partial(_features, step, str(layer)))
        number = torch.full((len(black),), _modules(step).index(str(layer)), device=black.device)
        step.memory.update(weights=unit(weights[0]), features=features, layer=number)

    def _ascents(self, step: Step, points: Tensor, _: Objective | None) -> Tensor:
        """The gradient of the attributions at k sets of points, `[k N, ...]`."""
        memory, walks, view = step.memory, step.walks, step.view
        layer = _modules(step)[int(memory["layer"][0])]

        def work(places: Tensor, points: Tensor) -> Tensor:
            points = points.requires_grad_()
            features = _features(step, layer, places, points)
            attributions = (features - memory["features"][places]) * memory["weights"][places]
            attributions = torch.where(attributions > 0, attributions, self.gamma * attributions)
            (found,) = view.derive(walks.toward[places] * attributions.flatten(1).sum(1), points)
            return found

        return _chunked(step, points, work)


def _modules(step: Step) -> list[str]:
    return [name for name, _ in uncompiled(step.view.model).named_modules()]


def _features(step: Step, layer: str, places: Tensor, points: Tensor) -> Tensor:
    """The output of the layer at points of the walks at these places."""
    with watching(step.view.model, points.shape, layer) as named:
        step.view.evidence(points, step.walks.rows[places])
    features: Tensor = named.output
    return features


def _chunked(step: Step, points: Tensor, work: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """What `work` makes of the places of walks and of points, for k sets of points `[k N, ...]`, some at a time."""
    found: list[Tensor] = []

    def chunk(first: int, stop: int) -> None:
        places = torch.arange(first, stop, device=points.device) % len(step.points)
        found.append(work(places, points[first:stop].detach().to(step.view.inputs.dtype)))

    in_chunks(len(points), step.view.inputs, step.together, chunk)
    return torch.cat(found)
