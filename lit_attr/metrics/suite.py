"""Several metrics over the same batches, of which what they have in common is computed once."""

from typing import Any, TypedDict, Unpack

from torch import Tensor, nn
from torchmetrics import MetricCollection

from lit_attr.attribution import Explanation
from lit_attr.metrics._base import METRICS, AttributionMetric, Summary
from lit_attr.metrics._evaluation import Evaluation, Explain
from lit_attr.metrics._explaining import explain
from lit_attr.targets import Target

__all__ = ["MetricSuite"]


class _More(TypedDict, total=False):
    """What only some metrics ask for; see `MetricSuite.update`."""

    method: Explain | None
    masks: Tensor | None
    valid: Tensor | None


class MetricSuite(MetricCollection):
    """Metrics by name that share each batch: the clean forward pass, the order of the positions, curves, attribution.

    A `torchmetrics.MetricCollection`, so that it is cloned, reset, moved and logged like one.

    Args:
        metrics: names, or a mapping from names to settings or instances (see `Registry.build_all`).
        confidence_edges: also tell the metrics of samples below and above these confidences; see
            `AttributionMetric.split_by_confidence`.

    Raises:
        ValueError: for an unknown name or setting.

    Example:
        >>> import torch
        >>> from lit_attr.attribution import IntegratedGradients
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> suite = MetricSuite(["insertion", "deletion", "gap"], confidence_edges=(0.7,))
        >>> suite.update(model, torch.rand(4, 1, 4, 4), method=IntegratedGradients(steps=4))
        >>> sorted(suite.compute())
        ['deletion', 'gap', 'insertion']
        >>> sorted(suite.summaries()["gap"])
        ['all', 'below_0.7', 'from_0.7']
    """

    def __init__(self, metrics: list[Any] | dict[str, Any], confidence_edges: tuple[float, ...] = ()) -> None:
        built = METRICS.build_all(metrics)
        super().__init__({name: metric.split_by_confidence(*confidence_edges) for name, metric in built.items()})
        self._whole = any(metric.WHOLE for metric in built.values())

    def update(  # type: ignore[override]  # MetricCollection takes anything
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None = None,
        attribution: Tensor | Explanation | None = None,
        *,
        method: Explain | None = None,
        masks: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> None:
        """Add a batch to all metrics; arguments as in `AttributionMetric.update`.

        Args:
            model: the explained model.
            inputs: the samples `[B, ...]`.
            target: the explained class; None for the predicted one.
            attribution: of the inputs; None has `method` make it.
            method: what makes the attribution, also for metrics that explain again.
            masks: for metrics of localisation.
            valid: False for samples that only pad the batch.

        Raises:
            ValueError: without attribution and method.
        """
        more: _More = {"method": method, "masks": masks, "valid": valid}
        super().update(model, inputs, **self._shared(model, inputs, target, attribution, more))

    def forward(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None = None,
        attribution: Tensor | Explanation | None = None,
        **more: Unpack[_More],
    ) -> dict[str, Tensor]:
        """Add a batch as `update` does; the metrics of this batch alone."""
        found: dict[str, Tensor] = super().forward(
            model, inputs, **self._shared(model, inputs, target, attribution, more)
        )
        return found

    def _shared(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None,
        attribution: Tensor | Explanation | None,
        more: _More,
    ) -> dict[str, Any]:
        """What all metrics are updated with, beside model and inputs."""
        evaluation, method = Evaluation(model, inputs, target, more.get("masks")), more.get("method")
        if attribution is None and len(inputs):
            if method is None:
                msg = "give `attribution`, or the `method` that makes it"
                raise ValueError(msg)
            attribution = explain(evaluation, method, whole=self._whole)
        return {"target": target, "attribution": attribution, "evaluation": evaluation, **more}

    def summaries(self) -> dict[str, dict[str, Summary]]:
        """By metric, what `AttributionMetric.summaries` tells; every process must call it."""
        self.compute()  # brings metrics that share their states up to date
        items = self.items(keep_base=True)
        return {name: metric.summaries() for name, metric in items if isinstance(metric, AttributionMetric)}
