"""Fast Integrated Gradients (X-gradient): input times gradient.

Paper: Hesse, Schaub-Meyer, Roth, "Fast Axiomatic Attribution for Neural Networks", 2021, section 3. For networks
without biases (f(a x) = a f(x)) it equals Integrated Gradients from a zero baseline; for others it is the one-point
approximation of it. A normalisation inside the model is a bias. The sign is that of the logit: several public codes
differentiate the cross entropy and return the opposite.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.points import gather_gradients
from lit_attr.objectives import get_objective

__all__ = ["FastIG"]


@METHODS.register("fast_ig")
@dataclass(frozen=True, eq=False)
class FastIG(Method):
    """A = x * grad f(x), of the shape of the inputs; `explain` reports how far its sum is from f(x) - f(0).

    Example:
        >>> model, x = torch.nn.Linear(3, 2, bias=False), torch.rand(1, 3)
        >>> torch.allclose(FastIG()(model, x, 0), x * model.weight[0].detach())
        True
    """

    ABOUT: ClassVar[About] = About("input times gradient", "DIL")

    def attribute(self, view: View) -> Explanation:
        """One gradient at the input."""
        found = gather_gradients(
            view, lambda rows, _: view.inputs[rows], torch.ones(1), get_objective(self.objective), self.max_batch
        )
        return Explanation(
            view.inputs * found.total, endpoint=torch.zeros_like(view.inputs), confidence=found.confidence
        )

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass."""
        return Passes(1, 1)
