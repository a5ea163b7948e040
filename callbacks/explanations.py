"""Explanations measured at validation: the scores of a few methods on a fixed set of samples, and their pictures."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative_int, one_of, positive_int
from lit_attr._guard import private_rng
from lit_attr.attribution import METHODS, Method
from lit_attr.callbacks._auto import AUTO, without_auto
from lit_attr.callbacks._collect import (
    Samples,
    choose_samples,
    class_name,
    gather,
    own_samples,
    require_whole_model,
)
from lit_attr.callbacks._progress import progress_line
from lit_attr.callbacks._regions import ToExplain, with_regions
from lit_attr.callbacks._report import Overlay, Record, Report, class_summaries, score_name, write_report
from lit_attr.callbacks._rounds import Rounds, log_everywhere
from lit_attr.metrics import METRICS, Deletion, Evaluation, Insertion, RegionDeletion, RegionInsertion
from lit_attr.metrics._base import AttributionMetric, Reading
from lit_attr.metrics._explaining import explain
from lit_attr.regions import RegionChoice
from lit_attr.targets import RegionTarget
from lit_attr.visual import Panel, draw
from lit_attr.visual.images import to_picture

__all__ = ["ExplanationCallback"]

_CURVES = Insertion | Deletion | RegionInsertion | RegionDeletion  # in [0, 1], over the share of the image
_BATCH = 32  # samples held at once; the methods cut their own passes to what memory allows


class ExplanationCallback(L.Callback):
    """Explain a fixed set of validation samples, score the explanations, and log scores and pictures.

    Works with any LightningModule whose `forward` gives logits and whose validation batches are `(inputs, labels)`.
    Each chosen sample is explained once, by one rank; scores are those of all of them. Logs `explain/<method>/<metric>`
    for checkpoints and schedules to monitor; panels, a table of the samples, the mean curves and the scores of several
    methods as a picture go to every logger that can show them, and into `explain/` of the run's folder. Training with
    the callback gives the same weights, to the bit, as training without it.

    Of a segmenter, whose labels are those of each pixel `[B, H, W]`, the regions of each chosen image are explained,
    one for each class that is there, and each is a sample of its own: also logged are the means over those of a class,
    `explain/<method>/<metric>/of_<class>`, and how many regions there were and why others were left out,
    `explain_regions/...`. Panels show the labels and what is predicted, too, and W&B gets both and the places that
    a method finds most important as masks to switch on. Ask for metrics of regions, such as `region_deletion`.

    Args:
        methods: names, or a mapping from the name to log under to settings or an instance (see `Registry.build_all`).
            "auto", alone or among others, has `lit_attr.select` choose one at the first validation, once for the run;
            it is logged as "auto", its reasons are printed and go into `choice.csv` of the folder. Settings of the
            choice are `{"auto": {"budget": 200000, "samples": 32, "weights": {"cost": 0.5}, "methods": ["ig", "la"]}}`.
        metrics: likewise. Metrics of localisation take `mask` (`[B, H, W]`, non-zero on the object) or `box` (`[B, 4]`,
            corners x, y, x, y in pixels) from a batch that is a mapping, or a mask from the third place of a tuple; of
            a segmenter without such a mask, the region.
        num_samples: number of explained samples, of a segmenter of images, at most all that are validated.
        every_n_epochs: explain again when this many epochs have passed, and at the last validation of `max_epochs`. In
            between the last scores are logged again, so that a monitored name always exists; a schedule or an early
            stop with patience sees these repeats, so monitor with 1.
        num_images: number of samples that are drawn.
        target: explain the "predicted" class, or the "label"; without effect on a segmenter.
        regions: of a segmenter, which regions, and by which score (see `lit_attr.regions.RegionChoice`). The check of a
            Trainer before training, and `fast_dev_run`, take true regions of any size.
        confidence_edges: also log each metric over the samples of which the model is less and more sure than these
            probabilities, as `explain/<method>/<metric>/below_0.7` and `.../from_0.7`.
        seed: chooses the samples.
        name: begins the logged names and names the folder; a second callback in one Trainer needs one of its own.
        at_test: explain at test too, samples of the test set.

    Attributes:
        report: the scores of each sample in the last round of this run, of all processes; None before.

    Raises:
        ValueError: for an unknown name or setting, or a number out of range.

    Example:
        >>> callback = ExplanationCallback(methods={"ig": {"steps": 16}}, metrics=["insertion"], num_samples=32)
        >>> callback.names()
        ['explain/ig/insertion']
    """

    def __init__(  # noqa: PLR0913, PLR0917 - settings of a config
        self,
        methods: Literal["auto"] | list[str] | dict[str, Any] = ["ig", "grad_cam"],  # noqa: B006 - never changed; None would hide it from --help
        metrics: list[str] | dict[str, Any] = ["insertion", "deletion", "gap"],  # noqa: B006
        num_samples: int = 64,
        every_n_epochs: int = 1,
        num_images: int = 4,
        target: Literal["predicted", "label"] = "predicted",
        confidence_edges: list[float] = [],  # noqa: B006
        seed: int = 0,
        name: str = "explain",
        regions: RegionChoice = RegionChoice(),  # noqa: B008 - it is frozen
        at_test: bool = False,
    ) -> None:
        super().__init__()
        positive_int("num_samples", num_samples)
        not_negative_int("num_images", num_images)
        one_of("target", target, ["predicted", "label"])
        if not name or Path(name).name != name:
            raise ArgumentError("name", name, "a name for a folder, without a slash")
        named, self._auto = without_auto(methods)
        self.methods: dict[str, Method] = METHODS.build_all(named)
        if self._auto is not None:
            self.methods[AUTO] = self._auto.method()
        self.metrics: dict[str, dict[str, AttributionMetric]] = {
            method: METRICS.build_all(metrics) for method in self.methods
        }
        for metric in (metric for named in self.metrics.values() for metric in named.values()):
            metric.split_by_confidence(*confidence_edges)
        self.num_samples, self.num_images, self.name = num_samples, num_images, name
        self.target, self.seed, self.regions, self.at_test = target, seed, regions, at_test
        self._rounds = Rounds(every_n_epochs)
        self.report: Report | None = None

    @property
    def state_key(self) -> str:
        """Distinct for callbacks that log other names or explain something else, so that none takes up their scores."""
        return self._generate_state_key(names=self.names(), target=self.target, seed=self.seed)

    def names(self) -> list[str]:
        """The names that are logged; of a segmenter there are more, as there are classes."""
        return [
            f"{self.name}/{score_name(method, label, group)}"
            for method, metrics in self.metrics.items()
            for label, metric in metrics.items()
            for group in metric.groups
        ]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Refuse a strategy that splits the model, and a Trainer with another callback of this name."""
        self.report = None
        if self.methods:
            require_whole_model(trainer)
        every: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a part of the Trainer
        same = [c for c in every if isinstance(c, ExplanationCallback) and c.name == self.name]
        if len(same) > 1:
            raise ArgumentError("name", self.name, "a name of its own for each ExplanationCallback of a Trainer")

    def state_dict(self) -> dict[str, Any]:
        """The last scores, so that a resumed run goes on logging them, and the method that was chosen."""
        return {**self._rounds.state_dict(), "chosen": self._auto.chosen if self._auto else ""}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the last scores, and the chosen method where it is still among the candidates."""
        self._rounds.load_state_dict(state_dict)
        chosen = state_dict.get("chosen", "")
        if self._auto is not None and chosen in self._auto.candidates():
            self._auto.chosen = chosen
            self.methods[AUTO] = self._auto.method()

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Explain, score, log and draw; in the sanity check, try everything on one sample and keep nothing."""
        if trainer.barebones or not self.methods:
            return
        with private_rng(pl_module.device):  # loading, drawing and loggers may draw random numbers
            if trainer.sanity_checking:
                self._explain(trainer, pl_module, 1, Counter())
                return
            if self._rounds.due(trainer):
                self._rounds.found(trainer, self._round(trainer, pl_module))
        self._rounds.log(pl_module)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same at test, where that is asked for."""
        if trainer.barebones or not (self.methods and self.at_test):
            return
        with private_rng(pl_module.device):
            scores = self._round(trainer, pl_module)
        log_everywhere(pl_module, scores)

    def _round(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, float]:
        """Explain, score, write; the scores by logged name, the same on every rank."""
        counts = Counter[str]()
        self.report = self._summary(self._explain(trainer, module, self.num_samples, counts))
        write_report(trainer, self.report, self.name)
        found = {f"{self.name}/{label}": value for label, value in self.report.scores.items()}
        every = gather([counts])
        for reason in sorted({reason for one in every for reason in one}):  # zeros, which a sum drops, too
            found[f"{self.name}_regions/{reason}"] = float(sum(one[reason] for one in every))
        return found

    def _explain(
        self, trainer: L.Trainer, module: L.LightningModule, num_samples: int, counts: Counter[str]
    ) -> list[Record]:
        """Records of this rank's samples; the metrics are updated with them, and `counts` with its regions."""
        chosen = choose_samples(trainer, num_samples, self.seed)
        trying = trainer.sanity_checking or getattr(trainer, "fast_dev_run", False)
        if self._auto is not None and not (self._auto.chosen or trying):
            sample = choose_samples(trainer, self._auto.samples, self.seed)
            self._auto.choose(trainer, module, sample, by_label=self.target == "label", folder=self.name)
            self.methods[AUTO] = self._auto.method()
        for metrics in self.metrics.values():
            for metric in metrics.values():
                metric.reset()
                metric.to(module.device)
        records: list[Record] = []
        mine = len(range(trainer.global_rank, len(chosen), trainer.world_size))
        with progress_line(trainer, "Explaining", mine) as advance:
            for samples in own_samples(trainer, module, chosen, _BATCH, dense=True):
                for explained in self._explained(trainer, module, samples, counts):
                    records += self._explain_batch(trainer, module, explained)
                advance(len(samples.order))
        return records

    def _explained(
        self, trainer: L.Trainer, module: L.LightningModule, samples: Samples, counts: Counter[str]
    ) -> Iterator[ToExplain]:
        """The samples with what is explained of them."""
        if samples.labels.dim() == 1:
            yield ToExplain(samples, samples.labels if self.target == "label" else None)
            return
        if self._auto is not None:
            raise ArgumentError("methods", AUTO, "named for a segmenter")
        trying = trainer.sanity_checking or getattr(trainer, "fast_dev_run", False)
        choice = self.regions.of_any_size() if trying else self.regions
        for found in with_regions(module, samples, choice, _BATCH, counts):
            yield ToExplain(*found)

    def _explain_batch(self, trainer: L.Trainer, module: L.LightningModule, what: ToExplain) -> list[Record]:
        samples, target, _ = what
        evaluation = Evaluation(module, samples.images, target, samples.masks)
        confidence, prediction = evaluation.evidence.softmax(1).max(1)
        maps: dict[str, Tensor] = {}
        found: dict[tuple[str, str], Reading] = {}
        for name, method in self.methods.items():
            explanation = explain(evaluation, method, whole=any(m.WHOLE for m in self.metrics[name].values()))
            explained = evaluation.of(explanation, method)
            maps[name] = explained.attribution
            for label, metric in self.metrics[name].items():
                metric.update(module, samples.images, target, explanation, evaluation, method=method)
                found[name, label] = metric.read(explained)
        named, records = class_name(trainer), []
        # To the host once for the batch, not value by value.
        labels, predicted, sure = samples.labels.tolist(), prediction.tolist(), confidence.tolist()
        values = {key: reading.value.tolist() for key, reading in found.items()}
        for i, order in enumerate(samples.order):
            record = Record(
                order=order,
                index=samples.numbers[i],
                label=named(labels[i]),
                prediction=named(predicted[i]),
                confidence=sure[i],
                scores={key: value[i] for key, value in values.items()},
                region=isinstance(target, RegionTarget),
            )
            if order < self.num_images and not trainer.sanity_checking:
                curves = {
                    (method, label): reading.curve[i].cpu()
                    for (method, label), reading in found.items()
                    if reading.curve is not None and isinstance(self.metrics[method][label], _CURVES)
                }
                record = _drawn(record, what, i, _row(maps, i), curves)
            records.append(record)
        return records

    def _summary(self, records: list[Record]) -> Report:
        """The records of all ranks and the metrics over all of them; every rank must call it."""
        summaries = {
            (method, label): metric.summaries()
            for method, metrics in self.metrics.items()
            for label, metric in metrics.items()
        }
        records = sorted(gather(records), key=lambda record: record.order)
        for pair, groups in class_summaries(records, summaries).items():
            summaries[pair] |= groups
        along = {label: metric.ALONG for metrics in self.metrics.values() for label, metric in metrics.items()}
        better = {label: metric.higher_is_better for named in self.metrics.values() for label, metric in named.items()}
        return Report(records, summaries, along, better)


def _row(maps: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
    return {name: values[i].detach().float().cpu() for name, values in maps.items()}


def _drawn(
    record: Record, what: ToExplain, i: int, maps: dict[str, Tensor], curves: dict[tuple[str, str], Tensor]
) -> Record:
    """The record with its pictures."""
    image = what.samples.images[i].float().cpu()
    if image.dim() != 3:
        return record  # only images can be drawn
    by_method: dict[str, dict[str, Tensor]] = {method: {} for method in maps}
    scores: dict[str, dict[str, float]] = {method: {} for method in maps}
    for (method, metric), curve in curves.items():
        by_method[method][metric] = curve
    for (method, metric), score in record.scores.items():
        scores[method][metric] = score
    segments = {} if what.segments is None else what.segments.of(i)
    outline = what.target.mask[i].cpu() if isinstance(what.target, RegionTarget) else None
    panel = Panel(
        image=image,
        index=record.index,
        prediction=record.prediction,
        confidence=record.confidence,
        maps=maps,
        label=record.label,
        curves=by_method,
        scores=scores,
        segments=segments,
        outline=outline,
    )
    overlay = None
    if segments:
        masks = {name: classes.numpy().astype(np.uint8) for name, classes in segments.items()}
        label = int(what.samples.labels[i])
        overlay = Overlay(to_picture(image), masks | {name: _first(values) * label for name, values in maps.items()})
    return replace(record, picture=draw(panel), overlay=overlay)


def _first(attribution: Tensor) -> NDArray[np.uint8]:
    """One at the tenth of the places with the largest attribution, as far as it is positive, else zero, `[H, W]`."""
    values = attribution.sum(0)
    least = values.flatten().topk(max(1, values.numel() // 10)).values[-1]
    return ((values >= least) & (values > 0)).numpy().astype(np.uint8)
