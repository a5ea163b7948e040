"""Integrated Gradients: the gradient averaged along the straight line from a baseline to the input.

Paper: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", 2017, sections 3 and 5. Deviation: the
default quadrature is Gauss-Legendre instead of a Riemann sum; published codes use weights that do not sum to one
(1.02 in ABE, 0.98 in Captum's trapezoid), which breaks completeness: rules "abe" and "captum".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.points import gather_gradients
from lit_attr.attribution.path.quadrature import Published, Rule, quadrature
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.objectives import get_objective

__all__ = ["IntegratedGradients"]


@METHODS.register("ig")
@dataclass(frozen=True, eq=False)
class IntegratedGradients(Method):
    """A = (x - x') * integral over a in [0, 1] of grad f(x' + a (x - x')).

    The sum of A is f(x) - f(x') up to the quadrature's error, which `explain` reports.

    Args:
        steps: intervals of the quadrature.
        rule: quadrature rule (see `lit_attr.attribution.path.quadrature`).
        baseline: the start x' of the path (see `lit_attr.baselines`); zero is black for images in [0, 1]. Features
            equal to the baseline get no attribution.
        preset: "reference" is Captum's code as the authors of MFABA, AttEXplore, LA and ISA compare with it: its
            trapezoid of 50 points, objective "prob".

    Example:
        >>> model, x = torch.nn.Linear(3, 2, bias=False), torch.rand(1, 3)
        >>> found = IntegratedGradients(steps=2).explain(model, x, 1)
        >>> torch.allclose(found.attribution, x * model.weight[1].detach())
        True
        >>> bool(found.completeness_error.abs() < 1e-6)
        True
    """

    ABOUT: ClassVar[About] = About("gradient along the line from a baseline", "SDICL", "gradients, a baseline")
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"reference": {"rule": "captum", "objective": "prob"}}

    steps: int = 50
    rule: Rule | Published = "gauss-legendre"
    baseline: Baseline = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        quadrature(self.rule, self.steps)
        check_baseline("baseline", self.baseline)

    def attribute(self, view: View) -> Explanation:
        """All points of all samples in one stream."""
        nodes, weights = quadrature(self.rule, self.steps)
        start = get_baseline("baseline", self.baseline, view.inputs)
        span = view.inputs - start
        nodes = nodes.to(span)

        def on_the_line(rows: Tensor, numbers: Tensor) -> Tensor:
            return torch.addcmul(start[rows], span[rows], nodes[numbers].view(-1, *[1] * (span.dim() - 1)))

        found = gather_gradients(view, on_the_line, weights, get_objective(self.objective), self.max_batch)
        return Explanation(span * found.total, endpoint=start, confidence=found.confidence)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a node."""
        nodes = len(quadrature(self.rule, self.steps)[0])
        return Passes(nodes, nodes)
