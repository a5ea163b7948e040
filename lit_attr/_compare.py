"""Two checkpoints on the same samples: `test --ckpt_path <file> --against <file>`, and the end of `fit --retrain`."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from lit_attr._files import write_csv
from lit_attr._results import Results, logged_values, print_comparison, print_paired
from lit_attr._run_dir import run_dir
from lit_attr._view import looking_at
from lit_attr.attribution import SIGMA
from lit_attr.benchmark import paired_bootstrap
from lit_attr.callbacks import ExplanationCallback, RobustnessCallback
from lit_attr.callbacks._collect import Samples, choose_samples, class_name, samples_of
from lit_attr.callbacks._robust_report import RobustReport
from lit_attr.visual import AccuracyCurve, VariantSample, accuracy_picture, draw_variants, save_png

_PICTURES = 4
Values = dict[str, dict[int, float]]
"""By measure, by the place of the sample in the data set."""


class Paired(NamedTuple):
    """One measure of both: means over the same samples, and their difference with its interval of 95 %."""

    measure: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    samples: int


class _Kept(L.Callback):
    """A few test samples, from while the Trainer has its test set."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[Samples] = []
        self.named: Callable[[int], str] = str

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep them, once, where another callback has found that they are samples of classes."""
        every: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        if not self.samples and any(_has_classes(getattr(callback, "report", None)) for callback in every):
            chosen = choose_samples(trainer, _PICTURES, 0)
            self.samples = list(samples_of(trainer, pl_module, chosen, range(len(chosen)), _PICTURES))
            self.named = class_name(trainer)


class _Tested(NamedTuple):
    """What a test left: values per sample by measure, the reports of robustness, what was logged."""

    values: Values
    reports: list[RobustReport]
    logged: dict[str, float]


def compare(
    trainer: L.Trainer,
    model: L.LightningModule,
    data: L.LightningDataModule | None,
    checkpoints: Mapping[str, str],
    sigma: SIGMA,
    title: str = "Test",
) -> None:
    """Test two checkpoints, and tell how the second differs from the first on the same samples.

    The measures are those that a RobustnessCallback, or an ExplanationCallback with `at_test`, has of each sample. Into
    the folder of the run go `comparison.csv`, `comparison_samples.csv` with the values of each sample (of a segmenter
    the mean over its regions; a value that is not finite leaves its sample out of both), `noise.png`
    where there is noise, and `samples.png`: a few samples with variants of which the first has lost its confidence.
    Every rank must call it; rank zero writes.

    Args:
        trainer: with these callbacks.
        model: of the kind of both.
        data: with a test set.
        checkpoints: the two files, by the name to tell them by.
        sigma: the walks to the variants.
        title: of the table.

    Raises:
        ValueError: for a checkpoint of another kind of model.
    """
    tested, models = dict[str, _Tested](), dict[str, L.LightningModule]()
    every: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a part of the Trainer
    kept = _Kept()
    every[:] = [*(callback for callback in every if not isinstance(callback, Results)), kept]  # one table, at the end
    for name, path in checkpoints.items():
        trainer.test(model, datamodule=data, ckpt_path=path, verbose=False)
        tested[name], models[name] = _found(trainer, every), deepcopy(model)
    folder = None if getattr(trainer, "fast_dev_run", False) else run_dir(trainer)
    table = list(paired(*tested.values()))
    if not table:
        print_comparison(title, {name: one.logged for name, one in tested.items()})
        return
    pictures = {"noise.png": _noise(tested), "samples.png": _samples(kept, models, sigma)}
    print_paired(title, list(tested), table)
    if folder is not None:
        _write(folder, tested, table, {name: found for name, found in pictures.items() if found is not None})


def paired(first: _Tested, second: _Tested) -> Iterator[Paired]:
    """The measures that both have, over the samples that both have them of."""
    for measure, values in first.values.items():
        other = second.values.get(measure, {})
        both = sorted(values.keys() & other.keys())
        if not both:
            continue
        found = paired_bootstrap([[one[place] for place in both] for one in (other, values)])
        (after, before), ends = found.means.value, (part[0, 1] for part in found.differences)
        difference, low, high, samples = ends
        yield Paired(measure, float(before), float(after), float(difference), float(low), float(high), int(samples))


def _found(trainer: L.Trainer, callbacks: Sequence[L.Callback]) -> _Tested:
    values, reports = Values(), list[RobustReport]()
    for callback in callbacks:
        if isinstance(callback, RobustnessCallback) and callback.report is not None:
            reports.append(callback.report)
            found = {f"{callback.name}/{key}": column for key, column in _of_robustness(callback.report).items()}
        elif isinstance(callback, ExplanationCallback) and callback.report is not None:
            records = callback.report.records
            pairs = list(records[0].scores) if records else []
            found = {f"{callback.name}/{a}/{b}": [record.scores[a, b] for record in records] for a, b in pairs}
        else:
            continue
        places = [record.index for record in callback.report.records]
        values |= {measure: _of_samples(places, column) for measure, column in found.items()}
    return _Tested(values, reports, logged_values(trainer))


def _of_samples(places: Sequence[int], column: Sequence[float]) -> dict[int, float]:
    """By place, the mean of a sample's values, as a segmenter's sample has one per region; without the not finite."""
    every = dict[int, list[float]]()
    for place, value in zip(places, column, strict=True):
        if math.isfinite(value):
            every.setdefault(place, []).append(value)
    return {place: statistics.fmean(of) for place, of in every.items()}


def _has_classes(report: Any) -> bool:
    """Whether a callback has reported of samples with a class each, and not of regions."""
    return report is not None and any(not getattr(record, "region", False) for record in report.records)


def _of_robustness(report: RobustReport) -> dict[str, list[float]]:
    """1.0 for each sample that is right, by trial; and the error over all corruptions of ImageNet-C."""
    found = {"clean": [float(record.clean) for record in report.records]}
    for trial in report.trials:
        found[trial.key] = [float(record.tried[trial.key].right) for record in report.records]
    corrupted = [found[trial.key] for trial in report.trials if trial.axis == "severity"]
    if corrupted:
        found["corruption_error"] = (1 - np.mean(corrupted, axis=0)).tolist()
    return found


def _noise(tested: Mapping[str, _Tested]) -> Any:
    """Accuracy over the strength of the noise, of both; None without noise."""
    curves = [
        AccuracyCurve(f"{curve.name}, {name}", *curve[1:])
        for name, one in tested.items()
        for report in one.reports
        for curve in report.curves().get("sigma", [])
    ]
    curves.sort(key=lambda curve: curve.name.partition(",")[0])  # the same noise of both beside each other
    return accuracy_picture(curves, "accuracy in noise", "sigma") if curves else None


def _samples(kept: _Kept, models: Mapping[str, L.LightningModule], sigma: SIGMA) -> Any:
    """A few test samples with their variants; None where they are no images."""
    first, named, drawn = next(iter(models.values())), kept.named, list[VariantSample]()
    device = next(first.parameters()).device  # the Trainer may have moved it back
    for samples in kept.samples:
        if samples.images.dim() != 4:
            return None
        images = samples.images.to(device)
        found = sigma.explain(first, images, samples.labels.to(device))
        assert found.endpoint is not None
        ends = found.endpoint.view(len(images), -1, *images.shape[1:])[:, 0]
        said = [{name: _predicted(one, x) for name, one in models.items()} for x in (images, ends.to(images))]
        for i, index in enumerate(samples.numbers):
            image, variant = images[i].float().cpu(), ends[i].float().cpu()
            before, after = ({name: (named(int(k[i])), float(p[i])) for name, (p, k) in of.items()} for of in said)
            label, distances = named(int(samples.labels[i])), {"L2": float((variant - image).norm())}
            walk = found.attribution[i].cpu()
            drawn.append(VariantSample(image, variant, walk, index, label, before, after, distances))
    return draw_variants(drawn) if drawn else None


def _predicted(model: L.LightningModule, images: Tensor) -> tuple[Tensor, Tensor]:
    """Probability and class that are predicted, `[B]` each."""
    with looking_at(model, images, 0) as view:
        sure, index = view.evidence_at(view.inputs, view.rows).softmax(1).max(1)
    return sure, index


@rank_zero_only
def _write(folder: Path, tested: Mapping[str, _Tested], table: Sequence[Paired], pictures: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first, second = (one.values for one in tested.values())
    samples: list[Sequence[Any]] = [
        [row.measure, place, value, second[row.measure][place]]
        for row in table
        for place, value in first[row.measure].items()
        if place in second[row.measure]
    ]
    columns = ["measure", *tested, "difference", "low", "high", "samples"]
    write_csv(folder / "comparison.csv", columns, table)
    write_csv(folder / "comparison_samples.csv", ["measure", "index", *tested], samples)
    for name, picture in pictures.items():
        save_png(folder / name, picture)
    console = Console()
    for name in ("comparison.csv", "comparison_samples.csv", *pictures):
        console.print(f"Comparison: [bold]{escape(str(folder / name))}[/bold]", soft_wrap=True)
