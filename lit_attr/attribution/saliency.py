"""Saliency: the gradient of the class score with respect to the input.

Paper: Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2013, section 3. The paper reduces channels
by the maximum; here every channel is kept, and reduced only for display.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.points import gather_gradients
from lit_attr.objectives import get_objective

__all__ = ["Saliency"]


@METHODS.register("saliency")
@dataclass(frozen=True, eq=False)
class Saliency(Method):
    """A = |grad f(x)|, of the shape of the inputs; in [0, inf), or signed.

    Args:
        signed: keep the sign of the gradient. Off by default, as in the paper.

    Example:
        >>> model = torch.nn.Linear(3, 2)
        >>> a = Saliency(signed=True)(model, torch.rand(1, 3), 1)
        >>> torch.equal(a[0], model.weight[1].detach())
        True
    """

    ABOUT: ClassVar[About] = About("size of the gradient", "DI")

    signed: bool = False

    def attribute(self, view: View) -> Explanation:
        """One gradient at the input."""
        found = gather_gradients(
            view, lambda rows, _: view.inputs[rows], torch.ones(1), get_objective(self.objective), self.max_batch
        )
        return Explanation(found.total if self.signed else found.total.abs(), confidence=found.confidence)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass."""
        return Passes(1, 1)
