"""Sensitivity: how far an attribution moves when noise that is hard to see is added to the input.

Paper: Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, arXiv 1901.09392, definition 2;
the maximum over a ball is estimated by random draws, as there. Code: github.com/chihkuanyeh/saliency_evaluation.

Deviations: distances are shares of the attribution's own length, as in the code and in Captum, which the paper does not
write. Noisy images stay in [0, 1], where Captum leaves them outside: methods that walk refuse such images. All samples
see the same noise.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Explain, Explained
from lit_attr.metrics._explaining import explain_again, explained_by
from lit_attr.metrics._noise import Noise
from lit_attr.metrics._precision import wide
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.targets import Target
from lit_attr.updates.region import Bounds

__all__ = ["AverageSensitivity", "MaxSensitivity", "average_sensitivity", "max_sensitivity"]

_NO_LENGTH = "the attribution is zero everywhere, and not that of the noisy input"


def max_sensitivity(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    method: Explain,
    draws: int = 10,
    radius: float = 0.02,
    bounds: Bounds = "auto",
    seed: int = 0,
) -> Tensor:
    """The max-sensitivity of each sample, `[B]`; see `MaxSensitivity`. NaN where it is undefined or not finite.

    Example:
        >>> from lit_attr.attribution import Saliency
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> max_sensitivity(model, images, 1, Saliency(), draws=2).tolist()
        [0.0, 0.0]
    """
    return MaxSensitivity(draws, radius, bounds, seed).per_sample(explained_by(method, model, inputs, target))


def average_sensitivity(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    method: Explain,
    draws: int = 10,
    radius: float = 0.02,
    bounds: Bounds = "auto",
    seed: int = 0,
) -> Tensor:
    """The average sensitivity of each sample, `[B]`; see `AverageSensitivity`, and `max_sensitivity` for an example."""
    return AverageSensitivity(draws, radius, bounds, seed).per_sample(explained_by(method, model, inputs, target))


def _flat(explained: Explained) -> Tensor:
    return wide(explained.attribution.to(explained.evaluation.inputs.device)).flatten(1)


def _moves(explained: Explained, noise: Noise) -> Tensor:
    """How far the attribution of each noisy copy lies from that of the input, `[B, draws]`."""
    here = _flat(explained)
    with explained.evaluation.view() as view:
        there = (explain_again(explained, view, noisy) for noisy in noise.copies(view.inputs))
        return torch.stack([(wide(found).flatten(1) - here).norm(dim=1) for found in there], dim=1)


def _told(noise: Noise) -> dict[str, Any]:
    """What `AttributionMetric` is told."""
    return {
        "protocol": {**noise.protocol, "distance": "L2, relative"},
        "passes": Passes(1, 0),
        "explanations": noise.draws,
        "shared": [CLEAN, Work(("moves", noise.key), Passes(0, 0), noise.draws)],
    }


def _reading(explained: Explained, noise: Noise, reduce: str) -> Reading:
    """Shares of the attribution's length; zero for one without length that does not move."""
    moves = explained.once(("moves", noise.key), lambda: _moves(explained, noise))
    length = _flat(explained).norm(dim=1)
    far = moves.amax(1) if reduce == "max" else moves.mean(1)
    value = (far / length).where((length > 0) | (far != 0), 0)
    # A copy whose attribution is not finite is no case of a length of zero.
    return Reading(value, defined=(length > 0) | (far == 0) | ~far.isfinite())


@METRICS.register("max_sensitivity")
class MaxSensitivity(AttributionMetric):
    r"""How far the attribution moves at most when the input changes a little, lower is better.

    .. math:: \max_{k \le K} \frac{\lVert \phi(x + \delta_k) - \phi(x) \rVert_2}{\lVert \phi(x) \rVert_2}, \quad
              \delta_k \sim U[-\epsilon, \epsilon]

    with the method phi, of the class explained at x. In [0, inf). 0 where phi is zero at x and at all copies, undefined
    where it is zero at x alone. Costs K explanations, which `AverageSensitivity` of the same settings shares, and the
    clean forward pass.

    Args:
        draws: number K of noisy copies.
        radius: epsilon, in units of the inputs.
        bounds: the range that noisy copies stay in: "auto" is [0, 1] for images; or two numbers, or None.
        seed: of the private generator of the noise.

    Raises:
        ValueError: for settings out of range, inputs outside `bounds`, or without `method`.

    Example:
        >>> from lit_attr.attribution import Saliency
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> metric = MaxSensitivity(draws=2)
        >>> metric.update(model, images, 1, Saliency()(model, images, 1), method=Saliency())
        >>> metric.compute()
        tensor(0.)
    """

    higher_is_better = False
    UNDEFINED = _NO_LENGTH

    def __init__(self, draws: int = 10, radius: float = 0.02, bounds: Bounds = "auto", seed: int = 0) -> None:
        noise = Noise(draws, radius, bounds, seed)
        super().__init__(**_told(noise))
        self.noise = noise

    def measure(self, explained: Explained) -> Reading:
        """The longest move of each sample."""
        return _reading(explained, self.noise, "max")


@METRICS.register("average_sensitivity")
class AverageSensitivity(AttributionMetric):
    r"""How far the attribution moves on average when the input changes a little, lower is better.

    .. math:: \frac{1}{K} \sum_{k=1}^{K} \frac{\lVert \phi(x + \delta_k) - \phi(x) \rVert_2}{\lVert \phi(x) \rVert_2}

    with the symbols, arguments, cost and undefined cases of `MaxSensitivity`, which is never below it.

    Args:
        draws: number K of noisy copies.
        radius: epsilon, in units of the inputs.
        bounds: the range that noisy copies stay in: "auto" is [0, 1] for images; or two numbers, or None.
        seed: of the private generator of the noise.

    Raises:
        ValueError: as `MaxSensitivity`.

    Example:
        >>> from lit_attr.attribution import Saliency
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> metric = AverageSensitivity(draws=2)
        >>> metric.update(model, images, 1, Saliency()(model, images, 1), method=Saliency())
        >>> metric.compute()
        tensor(0.)
    """

    higher_is_better = False
    UNDEFINED = _NO_LENGTH

    def __init__(self, draws: int = 10, radius: float = 0.02, bounds: Bounds = "auto", seed: int = 0) -> None:
        noise = Noise(draws, radius, bounds, seed)
        super().__init__(**_told(noise))
        self.noise = noise

    def measure(self, explained: Explained) -> Reading:
        """The mean move of each sample."""
        return _reading(explained, self.noise, "mean")
