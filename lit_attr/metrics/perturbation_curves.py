"""All quantities along the insertion and the deletion path of a batch, from one set of forward passes."""

from typing import Unpack

from torch import Tensor, nn

from lit_attr.metrics._base import AttributionMetric, Reading
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics._perturbation import Fill, How
from lit_attr.metrics.deletion import Deletion
from lit_attr.metrics.gap import Gap
from lit_attr.metrics.insertion import Insertion
from lit_attr.metrics.kl_deletion import KLDeletion
from lit_attr.metrics.kl_gap import KLGap
from lit_attr.metrics.kl_insertion import KLInsertion
from lit_attr.metrics.suite import MetricSuite
from lit_attr.targets import Target

__all__ = ["PerturbationCurves", "perturbation_curves"]


def perturbation_curves(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    attribution: Tensor,
    fill: Fill | tuple[Fill, Fill] = "black",
    steps: int = 64,
    max_batch: int | None = None,
    **how: Unpack[How],
) -> dict[str, Reading]:
    """The value `[B]` and the curve `[B, T+1]` of each sample, by the names of `PerturbationCurves`.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> found = perturbation_curves(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4), steps=8)
        >>> found["kl_gap"].value.shape, found["kl_gap"].curve.shape
        (torch.Size([2]), torch.Size([2, 9]))
    """
    explained = Evaluation(model, inputs, target).of(attribution)
    return {name: metric.read(explained) for name, metric in _metrics(fill, steps, max_batch, how).items()}


class PerturbationCurves(MetricSuite):
    """Insertion, deletion and gap of probability and certainty, and the curves of accuracy and entropy, in one pass.

    `ins`, `del`, `gap` are `Insertion`, `Deletion` and `Gap`; `kl_ins`, `kl_del`, `kl_gap` are `KLInsertion`,
    `KLDeletion` and `KLGap`; `accuracy_ins`, `accuracy_del`, `entropy_ins`, `entropy_del` are insertion and deletion
    of that readout. All of them cost 2 (T - 1) + 2 forward passes per sample, as `ins` and `del` alone do.

    Args:
        fill: what stands in for a removed position, as in `Insertion`.
        steps: number of intervals T of the curves.
        max_batch: the most images per forward pass; None takes a default from device and image size.
        confidence_edges: also tell them of samples below and above these confidences.
        how: further settings of the curves, and presets of published protocols; see `Perturbation`.

    Raises:
        ValueError: as `Insertion`.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> curves = PerturbationCurves(steps=8)
        >>> curves.update(model, torch.rand(2, 1, 4, 4), None, torch.rand(2, 4, 4))
        >>> sorted(curves.compute())[:4], curves.summaries()["entropy_del"]["all"].curve.shape
        (['accuracy_del', 'accuracy_ins', 'del', 'entropy_del'], torch.Size([9]))
    """

    def __init__(
        self,
        fill: Fill | tuple[Fill, Fill] = "black",
        steps: int = 64,
        max_batch: int | None = None,
        confidence_edges: tuple[float, ...] = (),
        **how: Unpack[How],
    ) -> None:
        super().__init__(dict(_metrics(fill, steps, max_batch, how)), confidence_edges)


def _metrics(
    fill: Fill | tuple[Fill, Fill], steps: int, max_batch: int | None, how: How
) -> dict[str, AttributionMetric]:
    built: dict[str, AttributionMetric] = {
        "ins": Insertion(fill, steps, max_batch, **how),
        "del": Deletion(fill, steps, max_batch, **how),
        "gap": Gap(fill, steps, max_batch, **how),
        "kl_ins": KLInsertion(fill, steps, max_batch, **how),
        "kl_del": KLDeletion(fill, steps, max_batch, **how),
        "kl_gap": KLGap(fill, steps, max_batch, **how),
    }
    for readout in ("accuracy", "entropy"):
        built[f"{readout}_ins"] = Insertion(fill, steps, max_batch, readout, **how)
        built[f"{readout}_del"] = Deletion(fill, steps, max_batch, readout, **how)
    return built
