"""DeepLIFT with the rescale rule: each non-linearity passes on the slope between baseline and input.

Paper: Shrikumar, Greenside, Kundaje, "Learning Important Features Through Propagating Activation Differences", 2017,
section 3. The RevealCancel rule is not here, nor in Captum. Works on models as they are, with
activations that are reused, in place or called as functions; what the rule is and where it is not exact stands in
`_secant`. The score is the logit, as the paper advises.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lit_attr._chunks import in_chunks
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution._secant import recording, rescaling
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.objectives import get_objective, prob

__all__ = ["DeepLift"]

_TOLERATED = 0.01  # of the change of the objective


@METHODS.register("deep_lift")
@dataclass(frozen=True, eq=False)
class DeepLift(Method):
    """A = (x - x') * m, m the multiplier from the input to f: of the shape of the inputs.

    The sum of A is f(x) - f(x') exactly where the network is made of linear parts, element-wise non-linearities, max
    pooling and softmax, the objective included. Elsewhere (LayerNorm, attention, gates) `completeness_error` says how
    far off it is, at no cost, and above 1 % of f(x) - f(x') there is a warning. It depends on how the function is
    written.

    Args:
        baseline: the reference x' (see `lit_attr.baselines`); zero is black for images in [0, 1]. Features equal to
            the baseline get no attribution.

    Raises:
        ValueError: if the model takes other steps at the baseline than at the input.

    Example:
        >>> class Saturated(torch.nn.Module):
        ...     def forward(self, x):
        ...         return 1 - (1 - x).relu()
        >>> DeepLift()(Saturated(), torch.tensor([[2.0]]), 1)  # the gradient is zero
        tensor([[1.]])
    """

    ABOUT: ClassVar[About] = About(
        "differences from a baseline, passed back through each layer", "SDC", "element-wise non-linearities, a baseline"
    )

    baseline: Baseline = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_baseline("baseline", self.baseline)

    def attribute(self, view: View) -> Explanation:
        """A forward pass at the baseline, then forward and backward at the input, chunk by chunk."""
        objective = get_objective(self.objective)
        start = get_baseline("baseline", self.baseline, view.inputs)
        multiplier = torch.zeros_like(view.inputs, dtype=view.dtype)
        values, confidence = multiplier.new_zeros(2, 2, len(multiplier))
        eps = torch.finfo(view.inputs.dtype).eps

        def work(first: int, last: int) -> None:
            nonlocal eps
            rows = view.rows[first:last]

            def run(ends: Tensor, end: int) -> tuple[Tensor, Tensor]:
                points = ends[first:last].clone().requires_grad_()
                evidence = view.evidence(points, rows)
                found = view.score(evidence, rows, objective)
                values[end, first:last] = found.detach()
                confidence[end, first:last] = prob(evidence.detach(), view.target.index[rows])
                return points, found

            with recording() as recorded:
                run(start, 0)
            with rescaling(recorded) as rescaled:
                points, found = run(view.inputs, 1)
            rescaled.attach(found)
            (multiplier[first:last],) = view.derive(found, points)
            eps = max(eps, recorded.eps)

        in_chunks(len(multiplier), view.inputs, self.max_batch, work)
        attribution = (view.inputs.to(view.dtype) - start.to(view.dtype)) * multiplier
        change = values[1] - values[0]
        error = attribution.flatten(1).sum(1) - change
        # What 120 layers round off stays below this.
        rounding = eps * (attribution.flatten(1).abs().sum(1) + values.abs().sum(0))
        _warn(type(view.model).__name__, error, change, rounding)
        return Explanation(attribution, endpoint=start, completeness_error=error, confidence=confidence.T)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """A forward pass at the baseline and one at the input, and one backward pass."""
        return Passes(2, 1)


def _warn(model: str, error: Tensor, change: Tensor, rounding: Tensor) -> None:
    off = ~(error.abs() <= _TOLERATED * change.abs() + rounding)  # so that NaN is off too
    if bool(off.any()):
        worst = float((error / change).abs()[off].max())
        msg = (
            f"DeepLIFT is not exact for {model}: the attributions of a sample miss the change of the objective by up "
            f"to {worst:.2g} times that change. It has steps that the rescale rule does not cover, such as products of "
            "activations (gates, attention) or norms of one sample (LayerNorm); see `Explanation.completeness_error`."
        )
        warnings.warn(msg, stacklevel=4)  # where the method was called
