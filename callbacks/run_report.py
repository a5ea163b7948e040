"""The page that a run ends with."""

import csv
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch.nn.parameter import is_lazy

from lit_attr._run_dir import run_dir
from lit_attr.callbacks.benchmark import BenchmarkCallback
from lit_attr.callbacks.writer import ExplanationWriter
from lit_attr.report import Record, write_report

__all__ = ["ReportCallback"]


class ReportCallback(L.Callback):
    """End every `fit`, `validate`, `test` and `predict` with one page, `report.html` in the folder of the run.

    The page has all in itself, so that it can be sent and read without a network: what was run (command, config, data,
    versions, seed), all logged values and their charts over epochs, explanations and attacked samples with a slider
    over the rounds, mean curves, robustness, predictions, and links to the files. It is made from the files in the
    folder, so `lit-attr report FOLDER` makes it of a run that was killed. In a folder without Lightning's CSVLogger the
    values of each epoch are kept in `history.csv`; `run.json` says what was run. Its path is the last line printed.

    Give it as the last callback, so that what the others write is in it. It writes on rank zero and waits for nobody;
    where it cannot write, the run goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder: Path | None = None
        self._record: Record | None = None
        self._held = self._due = False

    @staticmethod
    @contextmanager
    def once(trainer: L.Trainer) -> Iterator[None]:
        """Of all that the Trainer runs within, make one page at the end, with what was written in between.

        Also where something within fails. Every rank may enter it; nothing is waited for.
        """
        every: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a part of the Trainer
        pages = [callback for callback in every if isinstance(callback, ReportCallback)]
        for page in pages:
            page._held = True
        try:
            yield
        finally:
            for page in pages:
                page._held = False
                page._write(trainer)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Agree on the folder on all ranks; of `predict` it is that of the writer, which is not known yet."""
        self._folder = self._record = None
        if stage == "predict" or trainer.barebones or getattr(trainer, "fast_dev_run", False):
            return
        self._folder = run_dir(trainer)
        self._begin(trainer, pl_module, stage)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the folder of the writer."""
        every: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a part of the Trainer
        found = next((c.output for c in every if isinstance(c, ExplanationWriter)), None)
        if found is not None and not (trainer.barebones or getattr(trainer, "fast_dev_run", False)):
            self._folder = found
            self._begin(trainer, pl_module, "predict")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Keep the values where no CSVLogger does."""
        self._keep(trainer, training=True)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Likewise."""
        if not trainer.sanity_checking:
            self._keep(trainer, training=False)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Likewise."""
        self._keep(trainer, training=False)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Write the page and print its path."""
        self._end(trainer, "finished")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Write the page of what there is."""
        told = f"{type(exception).__name__}: {exception}".rstrip(": ")
        self._end(trainer, f"stopped by {told}")

    def _begin(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if not trainer.is_global_zero or self._folder is None:
            return
        try:
            self._record = Record(self._folder, stage, _facts(trainer, module))
        except OSError as error:
            rank_zero_warn(f"no report: {error}")

    def _keep(self, trainer: L.Trainer, *, training: bool) -> None:
        if self._folder is None or any(isinstance(g, CSVLogger) for g in trainer.loggers):
            return
        logged = trainer.callback_metrics  # on every rank: to read what was logged with `sync_dist` is a collective
        if self._record is None:
            return
        step = max(0, trainer.global_step - 1)  # of the last batch, as loggers count
        found = [(name, float(value)) for name, value in logged.items() if name.startswith("train") == training]
        try:
            with (self._folder / "history.csv").open("a", newline="") as file:
                writer = csv.writer(file)
                if file.tell() == 0:
                    writer.writerow(["epoch", "step", "name", "value"])
                writer.writerows([trainer.current_epoch, step, *pair] for pair in found)
        except OSError as error:
            rank_zero_warn(f"the report lacks values: {error}")

    def _end(self, trainer: L.Trainer, status: str) -> None:
        record, folder = self._record, self._folder
        self._record = None
        if record is None or folder is None:
            return
        try:
            for logger in trainer.loggers:
                if isinstance(logger, CSVLogger):
                    logger.save()  # else it does so after this
            record.add(_data(trainer, folder))
            record.end(status)
        except OSError as error:
            rank_zero_warn(f"no report: {error}")
            return
        self._due = True
        if not self._held:
            self._write(trainer)

    def _write(self, trainer: L.Trainer) -> None:
        """The page, where a run has ended whose page is not made."""
        due, self._due = self._due, False
        if not due or self._folder is None:
            return
        try:
            path = write_report(self._folder)
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger) and Path(logger.experiment.dir).is_dir():
                    shutil.copy(path, Path(logger.experiment.dir) / "report.html")  # what lies there is kept
        except OSError as error:
            rank_zero_warn(f"no report: {error}")
        else:
            print(f"Report: {path}")


def _facts(trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
    """What is known of a run before its data are there."""
    data = getattr(trainer, "datamodule", None)
    device = trainer.strategy.root_device
    return {
        "seed": os.environ.get("PL_GLOBAL_SEED"),
        "model": _named(module, "model"),
        "parameters": sum(part.numel() for part in module.parameters() if not is_lazy(part)),
        "data": "" if data is None else _named(data, "dataset"),
        "device": f"{trainer.world_size} x {device.type}, precision {trainer.precision}",
        "checkpoint": str(trainer.ckpt_path or ""),
        "wandb": next((str(g.version) for g in trainer.loggers if isinstance(g, WandbLogger) and g.experiment.id), ""),
    }


def _data(trainer: L.Trainer, folder: Path) -> dict[str, Any]:
    """The sizes of the data sets that were used, the classes, and where a benchmark lies."""
    sizes = {}
    for name in ("train", "val", "test", "predict"):
        loader = getattr(trainer, "train_dataloader" if name == "train" else f"{name}_dataloaders", None)
        dataset: Any = getattr(loader, "dataset", None)
        if hasattr(dataset, "__len__"):
            sizes[name] = len(dataset)
    classes = getattr(getattr(trainer, "datamodule", None), "class_names", None)
    every: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a part of the Trainer
    found = [os.path.relpath(c.written, folder) for c in every if isinstance(c, BenchmarkCallback) and c.written]
    return {"samples": sizes, "classes": list(classes) if classes else "", "benchmark": found}


def _named(owner: Any, setting: str) -> str:
    """The class, and what a setting calls it."""
    found = getattr(owner, "hparams", {}).get(setting)
    return type(owner).__name__ + (f" ({found})" if isinstance(found, str) else "")
