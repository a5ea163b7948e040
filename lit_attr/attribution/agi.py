"""AGI: walks from the input to other classes, each integrated.

Paper: Pan, Li, Zhu, "Explaining Deep Neural Network Models with Adversarial Gradient Integration", 2021. Deviation:
the published code begins every step at the input again, so that step and gradient belong to different places
(`walk="reset"`); here the walk goes on from where it is, as the paper has it, and moves are those made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lit_attr._checks import ArgumentError, not_negative, one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.classes import Choice, check_choice, other_classes
from lit_attr.attribution.path.integral import WalkRule, check_walk_rule, integrate, walk_passes
from lit_attr.objectives import Objective, get_objective, log_odds
from lit_attr.updates import BIM, Bounds, Region, Route, Walks, at_goal, check_bounds, get_bounds

__all__ = ["AGI"]


@METHODS.register("agi")
@dataclass(frozen=True, eq=False)
class AGI(Method):
    """A = - sum over classes m and steps of dx_t * grad f on the walks x_{t+1} = x_t + alpha sign grad p_m(x_t).

    f is the explained class's probability. The sum of A is the sum over m of f(x) - f(x_T of m). `explain` tells which
    walks reached their class (`success`, `[B, M]`); one to a class that is predicted already goes all steps.

    Args:
        classes: number M of false classes, at most K - 1.
        steps: the most steps T of a walk; it ends where its class is predicted.
        alpha: step per feature, in units of the input (epsilon in the paper).
        choice: of the false classes: "top" the runners-up, "even" at equal distances by number, "random".
        walk: "path" goes on from where it is; "reset" begins each step at the input.
        rule: the end of a step at which the gradient is taken: "left", or the mean of both, "trapezoid".
        substeps: into how many parts the rule divides each step; one beyond the first costs a forward and a
            backward pass. More of them make the sum complete where steps are large.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
        seed: of the random choice.
        preset: "reference" is the published code: reset, left rule, alpha 0.05, random classes.

    Example:
        >>> import torch
        >>> AGI(classes=2, steps=3).explain(torch.nn.Linear(3, 4), torch.rand(1, 3)).endpoint.shape
        torch.Size([1, 2, 3])
    """

    ABOUT: ClassVar[About] = About("gradient along walks to other classes", "SDIC")

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "reference": {"alpha": 0.05, "walk": "reset", "rule": "left", "choice": "random"}
    }

    classes: int = 20
    steps: int = 20
    alpha: float = 16 / 255
    choice: Choice = "top"
    walk: Literal["path", "reset"] = "path"
    rule: WalkRule = "trapezoid"
    substeps: int = 1
    bounds: Bounds = "auto"
    seed: int = 0
    objective: str | Objective = "prob"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("classes", self.classes)
        positive_int("steps", self.steps)
        not_negative("alpha", self.alpha)
        check_choice(self.choice)
        one_of("walk", self.walk, ["path", "reset"])
        check_walk_rule(self.rule)
        positive_int("substeps", self.substeps)
        if self.walk == "reset" and self.rule != "left":
            raise ArgumentError("rule", self.rule, "'left' with walk='reset', whose moves do not join")
        if self.walk == "reset" and self.substeps > 1:
            raise ArgumentError("substeps", self.substeps, "1 with walk='reset', whose moves do not join")
        check_bounds(self.bounds)

    def attribute(self, view: View) -> Explanation:
        """All walks of all samples side by side."""
        evidence = view.evidence_at(view.inputs, view.rows, self.max_batch)
        goals = other_classes(evidence, view.target.index, self.classes, self.choice, self.seed)
        route = Route(
            update=BIM(self.alpha),
            steps=self.steps,
            region=Region(None, get_bounds(self.bounds, view.inputs)),
            loss=log_odds,  # its gradient has the sign of that of p_m, and is not lost where p_m is near 0 or 1
            stop=at_goal,
            from_origin=self.walk == "reset",
            substeps=self.substeps,
            max_batch=self.max_batch,
        )
        return integrate(view, view.inputs, Walks.of(goals), route, get_objective(self.objective), self.rule)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward for the choice; per class and step one forward and two backward; fewer where walks stop."""
        count = min(self.classes, classes - 1)
        walks = walk_passes(count, self.steps, self.rule, own_loss=True, substeps=self.substeps)
        return Passes(walks.forward + 1, walks.backward)
