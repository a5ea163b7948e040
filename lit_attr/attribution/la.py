"""LA: local attribution, targeted and untargeted exploration of the neighbourhood of the input.

Paper: Zhu et al., "Enhancing Model Interpretability with Local Attribution over Global Exploration", 2024.
Deviations: the neighbourhood is |x_0| / r, also for negative inputs, and a move is what is left of it after
projection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.classes import Choice, check_choice, other_classes
from lit_attr.attribution.path.integral import integrate, walk_passes
from lit_attr.objectives import Objective, get_objective, log_odds
from lit_attr.updates import Bounds, Region, Route, Step, Walks, check_bounds, get_bounds

__all__ = ["LA"]


@METHODS.register("la")
@dataclass(frozen=True, eq=False)
class LA(Method):
    """A = - sum over walks and steps of (x_{t+1} - x_0) * grad f(x_t), x_{t+1} = x_0 + s sign grad l(x_t).

    l is p_m on walks to M - 1 false classes m, and -p_y on one that leaves the explained class; f is p_y. s is
    |x_0| / r per feature, so that a feature that is zero gets nothing. Each step starts from the input again: the sum
    of A is that of first-order changes around it, not f(x) - f(x_T); `completeness_error` says how much they differ.

    Args:
        classes: number M of walks, at most K.
        steps: number of steps T of each.
        spatial_range: r.
        scale: "relative", s = |x_0| / r, or "absolute", s = 1 / r for every feature.
        walk: "reset" begins each step at the input, as in the paper; "path" goes on from where it is, inside the box,
            and is complete up to the left rule's error.
        choice: of the false classes: "top" the runners-up, "even" at equal distances by number, "random".
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
        seed: of the random choice.
        preset: "reference" is the published code: random classes.

    Example:
        >>> LA(classes=2, steps=3)(torch.nn.Linear(3, 4), torch.tensor([[0.5, 0.0, -1.0]])).ne(0)
        tensor([[ True, False,  True]])
    """

    ABOUT: ClassVar[About] = About("first-order changes around the input, on walks to other classes", "SDI")

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reference": {"choice": "random"}}

    classes: int = 20
    steps: int = 20
    spatial_range: float = 20.0
    scale: Literal["relative", "absolute"] = "relative"
    walk: Literal["reset", "path"] = "reset"
    choice: Choice = "top"
    bounds: Bounds = "auto"
    seed: int = 0
    objective: str | Objective = "prob"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("classes", self.classes)
        positive_int("steps", self.steps)
        if not self.spatial_range > 0:
            raise ArgumentError("spatial_range", self.spatial_range, "a positive number")
        one_of("scale", self.scale, ["relative", "absolute"])
        one_of("walk", self.walk, ["reset", "path"])
        check_choice(self.choice)
        check_bounds(self.bounds)

    def attribute(self, view: View) -> Explanation:
        """All walks of all samples side by side."""
        index = view.target.index
        evidence = view.evidence_at(view.inputs, view.rows, self.max_batch)
        others = other_classes(evidence, index, self.classes - 1, self.choice, self.seed)
        toward = torch.tensor([*[1.0] * others.shape[1], -1.0])
        route = Route(
            update=self._move,
            steps=self.steps,
            region=Region(self._range, get_bounds(self.bounds, view.inputs)),
            loss=log_odds,
            from_origin=self.walk == "reset",
            max_batch=self.max_batch,
        )
        walks = Walks.of(torch.cat([others, index[:, None]], dim=1), toward)
        return integrate(view, view.inputs, walks, route, get_objective(self.objective), "left")

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward for the choice; per walk and step one forward and two backward, and a forward at its end."""
        walks = walk_passes(min(self.classes, classes), self.steps, "left", own_loss=True)
        return Passes(walks.forward + 1, walks.backward)

    def _range(self, origin: Tensor) -> Tensor:
        radius = origin.abs() if self.scale == "relative" else torch.ones_like(origin)
        return radius / self.spatial_range

    def _move(self, step: Step) -> Tensor:
        return self._range(step.origin) * step.ascent.sign()
