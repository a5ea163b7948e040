"""AttEXplore: the gradient along a walk that is found on copies of the input with other frequencies.

Paper: Zhu et al., "AttEXplore: Attribution for Explanation with Model Parameters eXploration", 2024. Deviations: the
walk makes the explained class less likely, as the paper's adversarial setting asks (its code makes it more likely);
momentum lasts along the walk (ABE's code starts it anew at every step); and what is summed is the gradient of the
objective, which is complete and gives nothing to features that the model does not use. The published code sums what
the walk follows, a normalised and smoothed gradient with momentum: `accumulate="surrogate"`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from lit_attr._checks import ArgumentError, not_negative, one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.integral import WalkRule, check_walk_rule, integrate, walk_passes
from lit_attr.objectives import Objective, get_objective
from lit_attr.updates import (
    Bounds,
    IterativeRule,
    Region,
    Route,
    Update,
    Walks,
    check_bounds,
    fitted,
    get_bounds,
)

__all__ = ["AttEXplore"]

_OF_COPIES = ("copies", "rho", "sigma", "momentum", "diversity", "smoothing")  # the settings of SSA


@METHODS.register("attexplore")
@dataclass(frozen=True, eq=False)
class AttEXplore(Method):
    """A = - sum_t dx_t * (grad f(x_t) + grad f(x_{t+1})) / 2 on the walk x_{t+1} = x_t - eps / T sign v_t.

    v_t is a mean of normalised gradients of f at copies of x_t, x_{t-1}, ... whose frequencies vary (see
    `lit_attr.updates.SSA`): a direction that would lower f in similar models too. The sum of A is f(x) - f(x_T).

    Args:
        steps: number of steps T.
        copies: of each point, N; the gradients at these are the cost of the method.
        eps: the most that a feature changes: eps / T a step.
        rho: by how much each frequency of a copy varies, in [0, 1].
        sigma: standard deviation of a copy's noise, in units of the input.
        momentum: share of the gradients of earlier steps; 0 for none.
        diversity: probability with which a copy is resized and moved.
        smoothing: side in pixels of the Gaussian that smooths gradients, odd; 1 for none.
        update: the update rule: its name, its settings with the name under `class`, or a function of a
            `lit_attr.updates.Step`. Another one than "ssa" takes the place of the copies: its steps are eps / T long,
            and of the settings `copies` to `smoothing` it takes those that differ from the defaults, unless its own
            settings say otherwise (see `lit_attr.updates.fitted`).
        accumulate: "gradient" sums that of f; "surrogate" sums v_t itself, which is cheaper by one backward pass a
            step, has no unit, is not complete, and as it is smoothed and resized gives something to unused pixels;
            of update rules that have a v_t (see `lit_attr.updates.IterativeRule`).
        rule: of "gradient", the end of a step at which it is taken: "left", or the mean of both, "trapezoid".
        substeps: of "gradient", into how many parts the rule divides each step; one beyond the first costs a forward
            and a backward pass. More of them make the sum complete where steps are large.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.
        seed: of the copies.
        preset: "reference" sums as the published code does.

    Inputs that are no images `[B, C, H, W]` have noisy copies only: `rho`, `diversity` and `smoothing` do nothing.

    Example:
        >>> import torch
        >>> model, x = torch.nn.Linear(3, 2), torch.rand(1, 3)
        >>> found = AttEXplore(copies=4, objective="logit").explain(model, x, 1)
        >>> bool(found.completeness_error.abs() < 1e-5), found.passes
        (True, Passes(forward=51.0, backward=51.0))
    """

    ABOUT: ClassVar[About] = About("gradient along a walk found on copies with other frequencies", "SDIC")

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reference": {"accumulate": "surrogate"}}

    steps: int = 10
    copies: int = 20
    eps: float = 16 / 255
    rho: float = 0.5
    sigma: float = 16 / 255
    momentum: float = 1.0
    diversity: float = 0.5
    smoothing: int = 7
    update: str | Mapping[str, Any] | Update = "ssa"
    accumulate: Literal["gradient", "surrogate"] = "gradient"
    rule: WalkRule = "trapezoid"
    substeps: int = 1
    bounds: Bounds = "auto"
    seed: int = 0
    objective: str | Objective = "logprob"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("steps", self.steps)
        not_negative("eps", self.eps)
        update = self._update()  # refuses what it does not accept
        one_of("accumulate", self.accumulate, ["gradient", "surrogate"])
        if self.accumulate == "surrogate" and not isinstance(update, IterativeRule):
            raise ArgumentError("update", self.update, "a rule with a velocity for accumulate='surrogate'")
        check_walk_rule(self.rule)
        positive_int("substeps", self.substeps)
        if self.accumulate == "surrogate" and self.substeps > 1:
            raise ArgumentError("substeps", self.substeps, "1 with accumulate='surrogate', which has no gradient there")
        check_bounds(self.bounds)

    def attribute(self, view: View) -> Explanation:
        """One walk per sample, down the objective."""
        objective, surrogate = get_objective(self.objective), self.accumulate == "surrogate"
        update = self._update()
        route = Route(
            update=update,
            steps=self.steps,
            region=Region(self.eps, get_bounds(self.bounds, view.inputs)),
            loss=objective if surrogate and getattr(update, "loss", None) is None else None,
            seed=self.seed,
            substeps=self.substeps,
            max_batch=self.max_batch,
        )
        walks = Walks.of(view.target.index[:, None], toward=-1)
        if surrogate:
            return integrate(view, view.inputs, walks, route, None, "left", surrogate="velocity")
        return integrate(view, view.inputs, walks, route, objective, self.rule)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a copy and step, and both at the walk's points (see `accumulate`).

        With another update rule, what that evaluates instead of the copies; of a plain function it is not known.
        """
        update = self._update()
        found = walk_passes(1, self.steps, self.rule, own_loss=False, substeps=self.substeps, update=update)
        if self.accumulate == "surrogate" and isinstance(update, IterativeRule):
            backward = update.once.backward + self.steps * (update.passes.backward + update.guided)
            return Passes(found.forward, backward)
        return found

    def _update(self) -> Update:
        defaults = {field.name: field.default for field in fields(self)}
        wanted = {name: getattr(self, name) for name in _OF_COPIES if getattr(self, name) != defaults[name]}
        return fitted(self.update, alpha=self.eps / self.steps, eps=self.eps, wanted=wanted)
