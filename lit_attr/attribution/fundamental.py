"""The fundamental attribution method of ABE: any update rule, integrated.

Paper: "Attribution-Based Explainability (ABE)", 2025, section III-B, algorithm 1. Deviations: the moves are those
made after projection, and the trapezoid rule is the default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lit_attr._checks import not_negative, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.integral import WalkRule, check_walk_rule, integrate, walk_passes
from lit_attr.objectives import Objective, get_objective
from lit_attr.updates import (
    Bounds,
    Region,
    Route,
    Update,
    Walks,
    check_bounds,
    get_bounds,
    get_update,
    left_class,
)

__all__ = ["FundamentalAttribution"]


@METHODS.register("fundamental")
@dataclass(frozen=True, eq=False)
class FundamentalAttribution(Method):
    """A = - sum_t dx_t * grad f on a walk away from the input whose moves an update rule decides.

    The rule is given the gradient of the loss to climb, which is -f (or `loss`), and returns moves; a function of a
    `lit_attr.updates.Step` will do. The sum of A is f(x) - f(x_T), for any rule with small steps.

    Args:
        update: the name of an update rule, its settings with the name under `class`, or a function.
        steps: the most steps T.
        eps: the most that a feature may change; None for no limit.
        loss: what the walk descends; None is the objective, whose gradient then serves both.
        early_stop: end a walk where another class is predicted.
        rule: the end of a step at which the gradient is taken: "left", or the mean of both, "trapezoid".
        substeps: into how many parts the rule divides each step; one beyond the first costs a forward and a
            backward pass. More of them make the sum complete where steps are large.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
        seed: of the rule's random numbers.

    Example:
        A method with a rule of its own, steps that lose speed:

        >>> import torch
        >>> def slower(step):
        ...     return 0.02 * 0.9**step.number * step.ascent.sign()
        >>> method = FundamentalAttribution(update=slower, steps=5)
        >>> bool(method.explain(torch.nn.Linear(3, 2), torch.rand(1, 3)).completeness_error.abs() < 1e-3)
        True
    """

    ABOUT: ClassVar[About] = About("gradient along the walk of any update rule", "SDIC")

    update: str | Mapping[str, Any] | Update = "bim"
    steps: int = 10
    eps: float | None = None
    loss: str | Objective | None = None
    early_stop: bool = False
    rule: WalkRule = "trapezoid"
    substeps: int = 1
    bounds: Bounds = "auto"
    seed: int = 0
    objective: str | Objective = "logprob"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "update", get_update(self.update))
        positive_int("steps", self.steps)
        if self.eps is not None:
            not_negative("eps", self.eps)
        if self.loss is not None:
            get_objective(self.loss, "loss")
        check_walk_rule(self.rule)
        positive_int("substeps", self.substeps)
        check_bounds(self.bounds)

    def attribute(self, view: View) -> Explanation:
        """One walk per sample."""
        route = Route(
            update=get_update(self.update),
            steps=self.steps,
            region=Region(self.eps, get_bounds(self.bounds, view.inputs)),
            loss=None if self.loss is None else get_objective(self.loss),
            stop=left_class if self.early_stop else None,
            seed=self.seed,
            substeps=self.substeps,
            max_batch=self.max_batch,
        )
        walks = Walks.of(view.target.index[:, None], toward=-1)
        return integrate(view, view.inputs, walks, route, get_objective(self.objective), self.rule)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a step (two where the rule looks at another loss), and at the end.

        What the update rule evaluates by itself comes on top; of a plain function that is not known.
        """
        update, own_loss = get_update(self.update), self.loss is not None
        return walk_passes(1, self.steps, self.rule, own_loss=own_loss, substeps=self.substeps, update=update)
