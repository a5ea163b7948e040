"""Insertion: how fast the score comes back when positions are revealed, most important first.

Paper: Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
arXiv 1806.07421. Code: github.com/eclique/RISE, `evaluation.py`.

Deviations: RISE starts from a blurred image; here the start is the fill, black unless told otherwise
(`preset="rise"` has RISE's protocol). The area is taken over the true fractions of positions, and equal values are
ordered by index, so that the result is reproducible.
"""

from typing import Unpack

from torch import Tensor, nn

from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._perturbation import Fill, How, Perturbation
from lit_attr.metrics._readouts import row_of
from lit_attr.targets import Target

__all__ = ["Insertion", "insertion"]


def insertion(
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
    """The insertion score of each sample, `[B]`; see `Insertion`. NaN where attribution or model output is not finite.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> insertion(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    metric = Insertion(fill, steps, max_batch, readout, **how)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("insertion")
class Insertion(AttributionMetric):
    r"""Area under the curve of the target's probability while positions are inserted, higher is better.

    .. math:: \text{INS} = \sum_{j=0}^{T-1} (q_{j+1} - q_j) \frac{I_j + I_{j+1}}{2}, \quad
              I_j = p_y(x \text{ on } S_j, b \text{ elsewhere}), \quad q_j = k_j / N, \quad
              k_j = \lfloor j N / T \rfloor

    where `x` is the sample, `b` its fill, `y` the target, fixed on the clean sample, `N` the number of positions and
    `S_j` the `k_j` positions of largest attribution, summed over channels with its sign. A position changes with all
    its channels. With N < T the value is that of T = N.

    In [0, 1]. A constant attribution ranks by index; its value says nothing about it, and it is counted in `constant`.
    Costs T + 1 forward passes per sample.

    Args:
        fill: what stands in for a removed position: a word such as "black", "mean" or "blur", a number in the units of
            the inputs, a tensor, a function of the inputs, or "confusion"; see `Perturbation`.
        steps: number of intervals T of the curve.
        max_batch: the most images per forward pass; None takes a default from device and image size.
        readout: what is read from the model instead of the probability of the target: "logit", "logprob", "accuracy",
            "entropy" or "kl", the divergence of `KLInsertion`. Of the entropy, the other direction is better.
        how: further settings of the curve, and presets of published protocols; see `Perturbation`.

    Raises:
        ValueError: for an unknown fill or a number of steps below one; on update, for an attribution that does not fit
            the inputs, and with a black or white fill for images outside [0, 1].

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = Insertion(steps=8)
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape, metric.curve().shape
        (torch.Size([]), torch.Size([9]))
    """

    higher_is_better = True

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
        super().__init__(**perturbation.told("insertion", {"score": readout}))
        self.perturbation = perturbation
        if readout == "entropy":
            self._turn()

    def measure(self, explained: Explained) -> Reading:
        """The area under the insertion curve of each sample, and the curve."""
        return self.perturbation.reading(explained, "insertion", self._row)
