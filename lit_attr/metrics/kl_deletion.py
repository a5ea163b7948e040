"""KL-deletion: how fast the certainty goes when positions are removed, most important first.

Paper: "LAAI", submission to ICLR (OpenReview vOOcJdLHkS), section 4.3 and tables 2 and 6.

Deviations: those of `lit_attr.metrics.kl_insertion`.
"""

from typing import Unpack

from torch import Tensor, nn

from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._perturbation import Fill, How, Perturbation
from lit_attr.metrics._readouts import Direction, Divergence, Reference
from lit_attr.targets import Target

__all__ = ["KLDeletion", "kl_deletion"]


def kl_deletion(  # noqa: PLR0913, PLR0917 - the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: Fill | tuple[Fill, Fill] = "black",
    steps: int = 64,
    max_batch: int | None = None,
    reference: Reference = "uniform",
    direction: Direction = "ref_first",
    normalize: bool = False,
    **how: Unpack[How],
) -> Tensor:
    """The KL-deletion score of each sample, `[B]`; see `KLDeletion`.

    NaN where attribution or model output is not finite.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> kl_deletion(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    metric = KLDeletion(fill, steps, max_batch, reference, direction, normalize, **how)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("kl_deletion")
class KLDeletion(AttributionMetric):
    r"""Area under the curve of the certainty while positions are deleted, lower is better.

    .. math:: \text{KL-DEL} = \sum_{j=0}^{T-1} (q_{j+1} - q_j) \frac{D_j + D_{j+1}}{2}, \quad
              D_j = \text{KL}(U \,\|\, p(x_j)) = \log \sum_c e^{z_c} - \frac1K \sum_c z_c - \log K, \quad
              x_j = b \text{ on } S_j, x \text{ elsewhere}

    with the order and the arguments of `Deletion`, `U` uniform over the `K` classes and `z` the logits, from which
    it is computed, so that no probability is rounded to zero. In [0, inf); 0 for a uniform prediction. It asks for no
    class.
    It grows with the scale of the logits and is dominated by the least likely classes, so that it does not compare
    models or temperatures; `direction="pred_first"` with `normalize=True`, `1 - H(p) / \log K`, does.
    Costs T + 1 forward passes per sample, none where `Deletion` is already evaluated.

    Args:
        fill: what stands in for a removed position, as in `Deletion`.
        steps: number of intervals T of the curve.
        max_batch: the most images per forward pass; None takes a default from device and image size.
        reference: "uniform", or the prediction for the "baseline" (everything removed) or the "original" sample. With
            the last the divergence is small where the evidence is back, and the other direction is better.
        direction: "ref_first", KL(reference || prediction), or "pred_first", KL(prediction || reference), which for the
            uniform reference is log K minus the entropy.
        normalize: divide by log K.
        how: further settings of the curve, and presets of published protocols; see `Perturbation`.

    Raises:
        ValueError: as `Deletion`, and for an unknown reference or direction.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = KLDeletion(steps=8, direction="pred_first", normalize=True)
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape, metric.protocol["score"]
        (torch.Size([]), 'KL(prediction || uniform) / log K')
    """

    higher_is_better = False

    def __init__(
        self,
        fill: Fill | tuple[Fill, Fill] = "black",
        steps: int = 64,
        max_batch: int | None = None,
        reference: Reference = "uniform",
        direction: Direction = "ref_first",
        normalize: bool = False,
        **how: Unpack[How],
    ) -> None:
        perturbation = Perturbation(fill, steps, max_batch, **how)
        divergence = Divergence(reference, direction, normalize)
        super().__init__(**perturbation.told("deletion", divergence.protocol))
        self.perturbation, self.divergence = perturbation, divergence
        if not divergence.grows:
            self._turn()

    def measure(self, explained: Explained) -> Reading:
        """The area under the curve of each sample, and the curve."""
        unit = self.divergence.unit(explained.evaluation.evidence.shape[1])
        return self.perturbation.reading(explained, "deletion", self.divergence.row, unit)
