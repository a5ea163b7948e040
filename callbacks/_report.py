"""What one round of explanations found, written into the run's folder and sent to the loggers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray

from lit_attr._files import append_csv, plain_name, write_csv
from lit_attr._run_dir import run_dir
from lit_attr.callbacks._collect import class_name
from lit_attr.metrics import Summary
from lit_attr.visual import Score, log_curves, log_images, log_masks, log_table, save_png, scores_picture
from lit_attr.visual.images import RGB

_COUNTS = ["samples", "undefined", "invalid"]  # of a summary: those with a value, and those that are skipped
Scores = dict[tuple[str, str], float]
"""A value per (method, metric)."""
Summaries = dict[tuple[str, str], dict[str, Summary]]
"""Per (method, metric), what is known of all samples and of each group of them."""


class Overlay(NamedTuple):
    """What a logger lays over an image and its user switches on: by name, the class of each pixel, uint8 `[H, W]`."""

    image: RGB
    masks: dict[str, NDArray[np.uint8]]


def score_name(method: str, metric: str, group: str) -> str:
    """Under which a score is logged: "ig/gap", and of a group of samples "ig/gap/below_0.7"."""
    return f"{method}/{metric}" + (f"/{group}" if group != "all" else "")


@dataclass(frozen=True)
class Record:
    """One explained sample.

    Attributes:
        order: its place among the chosen samples.
        index: its place in the data set.
        label: its true class.
        prediction: the predicted class.
        confidence: the probability of the predicted class.
        scores: of this sample.
        picture: its panel, uint8 `[H, W, 3]`; None for samples that are not drawn.
        region: whether it is the region of its label in an image, which may have others.
        overlay: of a region that is drawn.
    """

    order: int
    index: int
    label: str
    prediction: str
    confidence: float
    scores: Scores
    picture: NDArray[np.uint8] | None = None
    region: bool = False
    overlay: Overlay | None = None

    @property
    def file(self) -> str:
        """The name of its picture."""
        return f"sample_{self.index:06d}" + (f"_{plain_name(self.label)}.png" if self.region else ".png")


def class_summaries(records: Sequence[Record], pairs: Iterable[tuple[str, str]]) -> Summaries:
    """Per (method, metric), what is known of the regions of each class, by "of_<class>"; nothing without regions."""
    found: Summaries = {}
    for label in sorted({record.label for record in records if record.region}):
        for pair in pairs:
            every = torch.tensor([r.scores[pair] for r in records if r.label == label], dtype=torch.float64)
            values = every[every.isfinite()]
            error = values.std() / len(values) ** 0.5 if len(values) > 1 else values.new_tensor(torch.nan)
            lost = len(every) - len(values)
            one = Summary(values.mean().float(), error.float(), len(values), undefined=lost)
            found.setdefault(pair, {})[f"of_{label}"] = one
    return found


@dataclass(frozen=True)
class Report:
    """All samples of all ranks, with their summary.

    Attributes:
        records: in the order in which the samples were chosen.
        summaries: of the metrics, over the samples.
        along: per metric with a curve, what the curve runs along.
        better: per metric, whether higher is better; None where neither is.
    """

    records: list[Record]
    summaries: Summaries
    along: Mapping[str, str]
    better: Mapping[str, bool | None] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, float]:
        """The means by name; see `score_name`."""
        return {
            score_name(method, metric, group): float(summary.value)
            for (method, metric), groups in self.summaries.items()
            for group, summary in groups.items()
        }

    @property
    def curves(self) -> dict[str, dict[str, list[float]]]:
        """Per metric that has one, the mean curve per method."""
        found: dict[str, dict[str, list[float]]] = {}
        for (method, metric), groups in self.summaries.items():
            curve = groups["all"].curve
            if curve is not None:
                found.setdefault(metric, {})[method] = curve.tolist()
        return found

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """The scores of all samples as a picture; None where there are not several methods to compare."""
        found: dict[str, dict[str, Score]] = {}
        for (method, metric), groups in self.summaries.items():
            score = Score(float(groups["all"].value), float(groups["all"].standard_error))
            found.setdefault(metric, {})[method] = score
        several = len({method for method, _ in self.summaries}) > 1
        return scores_picture(found, self.better) if several else None


def write_report(trainer: L.Trainer, report: Report, name: str = "explain") -> None:
    """Write pictures and tables once, from rank zero, under `name`; every rank must call it."""
    folder = run_dir(trainer)  # asks all ranks
    if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
        return
    epoch, step = trainer.current_epoch, trainer.global_step
    summary = report.picture
    _write_files(Path(folder) / name, report, epoch, step, summary)
    columns, rows = _table(report, epoch, step)
    drawn = [record for record in report.records if record.picture is not None]
    captions = [f"sample {r.index}: {r.prediction} ({r.confidence:.0%}), label {r.label}" for r in drawn]
    if drawn:
        pictures = [r.picture for r in drawn if r.picture is not None]
        log_images(trainer.loggers, f"{name}/panels", pictures, captions, step)
    laid = [(r.overlay, caption) for r, caption in zip(drawn, captions, strict=True) if r.overlay is not None]
    if laid:
        overlays, told = zip(*laid, strict=True)
        images, masks = zip(*overlays, strict=True)
        named = class_name(trainer)
        classes = {int(i): named(int(i)) for one in masks for values in one.values() for i in np.unique(values)}
        log_masks(trainer.loggers, f"{name}/regions", images, masks, classes, told, step)
    if summary is not None:
        log_images(trainer.loggers, f"{name}/scores", [summary], ["scores, with one standard error"], step)
    log_table(trainer.loggers, f"{name}/samples", columns, rows, step)
    for metric, by_method in report.curves.items():
        points = len(next(iter(by_method.values())))
        fractions = [i / max(1, points - 1) for i in range(points)]
        log_curves(trainer.loggers, f"{name}/curves/{metric}", fractions, by_method, report.along[metric], step)


def _write_files(folder: Path, report: Report, epoch: int, step: int, summary: NDArray[np.uint8] | None) -> None:
    here = folder / f"epoch_{epoch:04d}_step_{step:06d}"  # an epoch may have several validations
    here.mkdir(parents=True, exist_ok=True)
    for record in report.records:
        if record.picture is not None:
            save_png(here / record.file, record.picture)
    if summary is not None:
        save_png(here / "scores.png", summary)
    columns, rows = _table(report, epoch, step)
    write_csv(here / "samples.csv", columns, rows)
    scores = [
        [epoch, step, method, metric, group, float(found.value), float(found.standard_error)]
        + [getattr(found, name) for name in _COUNTS]
        for (method, metric), groups in report.summaries.items()
        for group, found in groups.items()
    ]
    columns = ["epoch", "step", "method", "metric", "group", "value", "standard_error", *_COUNTS]
    append_csv(folder / "scores.csv", columns, scores)
    if report.curves:
        columns = ["epoch", "step", "metric", "along", "method", "position", "value"]
        append_csv(folder / "curves.csv", columns, _curve_points(report, epoch, step))


def _curve_points(report: Report, epoch: int, step: int) -> Iterator[list[object]]:
    """The mean curves, a line per point."""
    for metric, by_method in report.curves.items():
        for method, values in by_method.items():
            for i, value in enumerate(values):
                position = i / max(1, len(values) - 1)
                yield [epoch, step, metric, report.along[metric], method, position, value]


def _table(report: Report, epoch: int, step: int) -> tuple[list[str], list[list[str | float]]]:
    names = list(report.summaries)
    columns = ["epoch", "step", "index", "label", "prediction", "confidence", *(f"{a}/{b}" for a, b in names)]
    rows: list[list[str | float]] = [
        [epoch, step, r.index, r.label, r.prediction, r.confidence, *(r.scores[name] for name in names)]
        for r in report.records
    ]
    return columns, rows
