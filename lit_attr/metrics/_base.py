"""The base of all metrics of attributions, and the table of them."""

import dataclasses
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.prints import rank_zero_warn

from lit_attr._checks import ArgumentError
from lit_attr._view import Passes
from lit_attr.attribution import Explanation
from lit_attr.metrics._evaluation import Evaluation, Explain, Explained
from lit_attr.metrics._median import LEVELS, counted, median
from lit_attr.metrics._precision import narrow_states, wide
from lit_attr.metrics._work import CLEAN, Work, total
from lit_attr.registry import Registry
from lit_attr.targets import Target


class Reading(NamedTuple):
    """What a metric finds in a batch.

    Attributes:
        value: one number per sample, `[B]`.
        curve: the curve behind it, `[B, P]`, of metrics that have one.
        defined: False for samples for which the number does not exist, bool `[B]`; None where it always does.
    """

    value: Tensor
    curve: Tensor | None = None
    defined: Tensor | None = None


class Summary(NamedTuple):
    """A metric over some samples.

    Attributes:
        value: the mean, float32 scalar; NaN without samples.
        standard_error: of the mean, scalar; NaN for fewer than two samples, and where a median is told.
        samples: how many it is the mean of.
        curve: the mean curve `[P]`, of metrics that have one.
        undefined: how many samples more have no value.
        invalid: how many more have NaN or infinity in attribution or model output.
    """

    value: Tensor
    standard_error: Tensor
    samples: int
    curve: Tensor | None = None
    undefined: int = 0
    invalid: int = 0


def told(setting: object) -> str:
    """A setting in words that differ where settings do; those of a large tensor by `repr` leave out most of it."""
    if isinstance(setting, Tensor):
        return f"{tuple(setting.shape)} {zlib.crc32(wide(setting).cpu().numpy().tobytes())}"
    if isinstance(setting, tuple):
        return ", ".join(told(part) for part in setting)
    if dataclasses.is_dataclass(setting):
        return f"{type(setting).__qualname__}({told(tuple(vars(setting).values()))})"
    return repr(setting)


def fingerprint(settings: str) -> Tensor:
    """A state that tells apart metrics of other settings.

    MetricCollection merges, for good, metrics whose states are close after the first batch. Bytes, as two large numbers
    that differ by little are close.
    """
    return torch.tensor(list(zlib.crc32(settings.encode()).to_bytes(4, "big")))


def valid_samples(valid: Tensor | None, like: Tensor) -> Tensor:
    """Which samples count, bool `[B]`, on the device of `like` `[B]`; all where nothing is said."""
    if valid is None:
        return torch.ones_like(like, dtype=torch.bool)
    if valid.shape != like.shape or valid.dtype != torch.bool:
        raise ArgumentError("valid", f"{valid.dtype} {tuple(valid.shape)}", f"a bool tensor [{len(like)}]")
    return valid.to(like.device)


class AttributionMetric(Metric):
    """The mean over samples of one number per attribution.

    A subclass writes `measure` and nothing else; it must not override the other methods. States are sums and counts, so
    that the result does not depend on how samples are split into batches or over processes. The model is used, never
    stored.

    A sample whose attribution or model output is NaN or infinite is skipped and counted in `invalid`; one for which the
    number does not exist (`UNDEFINED` says when) is skipped and counted in `undefined`; one whose attribution is the
    same everywhere is counted in `constant`. With no sample left the result is NaN.

    Args:
        protocol: what the number means: settings and conventions. Metrics of one class with equal protocols are the
            same metric.
        passes: passes of the model per sample when nothing is shared, without those of `explanations`.
        points: length of the curve behind a value; None where there is none.
        identity: what tells apart settings that read alike in the protocol, such as two functions of one name.
        explanations: how often the explanation method is run per sample, beyond the attribution that is given.
        shared: pieces of these that others may need, too; None for the clean forward pass of a metric with any.
        median: of curves in [0, 1] at even places of it: tell the median curve and the area under that.
    """

    full_state_update = False
    is_differentiable = False
    UNDEFINED: ClassVar[str] = ""
    WHOLE: ClassVar[bool] = False  # looks at the whole explanation, not at the attribution alone
    ALONG: ClassVar[str] = "fraction of the image"  # what the points of the curve are, from the first to the last

    value_sum: Tensor
    square_sum: Tensor
    curve_sum: Tensor
    curve_counts: Tensor
    count: Tensor
    constant: Tensor
    invalid: Tensor
    undefined: Tensor

    def __init__(
        self,
        protocol: Mapping[str, Any],
        passes: Passes,
        points: int | None = None,
        identity: object = None,
        explanations: int = 0,
        *,
        shared: Sequence[Work] | None = None,
        median: bool = False,
    ) -> None:
        super().__init__()
        self._shared = ((CLEAN,) if passes.forward else ()) if shared is None else tuple(shared)
        self._median = median
        self._protocol = dict(protocol)
        self._passes, self._points, self.identity = passes, points, told(identity)
        self.explanations = explanations
        self.edges: tuple[float, ...] = ()
        self._add_states()

    def _add_states(self) -> None:
        groups = len(self.edges) + 1
        self.add_state("value_sum", torch.zeros(groups, dtype=torch.float64), "sum")
        self.add_state("square_sum", torch.zeros(groups, dtype=torch.float64), "sum")
        if self._points is not None and self._median:
            self.add_state("curve_counts", torch.zeros(groups, self._points, LEVELS, dtype=torch.int64), "sum")
        elif self._points is not None:
            self.add_state("curve_sum", torch.zeros(groups, self._points, dtype=torch.float64), "sum")
        for name in ("count", "constant", "invalid", "undefined"):
            self.add_state(name, torch.zeros(groups, dtype=torch.int64), "sum")
        settings = f"{type(self).__module__}.{type(self).__qualname__}{self.protocol!r}{self.identity}"
        self.add_state("_cfg", fingerprint(settings), "max")

    def split_by_confidence(self, *edges: float) -> Self:
        """Keep the samples apart by the probability of the class predicted on the clean input; before any update.

        The result stays that of all samples, the mixture of the groups; `summaries` tells each. Costs a forward pass,
        shared with the metrics that need the clean output.

        Args:
            edges: ascending, in (0, 1); a sample whose confidence is an edge belongs above it.

        Returns:
            The metric itself.

        Raises:
            ValueError: for edges out of order or range, or after an update.
        """
        if self.update_called:
            msg = f"{METRICS.name_of(self)} has samples already; call `split_by_confidence` before the first update"
            raise ValueError(msg)
        good = all(isinstance(edge, int | float) and 0 < edge < 1 for edge in edges)
        if not good or any(a >= b for a, b in pairwise(edges)):
            raise ArgumentError("edges", edges, "ascending numbers between 0 and 1")
        self.edges = edges
        self._add_states()
        return self

    def _turn(self) -> None:
        """Say that the other direction is better than for the class: some settings turn it round."""
        self.__dict__["higher_is_better"] = not type(self).higher_is_better  # torchmetrics refuses plain assignment

    @abstractmethod
    def measure(self, explained: Explained) -> Reading:
        """The value of each sample, the curve behind it, and where there is one; pure."""

    @property
    def protocol(self) -> dict[str, Any]:
        """What was computed, as plain data."""
        split = {"confidence_edges": list(self.edges)} if self.edges else {}
        return {"metric": METRICS.name_of(self), **self._protocol, **split}

    @property
    def groups(self) -> list[str]:
        """What `summaries` tells of: "all", then the groups by confidence, such as "below_0.7" and "from_0.7"."""
        if not self.edges:
            return ["all"]
        inner = [f"from_{a:g}_below_{b:g}" for a, b in pairwise(self.edges)]
        return ["all", f"below_{self.edges[0]:g}", *inner, f"from_{self.edges[-1]:g}"]

    @property
    def passes(self) -> Passes:
        """Passes of the model per sample when nothing is shared; fewer for samples with fewer positions than steps."""
        return self._passes

    @property
    def work(self) -> tuple[Work, ...]:
        """What `passes` and `explanations` are spent on: pieces with equal keys are done once for several metrics."""
        known = total(piece for piece in self._shared if piece.per != "model")
        forward, backward = (mine - found for mine, found in zip(self.passes, known.passes, strict=True))
        own = Work(id(self), Passes(forward, backward), self.explanations - known.explanations)
        return (*self._shared, own)

    def per_sample(self, explained: Explained) -> Tensor:
        """The value of each sample, `[B]`; NaN where there is none or the attribution is not finite."""
        return self.read(explained).value

    def read(self, explained: Explained) -> Reading:
        """What was measured of each sample, value and curve; NaN where undefined or the attribution is not finite."""
        value, curve, defined = self.measure(explained)
        known = explained.finite if defined is None else explained.finite & defined
        if curve is not None:
            curve = curve.where(known[:, None], torch.nan)
        return Reading(value.where(known, torch.nan), curve, defined)

    def update(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | Tensor | Target | None,
        attribution: Tensor | Explanation,
        evaluation: Evaluation | None = None,
        valid: Tensor | None = None,
        method: Explain | None = None,
        masks: Tensor | None = None,
    ) -> None:
        """Add a batch; an empty one adds nothing.

        Args:
            model: the explained model; see `Evaluation`.
            inputs: the samples `[B, ...]`.
            target: the explained class; None for the predicted one.
            attribution: of the inputs, with or without the channel axis; or the `Explanation` of a method, of which
                some metrics use the end point.
            evaluation: of the same model, inputs and target, shared with other metrics.
            valid: bool `[B]`; False for samples that only pad the batch.
            method: what made the attribution, for metrics that explain again: a method, or a function of model, inputs
                and target.
            masks: where the explained object is, bool `[B, H, W]`, for metrics of localisation.

        Raises:
            ValueError: for arguments that do not fit each other, or where a metric needs one that is not given.
        """
        if len(inputs) == 0:
            return
        if evaluation is None:
            evaluation = Evaluation(model, inputs, target, masks)
        evaluation.require(model, inputs, target, masks)
        explained = evaluation.of(attribution, method)
        confidence = evaluation.confidence if self.edges else None
        self.tally(self.read(explained), explained.finite, explained.constant, confidence, valid)

    def tally(
        self,
        reading: Reading,
        finite: Tensor,
        constant: Tensor,
        confidence: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> None:
        """Add what `read` found of a batch, now or in an earlier run.

        Args:
            reading: of the samples `[B]`.
            finite: False for attributions with NaN or infinity, bool `[B]`; see `Explained`.
            constant: True for attributions that are the same everywhere, bool `[B]`.
            confidence: probability of the predicted class `[B]`; only asked for where samples are kept apart by it.
            valid: False for samples that only pad the batch, bool `[B]`.
        """
        value, curve, defined = reading
        asked = valid_samples(valid, finite)
        used = asked & value.isfinite()
        missing = torch.zeros_like(used) if defined is None else asked & finite & ~defined
        group = self.group_of(confidence, len(value))
        self._count("count", group, used)
        self._count("constant", group, used & constant)
        self._count("undefined", group, missing)
        self._count("invalid", group, asked & ~used & ~missing)
        value = value.where(used, 0).to(self.value_sum)
        self.value_sum = self.value_sum.index_add(0, group, value)
        self.square_sum = self.square_sum.index_add(0, group, value.square())
        if curve is not None and self._median:
            self.curve_counts = counted(self.curve_counts, group[used], curve[used].to(self.curve_counts.device))
        elif curve is not None:
            self.curve_sum = self.curve_sum.index_add(0, group, curve.where(used[:, None], 0).to(self.curve_sum))

    def compute(self) -> Tensor:
        """The mean over all valid samples, float32 scalar; NaN without any."""
        count, invalid = int(self.count.sum()), int(self.invalid.sum())
        name = METRICS.name_of(self)
        if bool(self.undefined.any()):
            more = f"; {invalid} more are skipped for NaN or infinity" if invalid else ""
            rank_zero_warn(f"{name} leaves out samples without a value: {self.UNDEFINED}; see `undefined`{more}")
        elif invalid or (not count and self.update_called):  # before the first update torchmetrics warns itself
            found = f"{count} samples used, {invalid} skipped for NaN or infinity in attribution or model output"
            rank_zero_warn(f"{name}: {found}", stacklevel=2)
        return self._summary(slice(None)).value

    def curve(self) -> Tensor:
        """The mean curve `[P]`. Like `compute` it gathers from all processes: call it on each, or on none.

        Raises:
            ValueError: for a metric that has no curve.
        """
        found = self.summaries()["all"].curve
        if found is None:
            msg = f"{METRICS.name_of(self)} has no curve"
            raise ValueError(msg)
        return found

    def standard_error(self) -> Tensor:
        """Standard error of the mean, scalar; NaN for fewer than two samples. Gathers as `curve` does."""
        return self.summaries()["all"].standard_error

    def coverage(self) -> Tensor:
        """The share of the samples that have a value: without those counted as `undefined`, of those not `invalid`.

        Of a metric that asks for a prediction that holds it is the share of which it held. Scalar; NaN without samples.
        Gathers as `curve` does.
        """
        with self.sync_context(should_sync=self._to_sync):
            count = self.count.sum()
            return (count / (count + self.undefined.sum())).float()

    def summaries(self) -> dict[str, Summary]:
        """The mean, its standard error, the count and the curve: of "all", and of each group split by confidence.

        Gathers as `curve` does.
        """
        with self.sync_context(should_sync=self._to_sync):
            every = [slice(None), *(slice(i, i + 1) for i in range(len(self.groups) - 1))]
            return {label: self._summary(part) for label, part in zip(self.groups, every, strict=True)}

    def _summary(self, groups: slice) -> Summary:
        count, total = self.count[groups].sum(), self.value_sum[groups].sum()
        value = total / count
        spread = (self.square_sum[groups].sum() - count * value.square()).clamp_min(0)
        error, curve = (spread / (count - 1) / count).sqrt(), None
        if self._median:
            curve = median(self.curve_counts[groups].sum(0))
            value, error = torch.trapezoid(curve, dx=1 / (len(curve) - 1)), torch.full_like(error, torch.nan)
        elif self._points is not None:
            curve = self.curve_sum[groups].sum(0) / count
        skipped = [int(state[groups].sum()) for state in (self.undefined, self.invalid)]
        return Summary(value.float(), error.float(), int(count), None if curve is None else curve.float(), *skipped)

    def group_of(self, confidence: Tensor | None, samples: int) -> Tensor:
        """Number of the group of each sample, `[B]`: its place in `groups` after "all"."""
        if not self.edges:
            return torch.zeros(samples, dtype=torch.long, device=self.count.device)
        if confidence is None:
            raise ArgumentError("confidence", None, "given for a metric that keeps samples apart by it")
        confidence = confidence.to(self.count.device)
        # In its own precision: of float32, 0.7 is less than in float64, and an edge is still that edge.
        edges = torch.tensor(self.edges, dtype=confidence.dtype, device=confidence.device)
        return torch.bucketize(confidence, edges, right=True)

    def _count(self, name: str, group: Tensor, which: Tensor) -> None:
        before: Tensor = getattr(self, name)
        setattr(self, name, before.index_add(0, group, which.to(before)))

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        narrow_states(self, fn)
        return super()._apply(fn, exclude_state)


METRICS: Registry[AttributionMetric] = Registry("metric", AttributionMetric)  # type: ignore[type-abstract]


def available() -> list[str]:
    """The names of all metrics.

    Example:
        >>> import lit_attr.metrics
        >>> "insertion" in lit_attr.metrics.available()
        True
    """
    return METRICS.names()
