"""SSA: steps along the mean gradient of copies whose frequencies vary.

Paper: Long et al., "Frequency Domain Model Augmentation for Adversarial Attack", 2022, section 3.2, with the input
diversity, smoothing and momentum of its strongest form. Deviation: a diversified copy is resized back, so that models
of one input size can be asked.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, fraction, not_negative, positive_int
from lit_attr._view import Passes
from lit_attr.updates._maps import between, cosines, diversify, smooth
from lit_attr.updates.rules import UPDATES, UpdateRule
from lit_attr.updates.step import Step

__all__ = ["SSA"]


@UPDATES.register("ssa")
@dataclass(frozen=True)
class SSA(UpdateRule):
    """The spectrum simulation attack: alpha * sign(v_t), v_t = momentum * v_{t-1} + g / mean |g|.

    g is the mean over copies of the gradient at u = IDCT(DCT(x_t + sigma n) * m), n normal and m uniform in
    [1 - rho, 1 + rho], smoothed by a Gaussian. On inputs that are no images `[B, C, H, W]` there is noise only: no
    frequencies, no resizing, no smoothing. The rule asks for gradients of its own, `copies` a step, and does not look
    at `Step.ascent` (`Route.guided`); v_t is remembered as "velocity".

    Args:
        alpha: step per feature, in units of the input.
        copies: N.
        rho: by how much each frequency varies, in [0, 1].
        sigma: standard deviation of the noise, in units of the input.
        momentum: of the velocity; 0 for none.
        diversity: probability with which a copy is resized and moved (see `diversify`).
        smoothing: side of the Gaussian in pixels, odd; 1 for none.
    """

    alpha: float = 2 / 255
    copies: int = 20
    rho: float = 0.5
    sigma: float = 16 / 255
    momentum: float = 1.0
    diversity: float = 0.5
    smoothing: int = 7

    def __post_init__(self) -> None:
        not_negative("alpha", self.alpha)
        positive_int("copies", self.copies)
        fraction("rho", self.rho)
        not_negative("sigma", self.sigma)
        not_negative("momentum", self.momentum)
        fraction("diversity", self.diversity)
        positive_int("smoothing", self.smoothing)
        if self.smoothing % 2 == 0:
            raise ArgumentError("smoothing", self.smoothing, "odd")

    @property
    def passes(self) -> Passes:
        """A forward and a backward pass a copy."""
        return Passes(self.copies, self.copies)

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        images = step.points.dim() == 4

        def copy(points: Tensor) -> Tensor:
            here = points.detach()
            there = here + self.sigma * step.normal()
            if images and self.rho:
                there = self._vary(there, step)
            varied = points + (there - here)  # so that gradients are those at u, not carried back through the transform
            return diversify(varied, self.diversity, step.generator) if images else varied

        gradient = step.mean_ascent(copy, self.copies)
        if images and self.smoothing > 1:
            gradient = smooth(gradient, self.smoothing)
        size = gradient.flatten(1).abs().mean(1).clamp_min(torch.finfo(gradient.dtype).tiny)
        velocity = gradient / size.view(-1, *[1] * (gradient.dim() - 1))
        if "velocity" in step.memory:
            velocity += self.momentum * step.memory["velocity"]
        step.memory["velocity"] = velocity
        return self.alpha * velocity.sign()

    def _vary(self, points: Tensor, step: Step) -> Tensor:
        """Each frequency of images `[N, C, H, W]` multiplied by a random number."""
        rows, columns = cosines(points)
        factors = 1 + self.rho * (2 * step.uniform() - 1)
        return between(rows.mT, between(rows, points, columns) * factors, columns.mT)
