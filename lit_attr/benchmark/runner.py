"""All methods by all metrics over batches of samples, what is finished left out. It knows no task.

Targets, methods, metrics, control maps and samples are given; a sample is whatever is explained once: an image and its
class, or an image, a class and a region.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr._view import Passes
from lit_attr.attribution import Method
from lit_attr.benchmark.controls import Control
from lit_attr.benchmark.forecast import Forecast, Progress
from lit_attr.benchmark.identity import sample_identities, settings_identity
from lit_attr.benchmark.store import Shard, Store
from lit_attr.metrics import AttributionMetric, Evaluation, Throughput
from lit_attr.metrics._evaluation import Explain
from lit_attr.metrics._explaining import explain
from lit_attr.metrics._work import CLEAN, Per, Work, total
from lit_attr.targets import RegionTarget, Target

__all__ = ["Batch", "Benchmark", "measure"]

MAP, REGION = "map", "region"
_SHARED, _MODEL = "for all methods", "for the model"  # in the forecast; no names of methods have a blank
Clock: TypeAlias = Callable[[], float]


class Batch(NamedTuple):
    """Samples to explain.

    Attributes:
        inputs: `[B, ...]`.
        keys: what each is called, `B` different names, the same in every run.
        target: what is explained of each; None for the predicted class.
        masks: where the explained object is, bool `[B, H, W]`, where anybody knows.
        labels: the name of the true class of each, where there is one.
        drawn: whose maps are kept for pictures; none where it is left out.
        causes: where the pixels are that the output rests on, bool `[B, H, W]`, where anybody knows; metrics of
            localisation ask for them rather than for `masks`.
    """

    inputs: Tensor
    keys: Sequence[str]
    target: Target | Tensor | None = None
    masks: Tensor | None = None
    labels: Sequence[str] | None = None
    drawn: Sequence[bool] | None = None
    causes: Tensor | None = None

    @property
    def truth(self) -> Tensor | None:
        """What metrics of localisation ask for."""
        return self.masks if self.causes is None else self.causes

    def take(self, rows: Sequence[int]) -> "Batch":
        """The batch of some of the samples."""
        if list(rows) == list(range(len(self.inputs))):
            return self
        index = torch.as_tensor(rows, device=self.inputs.device)
        target: Target | Tensor | None = self.target
        if isinstance(target, Target):
            target = target.to(index.device).take(index)
        elif target is not None:
            target = target[index.to(target.device)]
        masks, causes = (v if v is None else v[index.to(v.device)] for v in (self.masks, self.causes))
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        drawn = None if self.drawn is None else [self.drawn[row] for row in rows]
        return Batch(self.inputs[index], [self.keys[row] for row in rows], target, masks, labels, drawn, causes)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Methods, control maps and metrics by the names that results are told under.

    Args:
        methods: attribution methods.
        metrics: what they are measured by. One that looks at the whole explanation (`WHOLE`), such as completeness, is
            not asked of control maps; one that explains again not of those that are `FIXED`.
        controls: maps that are measured beside the methods.
        named: from a class to its name.

    Raises:
        ArgumentError: without methods or metrics, and for a name that is both a method's and a control map's.

    Example:
        >>> import tempfile
        >>> from lit_attr.attribution import Saliency
        >>> from lit_attr.benchmark.controls import RandomMap
        >>> from lit_attr.metrics import Insertion
        >>> benchmark = Benchmark({"saliency": Saliency()}, {"ins": Insertion(steps=4)}, {"random": RandomMap()})
        >>> model, store = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), Store(tempfile.mkdtemp(), {})
        >>> list(benchmark.run(model, [Batch(torch.rand(2, 1, 4, 4), ["a", "b"])], ["a", "b"], store))
        ['a', 'b']
        >>> sorted(len(shard.samples) for shard in store.shards())
        [2, 2]
    """

    methods: Mapping[str, Method]
    metrics: Mapping[str, AttributionMetric]
    controls: Mapping[str, Control] = field(default_factory=dict)
    named: Callable[[int], str] = str

    def __post_init__(self) -> None:
        if not self.metrics or not (self.methods or self.controls):
            raise ArgumentError("metrics" if self.methods else "methods", "none", "at least one")
        both = self.methods.keys() & self.controls.keys()
        if both:
            raise ArgumentError("controls", ", ".join(sorted(both)), "named otherwise than the methods")

    @property
    def identities(self) -> dict[str, str]:
        """By name of method or control map, what its shards are found by."""
        return {name: settings_identity(name, item) for name, item in {**self.methods, **self.controls}.items()}

    def items(self, name: str) -> dict[str, str]:
        """By name of the metrics that are asked of a method or control map, what their results are found by."""
        control = self.controls.get(name)
        asked = {
            label: metric
            for label, metric in self.metrics.items()
            if control is None or not (metric.WHOLE or (control.FIXED and metric.explanations))
        }
        return {label: settings_identity(label, metric) for label, metric in asked.items()}

    def passes(self, name: str, shape: Sequence[int], classes: int, labels: Iterable[str] | None = None) -> Passes:
        """Declared passes per sample of a method with all that is measured of it, or with these metrics.

        What several of the metrics need is counted once, and what all methods share (see `common`) not at all.
        """
        method = self.methods.get(name)
        own = method.passes(shape, classes) if method else Passes(0, 0)
        measured = total(self._work("attribution", self.items(name) if labels is None else labels))
        times = 1 + measured.explanations
        return Passes(*(times * one + more for one, more in zip(own, measured.passes, strict=True)))

    def common(self, labels: Iterable[str], per: Per = "sample") -> Passes:
        """Declared passes of what these metrics need once per sample, or once per model, whatever the methods are."""
        clean = [CLEAN] if per == "sample" else []  # says what is predicted, whatever is measured
        return total([*clean, *self._work(per, labels)]).passes

    def _work(self, per: Per, labels: Iterable[str]) -> list[Work]:
        return [piece for label in labels for piece in self.metrics[label].work if piece.per == per]

    def run(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        keys: Sequence[str],
        store: Store,
        report: Callable[[Progress], None] = lambda progress: None,  # noqa: ARG005
        clock: Clock = time.monotonic,
    ) -> dict[str, str]:
        """Measure all samples and put what is found into the store as it comes; what is there is not measured again.

        Args:
            model: the bare module, not its DDP wrapper.
            batches: of this process.
            keys: of all samples that the batches will give, for the forecast.
            store: claimed.
            report: called after every step with how far it is.
            clock: of the forecast, seconds.

        Returns:
            By key, what the samples are found by in the store.
        """
        done, forecast, samples, warm = _Done(store.shards()), Forecast(clock), dict[str, str](), set[str]()
        for batch in batches:
            work = _Work(self, model, batch)
            samples.update(zip(batch.keys, work.samples, strict=True))
            if forecast.total is None:
                self._plan(forecast, work, keys, done)
                report(forecast.now())
            for name in self.identities:
                for rows, labels in work.missing(name, done):
                    store.write(work.measure(name, rows, labels, warm=name in warm))
                    warm.add(name)
                    finished = [batch.keys[row] for row in rows]
                    forecast.finish(_MODEL, [_MODEL])  # what is shared is done with the first method that needs it
                    forecast.finish(_SHARED, finished)
                    forecast.finish(name, finished)
                    report(forecast.now())
        return samples

    def _plan(self, forecast: Forecast, work: "_Work", keys: Sequence[str], done: "_Done") -> None:
        """Tell the forecast what there is to do, by the declared passes and what the store holds."""
        shape, asked = tuple(work.batch.inputs.shape[1:]), dict[str, set[str]]()
        for name, identity in self.identities.items():
            missing: dict[tuple[str, ...], list[str]] = {}
            items = self.items(name)
            for key in keys:
                known = done.of_key(identity, key)
                labels = tuple(label for label, item in items.items() if item not in known)
                if labels:
                    missing.setdefault(labels, []).append(key)
                    asked.setdefault(key, set()).update(labels)
            forecast.plan(name, Passes(0, 0), [])
            for labels, some in missing.items():
                # Of a finished method nothing is asked, not even how many classes there are: that takes a pass.
                forecast.plan(name, self.passes(name, shape, done.classes or work.classes, labels), some)
        for key, wanted in asked.items():
            forecast.plan(_SHARED, self.common(wanted), [key])
        every = {label for wanted in asked.values() for label in wanted}
        forecast.plan(_MODEL, self.common(every, "model"), [_MODEL] if every else [])


def measure(benchmark: Benchmark, model: nn.Module, batch: Batch) -> list[Shard]:
    """All that is asked of a batch, without a store."""
    work = _Work(benchmark, model, batch)
    nothing = _Done([])
    return [
        work.measure(name, rows, labels)
        for name in benchmark.identities
        for rows, labels in work.missing(name, nothing)
    ]


class _Done:
    """Which items the store holds, by method and sample."""

    def __init__(self, shards: Iterable[Shard]) -> None:
        self._items: dict[tuple[str, str], set[str]] = {}
        self._keys: dict[tuple[str, str], set[str]] = {}
        self.classes = 0
        for shard in shards:
            self.classes = shard.facts["classes"]
            for sample, key in zip(shard.samples, shard.facts["keys"], strict=True):
                self._items.setdefault((shard.method, sample), set()).update(shard.items)
                self._keys.setdefault((shard.method, key), set()).update(shard.items)
            for sample in shard.facts["drawn"]:
                self._items[shard.method, sample].add(MAP)

    def of_sample(self, method: str, sample: str) -> set[str]:
        return self._items.get((method, sample), set())

    def of_key(self, method: str, key: str) -> set[str]:
        """By the sample's name alone, before it is loaded."""
        return self._keys.get((method, key), set())


class _Work:
    """One batch under measurement; what the methods have in common is computed once."""

    def __init__(self, benchmark: Benchmark, model: nn.Module, batch: Batch) -> None:
        self.benchmark, self.model, self.batch = benchmark, model, batch
        self.samples = sample_identities(batch.inputs, batch.target, batch.truth)
        self._parts: dict[tuple[int, ...], tuple[Batch, Evaluation]] = {}

    @property
    def classes(self) -> int:
        _, evaluation = self._part(tuple(range(len(self.batch.inputs))))
        return evaluation.evidence.shape[1]

    def missing(self, name: str, done: _Done) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
        """Rows, and by which metrics they are to be measured; by none, where only the map is wanted."""
        method, items = self.benchmark.identities[name], self.benchmark.items(name)
        found: dict[tuple[str, ...], list[int]] = {}
        for row, sample in enumerate(self.samples):
            known = done.of_sample(method, sample)
            labels = tuple(label for label, item in items.items() if item not in known)
            if labels or (self._drawn(row) and MAP not in known):
                found.setdefault(labels, []).append(row)
        return [(tuple(rows), labels) for labels, rows in found.items()]

    def measure(self, name: str, rows: tuple[int, ...], labels: Sequence[str], *, warm: bool = False) -> Shard:
        """Explain these samples and measure the explanation; `warm` where the method ran before in this process."""
        batch, evaluation = self._part(rows)
        method, speed = self._method(name, batch), Throughput(warmup=0)
        metrics = {label: self.benchmark.metrics[label] for label in labels}
        evaluation.target  # noqa: B018 - the clean pass belongs to no method: before the clock starts
        with speed.measure(batch.inputs):
            explanation = explain(evaluation, method, whole=any(metric.WHOLE for metric in metrics.values()))
        explained = evaluation.of(explanation, method)
        tensors = {"finite": explained.finite, "constant": explained.constant, "confidence": _confidence(evaluation)}
        items = self.benchmark.items(name)
        for label, metric in metrics.items():
            reading = metric.read(explained)
            found = {"value": reading.value, "curve": reading.curve, "defined": reading.defined}
            tensors |= {f"{part}/{items[label]}": value for part, value in found.items() if value is not None}
        drawn = [place for place, row in enumerate(rows) if self._drawn(row)]
        if drawn:
            tensors |= {MAP: explained.attribution[drawn], "inputs": batch.inputs[drawn]}
            if isinstance(batch.target, RegionTarget):
                tensors[REGION] = batch.target.mask[drawn]
        samples, sought = tuple(self.samples[row] for row in rows), tuple(items[label] for label in labels)
        facts = {
            "drawn": [samples[place] for place in drawn],
            "keys": list(batch.keys),
            "labels": None if batch.labels is None else list(batch.labels),
            "predictions": _predictions(evaluation, self.benchmark.named),
            "shape": list(batch.inputs.shape[1:]),
            "classes": evaluation.evidence.shape[1],
            "warm": warm,
            "seconds": float(speed.seconds),
            "peak_memory": int(speed.peak_memory),
            "device": str(batch.inputs.device),
            "batch_size": len(batch.inputs),
        }
        return Shard(self.benchmark.identities[name], samples, sought, tensors, facts)

    def _drawn(self, row: int) -> bool:
        return self.batch.drawn is not None and self.batch.drawn[row]

    def _part(self, rows: tuple[int, ...]) -> tuple[Batch, Evaluation]:
        if rows not in self._parts:
            part = self.batch.take(rows)
            self._parts[rows] = part, Evaluation(self.model, part.inputs, part.target, part.truth)
        return self._parts[rows]

    def _method(self, name: str, batch: Batch) -> Explain:
        if name in self.benchmark.methods:
            return self.benchmark.methods[name]
        control = self.benchmark.controls[name]
        masks = batch.causes if control.NEEDS_CAUSES else batch.masks
        return lambda model, inputs, target: control.maps(inputs, batch.keys, masks)  # noqa: ARG005


def _confidence(evaluation: Evaluation) -> Tensor:
    """Probability of the predicted class `[B]`; NaN where nothing is predicted."""
    found = evaluation.confidence
    return found if evaluation.target.compares_classes else torch.full_like(found, torch.nan)


def _predictions(evaluation: Evaluation, named: Callable[[int], str]) -> list[str] | None:
    if not evaluation.target.compares_classes:
        return None
    return [named(index) for index in evaluation.evidence.argmax(1).tolist()]
