"""BIG: Integrated Gradients from the nearest point of the decision boundary.

Paper: Wang, Fredrikson, Datta, "Robust Models Are More Interpretable Because Attributions Look Normal", 2022.
Deviations: one walk of small steps, ended where the class changes and bisected, instead of attacks with growing
radii, of which the published codes keep failures; the quadrature is that of `IntegratedGradients`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from lit_attr._checks import not_negative, not_negative_int, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.integrated_gradients import IntegratedGradients
from lit_attr.attribution.path.quadrature import Rule
from lit_attr.objectives import log_odds
from lit_attr.updates import BIM, Bounds, Region, Route, Walks, check_bounds, get_bounds, in_blocks, left_class

__all__ = ["BIG"]


@METHODS.register("big")
@dataclass(frozen=True, eq=False)
class BIG(Method):
    """A = (x - x') * integral over a in [0, 1] of grad f(x' + a (x - x')), x' on the decision boundary.

    The boundary is searched along x_{t+1} = x_t - alpha sign grad log p_y(x_t): the first x_t at which another class
    is predicted, and then, by bisection of the last step, the nearest such point to x_{t-1}. The sum of A is
    f(x) - f(x'). `explain` tells x' (`endpoint`) and which samples have one (`success`): a sample without, because its
    walk stays in the class or because another class is predicted from the beginning, is explained from the end of its
    walk, with a warning.

    Args:
        steps: intervals of the quadrature.
        rule: quadrature rule (see `lit_attr.attribution.path.quadrature`).
        search_steps: the most steps of the search.
        alpha: step of the search per feature, in units of the input.
        bisections: of the last step; x' is nearer to the boundary than `alpha / 2**bisections` in every feature.
        bounds: the range of the inputs; "auto" is [0, 1] for images, none for anything else.

    Example:
        >>> model = torch.nn.Linear(1, 2)
        >>> model.load_state_dict({"weight": torch.tensor([[1.0], [-1.0]]), "bias": torch.zeros(2)})
        <All keys matched successfully>
        >>> found = BIG(alpha=0.1).explain(model, torch.tensor([[0.55]]), 0)
        >>> found.success, bool(-1e-4 < found.endpoint < 0), bool(found.completeness_error.abs() < 1e-6)
        (tensor([True]), True, True)
    """

    ABOUT: ClassVar[About] = About("gradient along the line from the decision boundary", "SDIC")

    steps: int = 50
    rule: Rule = "gauss-legendre"
    search_steps: int = 100
    alpha: float = 1 / 255
    bisections: int = 10
    bounds: Bounds = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._integral(0.0)  # refuses what it does not accept
        positive_int("search_steps", self.search_steps)
        not_negative("alpha", self.alpha)
        not_negative_int("bisections", self.bisections)
        check_bounds(self.bounds)

    def attribute(self, view: View) -> Explanation:
        """The search, all samples side by side, then all points of all lines."""
        inside, outside, found = self._search(view)
        lost = int((~found).sum())
        if lost:
            msg = (
                f"BIG found no boundary of the explained class for {lost} of {len(found)} samples, within "
                f"{self.search_steps} steps of {self.alpha:.3g}; see `Explanation.success`"
            )
            warnings.warn(msg, stacklevel=3)  # where the method was called
        start = self._bisect(view, inside, outside, found)
        return replace(self._integral(start).attribute(view), success=found)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a step of the search and a node.

        One forward more at the end of the search, and for each bisection. Fewer where the search ends early.
        """
        nodes = self._integral(0.0).passes(shape, classes)
        return Passes(self.search_steps + 1 + self.bisections + nodes.forward, self.search_steps + nodes.backward)

    def _search(self, view: View) -> tuple[Tensor, Tensor, Tensor]:
        """The points before and after the class changed, `[B, ...]`, or before and at the end, and if it did, `[B]`."""
        route = Route(
            update=BIM(self.alpha),
            steps=self.search_steps,
            region=Region(None, get_bounds(self.bounds, view.inputs)),
            loss=log_odds,
            stop=left_class,
            max_batch=self.max_batch,
        )
        walks = Walks.of(view.target.index[:, None], toward=-1)
        start = view.inputs.to(view.dtype)
        inside, outside = start.clone(), start.clone()
        found = torch.zeros(len(start), dtype=torch.bool, device=start.device)
        for _, turn in in_blocks(view, start, walks, route, None, last_gradient=False):
            on = ~turn.ended
            inside[turn.places[on]] = turn.points[on]
            outside[turn.places] = turn.points
            found[turn.places] = turn.stopped
        return inside, outside, found

    def _bisect(self, view: View, inside: Tensor, outside: Tensor, found: Tensor) -> Tensor:
        """The points outside, as near to the boundary as it gets; the others as they are."""
        rows = found.nonzero()[:, 0]
        near, far = inside[rows], outside[rows]
        for _ in range(self.bisections if len(rows) else 0):
            middle = (near + far) / 2
            evidence = view.evidence_at(middle.to(view.inputs.dtype), rows, self.max_batch)
            left = evidence.argmax(1) != view.target.index[rows]
            left = left.view(-1, *[1] * (middle.dim() - 1))
            near, far = torch.where(left, near, middle), torch.where(left, middle, far)
        return outside.index_copy(0, rows, far)

    def _integral(self, start: Tensor | float) -> IntegratedGradients:
        return IntegratedGradients(
            steps=self.steps, rule=self.rule, baseline=start, objective=self.objective, max_batch=self.max_batch
        )
