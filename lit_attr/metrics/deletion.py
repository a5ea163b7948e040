"""Deletion: how fast the score falls when positions are removed, most important first.

Paper: Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
arXiv 1806.07421. Code: github.com/eclique/RISE, `evaluation.py`.

Deviations: RISE ends at zero in normalised space, which is grey; here the end is the fill, black in pixel space unless
told otherwise (`preset="rise"` has RISE's protocol). The area is taken over the true fractions of positions, and equal
values are ordered by index.
"""

from typing import Unpack

from torch import Tensor, nn

from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._perturbation import Fill, How, Perturbation
from lit_attr.metrics._readouts import row_of
from lit_attr.targets import Target

__all__ = ["Deletion", "deletion"]


def deletion(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: Fill | tuple[Fill, Fill] = "black",
    steps: int = 64,
    max_batch: int | None = None,
    readout: str = "prob",
    **how: Unpack[How],
) -> Tensor:
    """The deletion score of each sample, `[B]`; see `Deletion`. NaN where attribution or model output is not finite.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> deletion(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    metric = Deletion(fill, steps, max_batch, readout, **how)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("deletion")
class Deletion(AttributionMetric):
    r"""Area under the curve of the target's probability while positions are deleted, lower is better.

    .. math:: \text{DEL} = \sum_{j=0}^{T-1} (q_{j+1} - q_j) \frac{D_j + D_{j+1}}{2}, \quad
              D_j = p_y(b \text{ on } S_j, x \text{ elsewhere})

    with the symbols, the order and the arguments of `Insertion`. In [0, 1]. Costs T + 1 forward passes per sample.

    Args:
        fill: what stands in for a removed position: a word such as "black", "mean" or "blur", a number in the units of
            the inputs, a tensor, a function of the inputs, or "confusion"; see `Perturbation`.
        steps: number of intervals T of the curve.
        max_batch: the most images per forward pass; None takes a default from device and image size.
        readout: what is read from the model instead of the probability of the target: "logit", "logprob", "accuracy",
            "entropy" or "kl", the divergence of `KLInsertion`. Of the entropy, the other direction is better.
        how: further settings of the curve, and presets of published protocols; see `Perturbation`.

    Raises:
        ValueError: as `Insertion`.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = Deletion(fill="mean", steps=8)
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape, metric.curve().shape
        (torch.Size([]), torch.Size([9]))
    """

    higher_is_better = False

    def __init__(
        self,
        fill: Fill | tuple[Fill, Fill] = "black",
        steps: int = 64,
        max_batch: int | None = None,
        readout: str = "prob",
        **how: Unpack[How],
    ) -> None:
        perturbation = Perturbation(fill, steps, max_batch, **how)
        self._row = row_of(readout)
        super().__init__(**perturbation.told("deletion", {"score": readout}))
        self.perturbation = perturbation
        if readout == "entropy":
            self._turn()

    def measure(self, explained: Explained) -> Reading:
        """The area under the deletion curve of each sample, and the curve."""
        return self.perturbation.reading(explained, "deletion", self._row)
