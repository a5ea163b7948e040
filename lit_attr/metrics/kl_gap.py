"""KL-gap: KL-insertion minus KL-deletion.

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

__all__ = ["KLGap", "kl_gap"]


def kl_gap(  # noqa: PLR0913, PLR0917 - the settings of the class
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
    """KL-insertion minus KL-deletion of each sample, `[B]`; see `KLGap`.

    NaN where attribution or model output is not finite.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> kl_gap(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4)).shape
        torch.Size([2])
    """
    metric = KLGap(fill, steps, max_batch, reference, direction, normalize, **how)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


@METRICS.register("kl_gap")
class KLGap(AttributionMetric):
    r"""KL-insertion minus KL-deletion with the same settings, higher is better.

    .. math:: \text{KL-GAP} = \text{KL-INS} - \text{KL-DEL}, \quad
              D_j = \text{KL}(U \,\|\, p(x_j)) = \log \sum_c e^{z_c} - \frac1K \sum_c z_c - \log K

    with the order and the arguments of `Gap`, `U` uniform over the `K` classes and `z` the logits, from which it is
    computed, so that no probability is rounded to zero. In (-inf, inf). It asks for no class.
    It grows with the scale of the logits and is dominated by the least likely classes, so that it does not compare
    models or temperatures; `direction="pred_first"` with `normalize=True`, `1 - H(p) / \log K`, does.
    Costs 2T forward passes per sample, none where `Gap` is already evaluated.

    Args:
        fill: what stands in for a removed position, as in `Gap`.
        steps: number of intervals T of the curve.
        max_batch: the most images per forward pass; None takes a default from device and image size.
        reference: "uniform", or the prediction for the "baseline" (everything removed) or the "original" sample. With
            the last the divergence is small where the evidence is back, and the other direction is better.
        direction: "ref_first", KL(reference || prediction), or "pred_first", KL(prediction || reference), which for the
            uniform reference is log K minus the entropy.
        normalize: divide by log K.
        how: further settings of the curve, and presets of published protocols; see `Perturbation`.

    Raises:
        ValueError: as `Gap`, and for an unknown reference or direction.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> metric = KLGap(steps=8, direction="pred_first", normalize=True)
        >>> metric.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> metric.compute().shape, metric.protocol["score"]
        (torch.Size([]), 'KL(prediction || uniform) / log K')
    """

    higher_is_better = True

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
        super().__init__(**perturbation.told("gap", divergence.protocol))
        self.perturbation, self.divergence = perturbation, divergence
        if not divergence.grows:
            self._turn()

    def measure(self, explained: Explained) -> Reading:
        """The difference of the areas of each sample, and of the curves."""
        unit = self.divergence.unit(explained.evaluation.evidence.shape[1])
        return self.perturbation.reading(explained, "gap", self.divergence.row, unit)
