"""LAAI: label-agnostic attribution, the growth of uncertainty on walks away from the input.

Paper: "LAAI", submission to ICLR, section 3. Deviation: the sign of equation 5, with which the attribution is positive
where the model becomes less certain; the paper's algorithm 2 prints the opposite.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from lit_attr._checks import not_negative, one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.classes import Choice, check_choice, other_classes
from lit_attr.attribution.path.integral import WalkRule, check_walk_rule, integrate, walk_passes
from lit_attr.objectives import Objective, get_objective, log_odds
from lit_attr.updates import BIM, Bounds, Region, Route, Walks, check_bounds, get_bounds

__all__ = ["LAAI"]


@METHODS.register("laai")
@dataclass(frozen=True, eq=False)
class LAAI(Method):
    """A = sum over classes m and steps of dx_t * grad S on the walks x_{t+1} = x_t + alpha sign grad log p_m(x_t).

    S(x) = sum_j log p_j(x), largest where all classes are equally likely; the objective is f = -S, the certainty. No
    label enters: `target` changes nothing but `Explanation.confidence`. The sum of A is the sum over m of
    f(x) - f(x_T of m).

    Args:
        explorations: number M of classes to walk to, at most K - 1: all but the predicted one.
        steps: number of steps T of a walk.
        alpha: step per feature, in units of the input (eta in the paper).
        direction: "targeted" walks to M classes; "entropy" walks up S itself, one walk.
        choice: of the classes: "top" the runners-up, "even" at equal distances by number, "random".
        rule: the end of a step at which the gradient is taken: "left", or the mean of both, "trapezoid".
        substeps: into how many parts the rule divides each step; one beyond the first costs a forward and a
            backward pass. More of them make the sum complete where steps are large.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
        seed: of the random choice.

    Example:
        >>> import torch
        >>> model, x = torch.nn.Linear(3, 4), torch.rand(2, 3)
        >>> method = LAAI(explorations=2, steps=4)
        >>> torch.equal(method(model, x, 0), method(model, x, 3))
        True
    """

    ABOUT: ClassVar[About] = About("growth of uncertainty along walks to other classes, of no label", "SDIC")

    explorations: int = 20
    steps: int = 20
    alpha: float = 1 / 255
    direction: Literal["targeted", "entropy"] = "targeted"
    choice: Choice = "top"
    rule: WalkRule = "trapezoid"
    substeps: int = 1
    bounds: Bounds = "auto"
    seed: int = 0
    objective: str | Objective = "certainty"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("explorations", self.explorations)
        positive_int("steps", self.steps)
        not_negative("alpha", self.alpha)
        one_of("direction", self.direction, ["targeted", "entropy"])
        check_choice(self.choice)
        check_walk_rule(self.rule)
        positive_int("substeps", self.substeps)
        check_bounds(self.bounds)

    def attribute(self, view: View) -> Explanation:
        """All walks of all samples side by side."""
        targeted = self.direction == "targeted"
        goals = view.target.index[:, None]
        if targeted:
            evidence = view.evidence_at(view.inputs, view.rows, self.max_batch)
            goals = other_classes(evidence, evidence.argmax(1), self.explorations, self.choice, self.seed)
        route = Route(
            update=BIM(self.alpha),
            steps=self.steps,
            region=Region(None, get_bounds(self.bounds, view.inputs)),
            loss=log_odds if targeted else None,
            substeps=self.substeps,
            max_batch=self.max_batch,
        )
        objective = get_objective(self.objective)
        walks = Walks.of(goals, toward=1.0 if targeted else -1.0)  # to the classes, or down the certainty
        return integrate(view, view.inputs, walks, route, objective, self.rule)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward for the choice; per class and step one forward and two backward, and at the end of a walk."""
        if self.direction == "entropy":
            return walk_passes(1, self.steps, self.rule, own_loss=False, substeps=self.substeps)
        count = min(self.explorations, classes - 1)
        walks = walk_passes(count, self.steps, self.rule, own_loss=True, substeps=self.substeps)
        return Passes(walks.forward + 1, walks.backward)
