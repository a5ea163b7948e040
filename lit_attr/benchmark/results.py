"""What a benchmark found: the values of all samples, and what the metrics make of them."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_attr._view import Passes
from lit_attr.benchmark.runner import MAP, REGION, Benchmark
from lit_attr.benchmark.store import Shard, Store
from lit_attr.metrics import AttributionMetric, Summary
from lit_attr.metrics._base import Reading

__all__ = ["Results", "Sample", "Speed", "collect"]


class Sample(NamedTuple):
    """One sample.

    Attributes:
        key: what it is called.
        label: its true class, "" where there is none.
        prediction: the predicted class, "" where nothing is predicted.
        confidence: the probability of that; NaN without.
        group: by confidence, "all" where samples are not kept apart.
    """

    key: str
    label: str
    prediction: str
    confidence: float
    group: str


class Speed(NamedTuple):
    """How fast a method explained.

    Attributes:
        per_second: samples of one process; NaN where no time passed. The first batch of a process, in which things are
            compiled and allocated, is left out where there are others.
        peak_memory: bytes that the device had allocated at most; None on a CPU.
        told: batch size and device.
    """

    per_second: float
    peak_memory: int | None
    told: str


class Found(NamedTuple):
    """What a metric found of a method's attributions, samples in their order, `[S]` each."""

    reading: Reading
    finite: Tensor
    constant: Tensor


@dataclass(frozen=True, eq=False)
class Results:
    """All of a benchmark.

    Attributes:
        benchmark: what was asked.
        samples: in their order.
        found: per (method, metric).
        summaries: likewise, what the metric says of all samples and of each group by confidence; see
            `AttributionMetric.summaries`.
        speed: per method.
        passes: per method, declared, of one explanation.
        maps: per key of a drawn sample, its input and the map of each method.
        regions: likewise, the explained region of a segmenter, bool `[H, W]`.
    """

    benchmark: Benchmark
    samples: list[Sample]
    found: Mapping[tuple[str, str], Found]
    summaries: Mapping[tuple[str, str], Mapping[str, Summary]]
    speed: Mapping[str, Speed]
    passes: Mapping[str, Passes]
    maps: Mapping[str, tuple[Tensor, Mapping[str, Tensor]]]
    regions: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Methods, then control maps."""
        return [*self.benchmark.methods, *self.benchmark.controls]

    @property
    def groups(self) -> list[str]:
        """First "all", then the groups by confidence."""
        return next((list(groups) for groups in self.summaries.values()), ["all"])

    def rows(self) -> Iterator[dict[str, Any]]:
        """The long table: one row per sample, method and metric, samples outermost.

        Columns are `sample`, `method`, `kind` ("method" or "control"), `metric`, `value` (None where there is none),
        `status` ("ok"; "undefined" where the number does not exist; "invalid" where attribution or model output has NaN
        or infinity), `constant` (whether the attribution is the same everywhere), `label`, `prediction`, `confidence`
        and `group`.
        """
        told = {pair: _told(found) for pair, found in self.found.items()}
        for place, sample in enumerate(self.samples):
            for (method, metric), values in told.items():
                value, status, constant = values[place]
                yield {
                    "sample": sample.key,
                    "method": method,
                    "kind": "method" if method in self.benchmark.methods else "control",
                    "metric": metric,
                    "value": value,
                    "status": status,
                    "constant": constant,
                    "label": sample.label,
                    "prediction": sample.prediction,
                    "confidence": sample.confidence,
                    "group": sample.group,
                }


def _told(found: Found) -> list[tuple[float | None, str, bool]]:
    defined = torch.ones_like(found.finite) if found.reading.defined is None else found.reading.defined
    rows = zip(
        found.reading.value.tolist(), found.finite.tolist(), defined.tolist(), found.constant.tolist(), strict=True
    )
    told: list[tuple[float | None, str, bool]] = []
    for value, finite, exists, constant in rows:
        ok = value == value and abs(value) != float("inf")  # noqa: PLR0124 - not NaN
        status = "ok" if ok else ("undefined" if finite and not exists else "invalid")
        told.append((value if ok else None, status, constant))
    return told


def collect(benchmark: Benchmark, store: Store, samples: Mapping[str, str], edges: tuple[float, ...] = ()) -> Results:
    """Read results from the disk.

    Args:
        benchmark: what was asked.
        store: where the results are.
        samples: by key, in their order, what each is found by; see `Benchmark.run`.
        edges: confidences that keep samples apart; see `AttributionMetric.split_by_confidence`.

    Raises:
        RuntimeError: where results are missing: a process wrote into another folder of the same name.
    """
    reader = _Reader(benchmark, store, samples)
    found = {(name, metric): reader.found(name, metric) for name in reader.names for metric in benchmark.items(name)}
    confidence = reader.confidence()
    summaries: dict[tuple[str, str], dict[str, Summary]] = {}
    groups = ["all"] * len(samples)
    for (name, label), values in found.items():
        metric = _fresh(benchmark.metrics[label], edges)
        metric.tally(*values, confidence=confidence)
        summaries[name, label] = metric.summaries()
        if edges:
            groups = [metric.groups[1 + group] for group in metric.group_of(confidence, len(samples)).tolist()]
    shape, classes = reader.shape, reader.classes
    return Results(
        benchmark,
        reader.told(groups, confidence),
        found,
        summaries,
        {name: reader.speed(name) for name in reader.names},
        {name: m.passes(shape, classes) for name, m in benchmark.methods.items()}
        | {name: Passes(0, 0) for name in benchmark.controls},
        reader.maps(),
        reader.regions(),
    )


def _fresh(metric: AttributionMetric, edges: tuple[float, ...]) -> AttributionMetric:
    """A copy for the samples of all processes, which asks no other process for more."""
    copy = deepcopy(metric)
    copy.cpu()
    copy._to_sync = False
    copy.reset()
    return copy.split_by_confidence(*edges)


class _Reader:
    """The shards of the samples that are asked for."""

    def __init__(self, benchmark: Benchmark, store: Store, samples: Mapping[str, str]) -> None:
        self.benchmark, self.samples, self.folder = benchmark, samples, store.folder
        self.identities = benchmark.identities
        self.names = list(self.identities)
        by_identity = {identity: name for name, identity in self.identities.items()}
        self._at: dict[tuple[str, str, str], tuple[Shard, int]] = {}  # method, item, sample
        self._of: dict[str, list[Shard]] = {name: [] for name in self.names}
        wanted = set(samples.values())
        for shard in store.shards():
            name = by_identity.get(shard.method)
            if name is None or not wanted.intersection(shard.samples):
                continue
            self._of[name].append(shard)
            for row, sample in enumerate(shard.samples):
                for item in shard.items:
                    self._at.setdefault((name, item, sample), (shard, row))

    def _rows(self, name: str, item: str) -> list[tuple[Shard, int]]:
        try:
            return [self._at[name, item, sample] for sample in self.samples.values()]
        except KeyError:
            msg = f"results of {name} are missing in {self.folder}: all processes must see one folder of that name"
            raise RuntimeError(msg) from None

    def found(self, name: str, metric: str) -> Found:
        """Readings of all samples."""
        item = self.benchmark.items(name)[metric]
        rows = self._rows(name, item)
        known = rows[0][0].tensors

        def part(key: str) -> Tensor:
            return torch.stack([shard.tensors[key][row] for shard, row in rows])

        curve, defined = (part(key) if key in known else None for key in (f"curve/{item}", f"defined/{item}"))
        return Found(Reading(part(f"value/{item}"), curve, defined), part("finite"), part("constant"))

    def _any(self) -> list[tuple[Shard, int]]:
        name = self.names[0]
        return self._rows(name, next(iter(self.benchmark.items(name).values())))

    def confidence(self) -> Tensor:
        """Of the predicted class, `[S]`."""
        return torch.stack([shard.tensors["confidence"][row] for shard, row in self._any()])

    def told(self, groups: list[str], confidence: Tensor) -> list[Sample]:
        """The samples in their order."""
        told = []
        for key, (shard, row), sure, group in zip(self.samples, self._any(), confidence.tolist(), groups, strict=True):
            label, prediction = ((shard.facts[name] or [""] * (row + 1))[row] for name in ("labels", "predictions"))
            told.append(Sample(key, label, prediction, sure, group))
        return told

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return tuple(self._any()[0][0].facts["shape"])

    @property
    def classes(self) -> int:
        """That the model tells apart."""
        return int(self._any()[0][0].facts["classes"])

    def speed(self, name: str) -> Speed:
        """From the times of all batches that were timed warm, of all where none was."""
        facts = [shard.facts for shard in self._of[name]]
        used = [fact for fact in facts if fact["warm"]] or facts
        samples, seconds = sum(fact["batch_size"] for fact in used), sum(fact["seconds"] for fact in used)
        memory = max((fact["peak_memory"] for fact in used), default=-1)
        largest = max((fact["batch_size"] for fact in used), default=0)
        told = f"batches of {largest} on {', '.join(sorted({fact['device'] for fact in used}))}"
        return Speed(samples / seconds if seconds else torch.nan, memory if memory >= 0 else None, told)

    @property
    def _drawn(self) -> dict[tuple[str, str], tuple[Shard, int]]:
        """Where maps are, by method and sample."""
        return {
            (name, sample): (shard, row)
            for name in self.names
            for shard in self._of[name]
            for row, sample in enumerate(shard.facts["drawn"])
        }

    def regions(self) -> dict[str, Tensor]:
        """What is explained of the drawn samples of a segmenter."""
        found = {}
        for (_, sample), (shard, row) in self._drawn.items():
            if REGION in shard.tensors:
                found[sample] = shard.tensors[REGION][row]
        return {key: found[sample] for key, sample in self.samples.items() if sample in found}

    def maps(self) -> dict[str, tuple[Tensor, dict[str, Tensor]]]:
        """Inputs and maps of the drawn samples."""
        at = self._drawn
        found: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
        for key, sample in self.samples.items():
            for name in self.names:
                if (name, sample) in at:
                    shard, row = at[name, sample]
                    _, maps = found.setdefault(key, (shard.tensors["inputs"][row], {}))
                    maps[name] = shard.tensors[MAP][row]
        return found
