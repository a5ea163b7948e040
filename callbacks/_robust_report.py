"""What one round of robustness found: numbers by name, tables, curves; files, loggers and the terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lightning as L
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lit_attr._files import append_csv, write_csv
from lit_attr._run_dir import run_dir
from lit_attr._view import Passes
from lit_attr.callbacks._robust_trials import Trial
from lit_attr.corruptions import ALEXNET, mean_corruption_error
from lit_attr.metrics import Check, Outcome, RobustSummary
from lit_attr.metrics.robust_accuracy import summarise, worst_case
from lit_attr.visual import AccuracyCurve, accuracy_picture, log_images, log_table, save_png
from lit_attr.visual.images import RGB

COLUMNS = [
    *("epoch", "step", "stage", "name", "strength", "value", "accuracy", "low", "high", "success", "samples"),
    *("linf", "l2", "linf_mean", "l2_mean", "forwards", "backwards", "seconds", "axis"),
]
Cell = str | float | int | bool | None


@dataclass(frozen=True)
class Tried:
    """One trial on one sample: still right, the distances moved, forward and backward passes, seconds."""

    right: bool
    linf: float = 0.0
    l2: float = 0.0
    forwards: float = 0.0
    backwards: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Record:
    """One sample.

    Attributes:
        order: its place among the chosen samples.
        index: its place in the data set.
        label: its true class.
        prediction: the predicted class.
        clean: whether it is predicted right.
        tried: what came of each trial, by its key.
        similarity: per attack, how alike the explanations before and after are, by measure.
        measured: what the checks for gradient masking need.
        pictures: per attack, its panel, where it is drawn.
    """

    order: int
    index: int
    label: str
    prediction: str
    clean: bool
    tried: Mapping[str, Tried]
    similarity: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    measured: Mapping[str, bool] = field(default_factory=dict)
    pictures: Mapping[str, RGB] = field(default_factory=dict)


@dataclass(frozen=True)
class RobustReport:
    """All samples of all ranks.

    Attributes:
        trials: what was tried.
        records: in the order in which the samples were chosen.
        checks: for gradient masking.
    """

    trials: Sequence[Trial]
    records: Sequence[Record]
    checks: Sequence[Check] = ()

    def summary(self, trial: Trial | None = None) -> RobustSummary:
        """Of one trial over all samples, or of none: plain accuracy."""
        return summarise(self._outcome(trial))

    def worst(self) -> RobustSummary | None:
        """Of all attacks as they were given, sample by sample; None without an attack."""
        own = [self._outcome(trial) for trial in self.trials if _is_attack(trial) and trial.own]
        return summarise(worst_case(own)) if own else None

    def curves(self) -> dict[str, list[AccuracyCurve]]:
        """Per axis ("eps", "sigma"), the curves of accuracy over it, from no change on."""
        clean, found = self.summary(), dict[str, list[AccuracyCurve]]()
        for name in dict.fromkeys(trial.name for trial in self.trials if trial.in_curve):
            trials = [trial for trial in self.trials if trial.name == name and trial.in_curve]
            points = [(0.0, clean), *((float(trial.value or 0), self.summary(trial)) for trial in trials)]
            points.sort(key=lambda point: point[0])
            numbers = [[getattr(of, part) for _, of in points] for part in ("accuracy", "low", "high")]
            curve = AccuracyCurve(name, [x for x, _ in points], *numbers)
            found.setdefault(trials[0].axis, []).append(curve)
        return found

    def scores(self) -> dict[str, float]:
        """All numbers that are logged, by name."""
        found = {"clean": self.summary().accuracy}
        for trial in self.trials:
            summary = self.summary(trial)
            found[trial.key] = summary.accuracy
            if _is_attack(trial) and trial.own:
                found[f"{trial.name}/success"] = summary.success_rate
        worst = self.worst()
        if worst is not None:
            found["worst_case"] = worst.accuracy
        found |= {f"{curve.name}/auc": curve.area for curves in self.curves().values() for curve in curves}
        found |= self._corruption_scores() | self._similarities()
        if self.checks:
            found["sanity/failed"] = float(sum(not check.passed for check in self.checks))
        return found

    def table(self, epoch: int, step: int, stage: str) -> list[list[Cell]]:
        """A row per trial; the first is that of the clean samples, the last the worst case."""
        rows = [self._row("clean", "", None, self.summary())]
        for trial in self.trials:
            seconds = sum(record.tried[trial.key].seconds for record in self.records)
            row = self._row(trial.name, trial.strength, trial.value, self.summary(trial), seconds, trial.axis)
            rows.append(row)
        worst = self.worst()
        if worst is not None:
            rows.append(self._row("worst_case", "", None, worst))
        return [[epoch, step, stage, *row] for row in rows]

    def samples(self) -> tuple[list[str], list[list[Cell]]]:
        """Columns, and a row per sample with what came of each trial."""
        keys = [trial.key for trial in self.trials]
        rows: list[list[Cell]] = [
            [r.index, r.label, r.prediction, int(r.clean), *(int(r.tried[key].right) for key in keys)]
            for r in self.records
        ]
        return ["index", "label", "prediction", "clean", *keys], rows

    @staticmethod
    def _row(
        name: str, strength: str, value: float | None, s: RobustSummary, seconds: float = 0.0, axis: str = ""
    ) -> list[Cell]:
        numbers = [s.accuracy, s.low, s.high, s.success_rate, s.samples, s.linf, s.l2, s.linf_mean, s.l2_mean]
        return [name, strength, "" if value is None else value, *numbers, *s.passes, seconds, axis]

    def _outcome(self, trial: Trial | None) -> Outcome:
        clean = torch.tensor([record.clean for record in self.records], dtype=torch.bool)
        if trial is None or not self.records:
            return Outcome(clean, clean)
        tried = [record.tried[trial.key] for record in self.records]
        right = torch.tensor([one.right for one in tried])
        linf, l2 = (torch.tensor([getattr(one, name) for one in tried]).double() for name in ("linf", "l2"))
        passes = Passes(*(sum(getattr(t, name) for t in tried) / len(tried) for name in ("forwards", "backwards")))
        return Outcome(clean, right, linf, l2, passes=passes)

    def _corruption_scores(self) -> dict[str, float]:
        """The mean accuracy over all corruptions, and mCE where they are those of ImageNet-C."""
        accuracies: dict[str, dict[int, float]] = {}
        for trial in self.trials:
            if not _is_attack(trial):
                accuracies.setdefault(trial.name, {})[int(trial.value or 0)] = self.summary(trial).accuracy
        if not accuracies:
            return {}
        every = [self.summary(trial).accuracy for trial in self.trials if not _is_attack(trial)]
        found = {"corruptions": sum(every) / len(every)}
        if all(set(accuracies.get(name, {})) == {1, 2, 3, 4, 5} for name in ALEXNET):
            errors = {name: {s: 1 - a for s, a in accuracies[name].items()} for name in ALEXNET}
            found["mce"] = mean_corruption_error(errors)
        return found

    def _similarities(self) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for record in self.records:
            for attack, values in record.similarity.items():
                for measure, value in values.items():
                    found.setdefault(f"{attack}/{measure}", []).append(value)
        known = {name: [v for v in values if math.isfinite(v)] for name, values in found.items()}
        return {name: sum(values) / len(values) if values else math.nan for name, values in known.items()}


def write_robust_report(trainer: L.Trainer, report: RobustReport, name: str) -> None:
    """Write tables and pictures once, from rank zero, under `name`; every rank must call it."""
    folder = run_dir(trainer)  # asks all ranks
    if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
        return
    epoch, step, stage = trainer.current_epoch, trainer.global_step, "test" if trainer.testing else "validation"
    here = Path(folder) / name / f"{stage}_epoch_{epoch:04d}_step_{step:06d}"
    here.mkdir(parents=True, exist_ok=True)
    columns, rows = report.samples()
    write_csv(here / "samples.csv", columns, rows)
    table = report.table(epoch, step, stage)
    append_csv(here.parent / "robustness.csv", COLUMNS, table)
    log_table(trainer.loggers, f"{name}/table", COLUMNS, table, step)
    if report.checks:
        write_csv(here / "sanity.csv", Check._fields, report.checks)
        log_table(
            trainer.loggers, f"{name}/sanity", list(Check._fields), [list(check) for check in report.checks], step
        )
    pictures = _curve_pictures(report)
    panels = {
        f"{attack}_{record.index:06d}": picture
        for record in report.records
        for attack, picture in record.pictures.items()
    }
    for label, picture in {**pictures, **panels}.items():
        save_png(here / f"{label}.png", picture)
    log_images(trainer.loggers, f"{name}/curves", list(pictures.values()), list(pictures), step)
    log_images(trainer.loggers, f"{name}/panels", list(panels.values()), list(panels), step)


def print_robust_report(report: RobustReport, title: str) -> None:
    """The table in the terminal: accuracies with their intervals, and the checks."""
    table = Table(title=title)
    table.add_column("attack or corruption")
    for column in ("strength", "accuracy", "95 % interval", "fooled", "passes", "samples"):
        table.add_column(column, justify="right")
    worst = report.worst()
    rows = [("clean", "", report.summary())]
    rows += [(trial.name, _shown(trial), report.summary(trial)) for trial in report.trials]
    for name, strength, s in [*rows, *([("worst case", "", worst)] if worst else [])]:
        interval, fooled = f"{s.low:.3f} - {s.high:.3f}", "" if name == "clean" else f"{s.success_rate:.3f}"
        passes = f"{s.passes.forward:.0f} + {s.passes.backward:.0f}" if sum(s.passes) else ""
        table.add_row(escape(name), strength, f"{s.accuracy:.3f}", interval, fooled, passes, str(s.samples))
    console = Console()
    wide = console.options.update(max_width=10_000)
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)
    for check in report.checks:
        mark = "[green]passed[/green]" if check.passed else "[red]FAILED[/red]"
        told = "" if check.passed else f": {check.meaning}"
        line = f"{mark} {check.name} ({check.found:.3f}, at most {check.limit:.3f}){told}"
        console.print(line, soft_wrap=True, highlight=False)


def _shown(trial: Trial) -> str:
    return trial.strength.replace("_", "/") if trial.value is not None else ""


def _curve_pictures(report: RobustReport) -> dict[str, RGB]:
    found = {}
    for axis, curves in report.curves().items():
        title = "accuracy under attack" if axis.startswith("eps") else "accuracy under corruption"
        found[f"curve_{axis.replace(' (L2)', '_l2')}"] = accuracy_picture(curves, title, axis)
    return found


def _is_attack(trial: Trial) -> bool:
    return not trial.axis or trial.axis.startswith("eps")
