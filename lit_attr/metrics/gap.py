"""Gap: insertion minus deletion, so that neither alone can be won by a fill that happens to suit it.

Papers: the areas are those of `insertion` and `deletion` (RISE, arXiv 1806.07421); their difference is a column in the
tables of LAAI (OpenReview vOOcJdLHkS).

Deviations: both areas share one fill, as curves with different end points do not differ by the attribution alone.
"""

from typing import Unpack

from torch import Tensor, nn

from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._perturbation import Fill, How, Perturbation
from lit_attr.metrics._readouts import row_of
from lit_attr.targets import Target

__all__ = ["Gap", "gap"]


def gap(
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
    """Insertion minus deletion of each sample, `[B]`; see `Gap`. NaN where attribution or model output is not finite.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> gap(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    metric = Gap(fill, steps, max_batch, readout, **how)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("gap")
class Gap(AttributionMetric):
    r"""Insertion minus deletion with the same fill and steps, higher is better.

    .. math:: \text{GAP} = \text{INS} - \text{DEL} = \sum_{j=0}^{T-1} (q_{j+1} - q_j)
              \frac{(I_j - D_j) + (I_{j+1} - D_{j+1})}{2}

    with the symbols, the order and the arguments of `Insertion` and `Deletion`. In [-1, 1]; about 0 for an order that
    says nothing. Costs 2T forward passes per sample, none where both are already evaluated.

    Args:
        fill: what stands in for a removed position: a word such as "black", "mean" or "blur", a number in the units of
            the inputs, a tensor, a function of the inputs, or "confusion"; see `Perturbation`.
        steps: number of intervals T of the curves.
        max_batch: the most images per forward pass; None takes a default from device and image size.
        readout: what is read from the model instead of the probability of the target: "logit", "logprob", "accuracy",
            "entropy" or "kl", the divergence of `KLInsertion`. Of the entropy, the other direction is better.
        how: further settings of the curve, and presets of published protocols; see `Perturbation`.

    Raises:
        ValueError: as `Insertion`.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = Gap(steps=8)
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape, metric.passes.forward
        (torch.Size([]), 16)
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
        super().__init__(**perturbation.told("gap", {"score": readout}))
        self.perturbation = perturbation
        if readout == "entropy":
            self._turn()

    def measure(self, explained: Explained) -> Reading:
        """The difference of the areas of each sample, and of the curves."""
        return self.perturbation.reading(explained, "gap", self._row)
