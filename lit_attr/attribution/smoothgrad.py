"""SmoothGrad: the mean gradient over noisy copies of the input.

Paper: Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, section 3. Noisy copies are not clamped to
the input range: clamping would bias the mean. The same draws serve every sample, so that a result does not depend on
the batch it sat in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lit_attr._checks import not_negative, one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.points import gather_gradients
from lit_attr.objectives import get_objective

__all__ = ["SmoothGrad"]


@METHODS.register("smoothgrad")
@dataclass(frozen=True, eq=False)
class SmoothGrad(Method):
    """A = (1/n) sum_i grad f(x + e_i), e_i ~ N(0, sigma^2), of the shape of the inputs.

    Args:
        samples: number of noisy copies n.
        sigma: standard deviation of the noise in units of the input; images span [0, 1], so 0.15 is 15 % of the range.
            For embeddings give it in their own scale.
        statistic: "mean" of the gradients; "square", the mean of their squares; "variance" over the copies (VarGrad).
        seed: of the private noise generator.

    Example:
        >>> model = torch.nn.Linear(3, 2)
        >>> a = SmoothGrad(samples=4)(model, torch.rand(2, 3), 1)
        >>> torch.allclose(a, model.weight[1].detach().expand(2, 3))
        True
    """

    ABOUT: ClassVar[About] = About("mean gradient over noisy inputs", "DIL")

    samples: int = 50
    sigma: float = 0.15
    statistic: Literal["mean", "square", "variance"] = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("samples", self.samples)
        not_negative("sigma", self.sigma)
        one_of("statistic", self.statistic, ["mean", "square", "variance"])

    def attribute(self, view: View) -> Explanation:
        """All noisy copies of all samples in one stream."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.samples, *view.inputs.shape[1:])
        noise = (torch.randn(shape, generator=generator) * self.sigma).to(view.inputs)

        def noisy(rows: Tensor, numbers: Tensor) -> Tensor:
            return view.inputs[rows] + noise[numbers]

        weights = torch.full((self.samples,), 1 / self.samples, dtype=torch.float64)
        objective = get_objective(self.objective)
        moments = gather_gradients(view, noisy, weights, objective, self.max_batch, _MOMENTS[self.statistic]).total
        if self.statistic == "variance":
            mean, square = moments.unbind(1)
            moments = (square - mean**2).clamp_min(0).to(view.dtype)
        return Explanation(moments)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a copy."""
        return Passes(self.samples, self.samples)


_MOMENTS = {
    "mean": lambda g, *_: g,
    "square": lambda g, *_: g**2,
    "variance": lambda g, *_: torch.stack([g.double(), g.double() ** 2], dim=1),  # a difference that may be small
}
