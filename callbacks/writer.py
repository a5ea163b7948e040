"""Predictions with their explanations, written image by image; a killed run goes on where it was."""

import csv
import json
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TextIO

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from safetensors.torch import save_file
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr._files import whole
from lit_attr.attribution import METHODS, Method
from lit_attr.callbacks._collect import class_name, gather, require_whole_model
from lit_attr.callbacks._segments import Written, explain_segments, write_segments
from lit_attr.datamodules import PredictBatch
from lit_attr.regions import RegionChoice
from lit_attr.targets import logits_of
from lit_attr.visual import picture, save_png

__all__ = ["ExplanationWriter"]

_COLUMNS = ["name", "prediction", "class_name", "confidence", "error"]
Row = dict[str, str]


class ExplanationWriter(L.Callback):
    """In `predict`, write a heat-map, the raw attribution and a line of `predictions.csv` for every image.

    For an image `a/b.jpg` of the predicted folder these are `a/b.jpg.png` and `a/b.jpg.safetensors` (tensors
    `attribution` `[C, H, W]` or `[1, H, W]`, and `logits` `[K]`). The line comes last, so an image with a line is
    finished; a run that is started again leaves those out. An unreadable image gets a line with its error, is reported
    at the end, and is tried again by the next run.

    Of a segmenter they are `a/b.jpg.mask.png`, the class of each pixel of the file as indices with a palette
    (`lit_attr.visual.save_classes`), for each predicted class that is explained a heat-map
    `a/b.jpg.<index>_<class>.png`, and `a/b.jpg.safetensors` (`attribution` `[T, C, H, W]`, `classes` `[T]`, and the
    explained regions `masks` `[T, H, W]`). The line has all classes but the background, and the mean confidence.

    Args:
        method: name of an attribution method, or a mapping of its settings with the name under `class`; None writes
            predictions alone.
        folder: where to write. None is `predictions/<name of the predicted folder>`, in the run's folder where the
            checkpoint lies in one, else in the Trainer's `default_root_dir`.
        regions: of a segmenter, how large a predicted region must be to be explained, its background, and the score.

    Raises:
        ValueError: for an unknown method, or a folder with predictions of other images, weights or settings.
    """

    def __init__(
        self,
        method: str | dict[str, Any] | None = "ig",
        folder: str | None = None,
        regions: RegionChoice = RegionChoice(),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__()
        self.method: Method | None = None
        if method is not None:
            settings = {"class": method} if isinstance(method, str) else dict(method)
            (self.method,) = METHODS.build_all({"method": settings}).values()
        self.regions = regions
        self._folder = folder
        self._errors: list[tuple[str, str]] = []
        self._finished: set[str] = set()
        self._lines: TextIO | None = None
        self._expected: Path | None = None

    def expect(self, checkpoint: str | Path) -> None:
        """Say which checkpoint the next `predict` will load, so that images that are finished are not even read.

        Without this they are read and passed through the model, but not explained again: when the data is set up, a
        Trainer does not know the checkpoint yet, or still the one of its last run.
        """
        self._expected = Path(checkpoint)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Leave out what earlier runs have finished, where the checkpoint is known."""
        if stage == "predict":
            require_whole_model(trainer)
            if type(pl_module).predict_step is L.LightningModule.predict_step:  # calls `forward` with the whole batch
                accepted = "one with a `predict_step(batch, batch_idx)` that gives the logits of `batch.image`"
                raise ArgumentError("model", f"a {type(pl_module).__name__} without `predict_step`", accepted)
        self._errors, self._finished, self._lines = [], set(), None
        dataset = getattr(getattr(trainer, "datamodule", None), "predict_dataset", None)
        if stage == "predict" and self._expected is not None and dataset is not None:
            self._claim(trainer, pl_module, self._expected)
            dataset.skip(self._finished)
        self._expected = None

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the file of lines."""
        self._claim(trainer, pl_module, Path(trainer.ckpt_path) if trainer.ckpt_path else None)
        rank = trainer.global_rank
        self._lines = _open(self.output / (f"predictions.rank{rank}.csv" if rank else "predictions.csv"))

    def _claim(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: Path | None) -> None:
        """Settle the output folder, refuse it where it belongs to other predictions, and see what is finished."""
        images = Path(str(getattr(getattr(trainer, "datamodule", None), "predict_path", None) or "images")).resolve()
        if self._folder is not None:
            self.output = Path(self._folder)
        else:
            in_run = checkpoint is not None and checkpoint.parent.name == "checkpoints"
            root = checkpoint.parent.parent if checkpoint and in_run else Path(trainer.default_root_dir)
            self.output = root / "predictions" / images.name
        if self.output.resolve().is_relative_to(images):
            raise ArgumentError("writer.folder", str(self.output), f"outside of the predicted folder {images}")
        weights = _identity(checkpoint, module)
        if trainer.is_global_zero:
            chosen = "" if self.regions == RegionChoice() else f" of {self.regions}"
            _mark(self.output, {"method": f"{self.method!r}{chosen}", "weights": weights, "images": str(images)})
            _merge(self.output)  # a killed run leaves lines of several ranks, and perhaps one that is cut
        trainer.strategy.barrier()
        known, self._finished = self._finished, {name for name, row in _read(self.output).items() if not row["error"]}
        if self._finished - known:
            rank_zero_info(f"Finished before in {self.output}, left out: {len(self._finished)} of the images.")

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Explain and write one batch."""
        if not isinstance(batch, PredictBatch):
            accepted = "a lit_attr.datamodules.PredictBatch (images, names, errors)"
            raise ArgumentError("batch", type(batch).__name__, accepted)
        for name, cause in batch.errors:
            self._errors.append((name, cause))
            self._write_line({"name": name, "error": " ".join(cause.split())})
        todo = [i for i, name in enumerate(batch.names) if name not in self._finished]
        if not todo:
            return
        images, logits = batch.image[todo], logits_of(outputs).detach()[todo]
        names, sizes = [batch.names[i] for i in todo], [batch.sizes[i] for i in todo] if batch.sizes else None
        write = self._write_segments if logits.dim() == 4 else self._write_classes
        write(class_name(trainer), pl_module, Written(names, images, logits, sizes))

    def _write_classes(self, named: Callable[[int], str], module: L.LightningModule, batch: Written) -> None:
        confidence, prediction = batch.logits.softmax(1).max(1)
        maps = None if self.method is None else self.method(module, batch.images, prediction)
        for i, name in enumerate(batch.names):
            predicted, sure, tensors = int(prediction[i]), float(confidence[i]), {"logits": batch.logits[i]}
            if maps is not None:
                shown = picture(batch.images[i], maps[i], f"{named(predicted)} {sure:.0%}")
                save_png(self.output / f"{name}.png", shown)
                tensors["attribution"] = maps[i]
            _save(self.output / f"{name}.safetensors", tensors)
            row = {"prediction": str(predicted), "class_name": named(predicted), "confidence": f"{sure:.6f}"}
            self._write_line({"name": name, **row, "error": ""})

    def _write_segments(self, named: Callable[[int], str], module: L.LightningModule, batch: Written) -> None:
        for i, name in enumerate(batch.names):
            row = write_segments(self.output / name, named, batch.take(i), self.regions)
            if self.method is not None:
                explained = explain_segments(
                    self.output / name, named, module, batch.take(i), self.regions, self.method
                )
                _save(self.output / f"{name}.safetensors", explained)
            self._write_line({"name": name, **row, "error": ""})

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Sort the lines of all ranks into one file, and report what could not be read."""
        if stage != "predict" or self._lines is None:
            return
        self._lines.close()
        self._lines = None
        errors = gather(self._errors)
        if trainer.is_global_zero:
            _merge(self.output)
            rank_zero_info(f"Predictions and explanations are in {self.output}.")
        if errors:
            some = "; ".join(f"{name} ({cause})" for name, cause in errors[:10])
            more = "; ..." if len(errors) > 10 else ""
            rank_zero_warn(f"unreadable: {len(errors)} of the images: {some}{more}")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Close the file of lines; those of finished images are in it."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _write_line(self, row: Mapping[str, str]) -> None:
        if self._lines is None:
            msg = "a batch came before setup; run it through Trainer.predict"
            raise RuntimeError(msg)
        csv.DictWriter(self._lines, _COLUMNS, restval="").writerow(row)
        self._lines.flush()
        os.fsync(self._lines.fileno())


def _identity(checkpoint: Path | None, module: L.LightningModule) -> str:
    """What tells these weights from others: the checkpoint's path, size and time, else a sum over the weights."""
    if checkpoint is not None:
        stat = checkpoint.stat()
        return f"{checkpoint.resolve()} of {stat.st_size} bytes, {stat.st_mtime_ns}"
    total = 0
    for value in filter(torch.is_tensor, module.state_dict().values()):
        total = zlib.crc32(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes(), total)
    return f"sum {total:08x}"


def _mark(folder: Path, origin: dict[str, str]) -> None:
    """Note in the folder what its predictions come from, or see that the note says the same."""
    note = folder / "origin.json"
    if note.is_file():
        found = json.loads(note.read_text())
        for key, value in origin.items():
            if found.get(key) != value:
                msg = (
                    f"`writer.folder`: {folder} holds predictions with other {key} ({found.get(key)}; now {value}); "
                    "give another folder, or remove it"
                )
                raise ValueError(msg)
        return
    if (folder / "predictions.csv").exists():
        raise ArgumentError("writer.folder", str(folder), "a folder without a predictions.csv that is not ours")
    folder.mkdir(parents=True, exist_ok=True)
    with whole(note) as temporary:
        temporary.write_text(json.dumps(origin, indent=1))


def _text(path: Path, mode: Literal["r", "w", "a"]) -> TextIO:
    return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")  # names need not be valid UTF-8


def _open(path: Path) -> TextIO:
    """A file of lines to append to."""
    file = _text(path, "a")
    if file.tell() == 0:
        csv.DictWriter(file, _COLUMNS).writeheader()
        file.flush()
    return file


def _read(folder: Path) -> dict[str, Row]:
    """The last whole line of each image, over the files of all ranks."""
    rows: dict[str, Row] = {}
    for path in sorted(folder.glob("predictions*.csv")):
        with _text(path, "r") as file:
            for row in csv.DictReader(file):
                if None not in row.values() and not (row["error"] and row["name"] in rows):
                    rows[row["name"]] = row
    return rows


def _merge(folder: Path) -> None:
    rows = _read(folder)
    with whole(folder / "predictions.csv") as temporary, _text(temporary, "w") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows[name] for name in sorted(rows))
    for path in folder.glob("predictions.rank*.csv"):
        path.unlink()


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary)
