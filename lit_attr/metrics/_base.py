"""The base of all metrics of attributions, and the table of them."""

import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.prints import rank_zero_warn

from lit_attr._checks import ArgumentError
from lit_attr._view import Passes
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.registry import Registry
from lit_attr.targets import Target

_WITHOUT_FLOAT64 = ("mps",)


class Reading(NamedTuple):
    """What a metric finds in a batch: a value per sample `[B]`, and where it has one, the curve behind it `[B, P]`."""

    value: Tensor
    curve: Tensor | None = None


class AttributionMetric(Metric):
    """The mean over samples of one number per attribution.

    A subclass writes `measure` and nothing else; it must not override the other methods. States are sums and counts, so
    that the result does not depend on how samples are split into batches or over processes. The model is used, never
    stored.

    A sample whose attribution or model output is NaN or infinite is skipped and counted in `invalid`; one whose
    attribution is the same everywhere is used and counted in `constant`. With no valid sample the result is NaN.

    Args:
        protocol: what the number means: settings and conventions. Metrics of one class with equal protocols are the
            same metric.
        passes: passes of the model per sample when nothing is shared.
        points: length of the curve behind a value; None where there is none.
        identity: what tells apart settings that read alike in the protocol, such as two functions of one name.
    """

    full_state_update = False
    is_differentiable = False

    value_sum: Tensor
    square_sum: Tensor
    curve_sum: Tensor
    count: Tensor
    constant: Tensor
    invalid: Tensor

    def __init__(
        self, protocol: Mapping[str, Any], passes: Passes, points: int | None = None, identity: object = None
    ) -> None:
        super().__init__()
        self._protocol = dict(protocol)
        self._passes = passes
        self.add_state("value_sum", torch.zeros((), dtype=torch.float64), "sum")
        self.add_state("square_sum", torch.zeros((), dtype=torch.float64), "sum")
        if points is not None:
            self.add_state("curve_sum", torch.zeros(points, dtype=torch.float64), "sum")
        for name in ("count", "constant", "invalid"):
            self.add_state(name, torch.tensor(0), "sum")
        # MetricCollection merges, for good, metrics whose states are close after the first batch. Bytes, as two large
        # numbers that differ by little are close.
        told = f"{type(self).__module__}.{type(self).__qualname__}{self._protocol!r}{identity!r}"
        self.add_state("_cfg", torch.tensor(list(zlib.crc32(told.encode()).to_bytes(4, "big"))), "max")

    @abstractmethod
    def measure(self, explained: Explained) -> Reading:
        """The value of each sample, and the curve behind it; pure."""

    @property
    def protocol(self) -> dict[str, Any]:
        """What was computed, as plain data."""
        return {"metric": METRICS.name_of(self), **self._protocol}

    @property
    def passes(self) -> Passes:
        """Passes of the model per sample when nothing is shared; fewer for samples with fewer positions than steps."""
        return self._passes

    def per_sample(self, explained: Explained) -> Tensor:
        """The value of each sample, `[B]`; NaN where the attribution is not finite."""
        return self.read(explained).value

    def read(self, explained: Explained) -> Reading:
        """What was measured of each sample, value and curve; NaN where the attribution is not finite."""
        value, curve = self.measure(explained)
        if curve is not None:
            curve = curve.where(explained.finite[:, None], torch.nan)
        return Reading(value.where(explained.finite, torch.nan), curve)

    def update(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None,
        attribution: Tensor,
        evaluation: Evaluation | None = None,
        valid: Tensor | None = None,
    ) -> None:
        """Add a batch; an empty one adds nothing.

        Args:
            model: the explained model; see `Evaluation`.
            inputs: the samples `[B, ...]`.
            target: the explained class; None for the predicted one.
            attribution: of the inputs, with or without the channel axis.
            evaluation: of the same model, inputs and target, shared with other metrics.
            valid: bool `[B]`; False for samples that only pad the batch.
        """
        if len(inputs) == 0:
            return
        if evaluation is None:
            evaluation = Evaluation(model, inputs, target)
        evaluation.require(model, inputs, target)
        explained = evaluation.of(attribution)
        asked = torch.ones_like(explained.finite) if valid is None else valid.to(inputs.device)
        if asked.shape != (len(inputs),) or asked.dtype != torch.bool:
            raise ArgumentError("valid", f"{asked.dtype} {tuple(asked.shape)}", f"a bool tensor [{len(inputs)}]")
        value, curve = self.read(explained)
        used = asked & value.isfinite()
        self.count = self.count + used.sum().to(self.count)
        self.constant = self.constant + (used & explained.constant).sum().to(self.count)
        self.invalid = self.invalid + (asked & ~used).sum().to(self.count)
        value = value.where(used, 0).to(self.value_sum)
        self.value_sum = self.value_sum + value.sum()
        self.square_sum = self.square_sum + value.square().sum()
        if curve is not None:
            self.curve_sum = self.curve_sum + curve.where(used[:, None], 0).to(self.curve_sum).sum(0)

    def compute(self) -> Tensor:
        """The mean over all valid samples, float32 scalar; NaN without any."""
        count, invalid = int(self.count), int(self.invalid)
        if invalid or (not count and self.update_called):  # before the first update torchmetrics warns itself
            found = f"{count} samples used, {invalid} skipped for NaN or infinity in attribution or model output"
            rank_zero_warn(f"{METRICS.name_of(self)}: {found}", stacklevel=2)
        return (self.value_sum / self.count).float()

    def curve(self) -> Tensor:
        """The mean curve `[P]`. Like `compute` it gathers from all processes: call it on each, or on none."""
        with self.sync_context(should_sync=self._to_sync):
            return (self.curve_sum / self.count).float()

    def standard_error(self) -> Tensor:
        """Standard error of the mean, scalar; NaN for fewer than two samples. Gathers as `curve` does."""
        with self.sync_context(should_sync=self._to_sync):
            mean = self.value_sum / self.count
            spread = (self.square_sum - self.count * mean.square()).clamp_min(0)
            return (spread / (self.count - 1) / self.count).sqrt().float()

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        if fn(torch.zeros(1)).device.type in _WITHOUT_FLOAT64:
            for name, default in self._defaults.items():
                if isinstance(default, Tensor) and default.dtype == torch.float64:
                    self._defaults[name] = default.float()
                    setattr(self, name, getattr(self, name).float())
        return super()._apply(fn, exclude_state)


METRICS: Registry[AttributionMetric] = Registry("metric", AttributionMetric)  # type: ignore[type-abstract]


def available() -> list[str]:
    """The names of all metrics.

    Example:
        >>> import lit_attr.metrics
        >>> lit_attr.metrics.available()
        ['deletion', 'gap', 'insertion']
    """
    return METRICS.names()
