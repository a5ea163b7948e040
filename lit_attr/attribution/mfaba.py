"""MFABA: the gradient along a walk to the decision boundary.

Paper: Zhu et al., "MFABA: A More Faithful and Accelerated Boundary-based Attribution Method for Deep Neural
Networks", 2024. Deviations: the trapezoid of the paper's second-order argument is the default (its published code
takes the left end of each step), moves are those made after projection, and every sample stops for itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lit_attr._checks import not_negative, one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.integral import WalkRule, check_walk_rule, integrate, walk_passes
from lit_attr.objectives import Objective, get_objective
from lit_attr.updates import (
    BIM,
    Bounds,
    L2Step,
    Region,
    Route,
    Update,
    Walks,
    check_bounds,
    fitted,
    get_bounds,
    left_class,
)

__all__ = ["MFABA"]


@METHODS.register("mfaba")
@dataclass(frozen=True, eq=False)
class MFABA(Method):
    """A = - sum_t dx_t * (grad f(x_t) + grad f(x_{t+1})) / 2 on the walk x_{t+1} = x_t - alpha sign grad f(x_t).

    The sum of A is f(x) - f(x_T). `explain` tells which samples left the explained class (`success`).

    Args:
        steps: the most steps T.
        alpha: step per feature, in units of the input; for `variant="sharp"` the Euclidean length of a step. None is
            2/255, or 0.1 if sharp.
        eps: the most that a feature may change; None for no limit.
        variant: "smooth" steps by the sign of the gradient, "sharp" by the gradient scaled to length `alpha`.
        update: another update rule: its name, its settings with the name under `class`, or a function of a
            `lit_attr.updates.Step`. It steps as `variant` says, and its steps are `alpha` long, unless its settings
            say otherwise (see `lit_attr.updates.fitted`). None is MFABA's own.
        early_stop: end a walk where another class is predicted.
        rule: the end of a step at which the gradient is taken: "left", or the mean of both, "trapezoid".
        substeps: into how many parts the rule divides each step; one beyond the first costs a forward and a
            backward pass. More of them make the sum complete where steps are large.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
        seed: of the random numbers of an `update` that draws some.
        preset: "reference" is the published code: left rule, 50 sharp steps of 0.1 without limit, objective "prob".

    Example:
        >>> import torch
        >>> model, x = torch.nn.Linear(3, 2), torch.rand(1, 3)
        >>> found = MFABA(steps=5, objective="logit").explain(model, x, 1)
        >>> bool(found.completeness_error.abs() < 1e-5)
        True
    """

    ABOUT: ClassVar[About] = About("gradient along a walk to the decision boundary", "SDIC")

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "reference": {
            "steps": 50,
            "eps": None,
            "variant": "sharp",
            "rule": "left",
            "objective": "prob",
        }
    }

    steps: int = 40
    alpha: float | None = None
    eps: float | None = 80 / 255
    variant: Literal["smooth", "sharp"] = "smooth"
    update: str | Mapping[str, Any] | Update | None = None
    early_stop: bool = True
    rule: WalkRule = "trapezoid"
    substeps: int = 1
    bounds: Bounds = "auto"
    seed: int = 0
    objective: str | Objective = "logprob"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("steps", self.steps)
        not_negative("alpha", self._alpha)
        if self.eps is not None:
            not_negative("eps", self.eps)
        one_of("variant", self.variant, ["smooth", "sharp"])
        self._update()  # refuses what it does not accept
        check_walk_rule(self.rule)
        positive_int("substeps", self.substeps)
        check_bounds(self.bounds)

    @property
    def _alpha(self) -> float:
        return (2 / 255 if self.variant == "smooth" else 0.1) if self.alpha is None else self.alpha

    def attribute(self, view: View) -> Explanation:
        """One walk per sample, down the objective."""
        route = Route(
            update=self._update(),
            steps=self.steps,
            region=Region(self.eps, get_bounds(self.bounds, view.inputs)),
            stop=left_class if self.early_stop else None,
            seed=self.seed,
            substeps=self.substeps,
            max_batch=self.max_batch,
        )
        walks = Walks.of(view.target.index[:, None], toward=-1)
        return integrate(view, view.inputs, walks, route, get_objective(self.objective), self.rule)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a step, and at the end for the trapezoid; fewer where a walk stops.

        What another update rule evaluates by itself comes on top; of a plain function that is not known.
        """
        update = self._update()
        return walk_passes(1, self.steps, self.rule, own_loss=False, substeps=self.substeps, update=update)

    def _update(self) -> Update:
        smooth = self.variant == "smooth"
        if self.update is None:
            return BIM(self._alpha) if smooth else L2Step(self._alpha)
        return fitted(self.update, alpha=self._alpha, norm="linf" if smooth else "l2", eps=self.eps)
