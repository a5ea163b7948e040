"""The regions that a benchmark explains: chosen once for a model and a set of images, and kept as files."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import lightning as L
import torch

from lit_attr._files import sha256, write_csv, write_whole
from lit_attr._ranks import on_each_rank, on_rank_zero
from lit_attr.benchmark import Batch
from lit_attr.callbacks._collect import Samples, class_name, own_samples
from lit_attr.callbacks._regions import with_regions
from lit_attr.datamodules import read_mask
from lit_attr.metrics._region import others_of
from lit_attr.regions import RegionChoice
from lit_attr.targets import RegionTarget
from lit_attr.visual import save_classes

_LIST, _LEFT_OUT = "list.csv", "left_out.json"
_COLUMNS = ["key", "sample", "class", "name", "pixels", "off_target"]
_REGION, _OTHERS = 1, 2  # in a file; 0 is neither


class Row(NamedTuple):
    """One region."""

    key: str
    sample: int
    label: int


class RegionList:
    """The regions on the disk: `list.csv`, a mask of each with 1 in the region and 2 off target, and `left_out.json`.

    Args:
        folder: with a finished list.
        choice: as they were chosen by.
    """

    def __init__(self, folder: Path, choice: RegionChoice) -> None:
        self.folder, self.choice = folder, choice
        with (folder / _LIST).open(newline="", encoding="utf-8") as file:
            self.rows = [Row(row["key"], int(row["sample"]), int(row["class"])) for row in csv.DictReader(file)]

    @property
    def told(self) -> str:
        """How many there are, the hash of the list with all masks, and how many were left out for which reason."""
        found = hashlib.sha256((self.folder / _LIST).read_bytes())
        for row in self.rows:
            found.update(sha256(self.folder / f"{row.key}.png").encode())
        left_out: dict[str, int] = json.loads((self.folder / _LEFT_OUT).read_text())
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        return f"{len(self.rows)} regions, sha256 {found.hexdigest()[:16]}; left out: {reasons or 'none'}"

    def keys(self, samples: Sequence[int]) -> list[str]:
        """Of these samples, in their order."""
        return [row.key for number in samples for row in self.rows if row.sample == number]

    def batches(
        self, trainer: L.Trainer, module: L.LightningModule, chosen: Sequence[int], size: int, images: int
    ) -> Iterator[Batch]:
        """This rank's share of them, `size` images at once, those of the first `images` drawn."""
        named = class_name(trainer)
        for samples in own_samples(trainer, module, chosen, size, dense=True):
            rows = [(i, row) for i, number in enumerate(samples.numbers) for row in self.rows if row.sample == number]
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                places = [i for i, _ in part]
                masks = torch.stack([read_mask(self.folder / f"{row.key}.png") for _, row in part])
                masks = masks.to(samples.images.device)
                index = torch.tensor([row.label for _, row in part], device=masks.device)
                target = RegionTarget(index, masks == _REGION, masks == _OTHERS, self.choice.score)
                yield Batch(
                    samples.images[places],
                    [row.key for _, row in part],
                    target,
                    target.mask,
                    [named(row.label) for _, row in part],
                    [samples.order[i] < images for i in places],
                    None if samples.masks is None else samples.masks[places],
                )


def choose_regions(
    trainer: L.Trainer,
    module: L.LightningModule,
    chosen: Sequence[int],
    choice: RegionChoice,
    folder: Path,
    size: int,
) -> RegionList:
    """The regions of the chosen images: those that are in the folder, else found and written; every rank must call it.

    Once they are there, neither the order of sums on another machine nor other batches move a pixel of them.
    """
    folder = trainer.strategy.broadcast(folder / "regions" / _identity(trainer, module, chosen, choice))

    def found() -> tuple[list[list[object]], Counter[str]]:
        """This rank's lines, and how many are kept and left out."""
        counts, rows = Counter[str](), list[list[object]]()
        for samples in own_samples(trainer, module, chosen, size, dense=True):
            for one_each, target, _ in with_regions(module, samples, choice, size, counts):
                rows += _written(trainer, one_each, target, folder)
        return rows, counts

    if not on_rank_zero(lambda: all((folder / name).is_file() for name in (_LEFT_OUT, _LIST))):
        every = on_each_rank(found)
        on_rank_zero(lambda: _write_list(folder, every))
    return RegionList(folder, choice)


def _write_list(folder: Path, every: Sequence[tuple[list[list[object]], Counter[str]]]) -> None:
    """The list of all ranks; it comes last, so that where it is, all is there."""
    counts = sum((counts for _, counts in every), Counter[str]())  # without those that are zero
    rows = sorted((row for rows, _ in every for row in rows), key=lambda row: (row[1], row[2]))
    folder.mkdir(parents=True, exist_ok=True)
    left_out = {reason: count for reason, count in sorted(counts.items()) if reason != "kept"}
    write_whole(folder / _LEFT_OUT, json.dumps(left_out).encode())
    write_csv(folder / _LIST, _COLUMNS, rows)


def _written(trainer: L.Trainer, samples: Samples, target: RegionTarget, folder: Path) -> Iterator[list[object]]:
    """The lines of some regions, whose masks are on the disk."""
    named, off_target = class_name(trainer), others_of(target)
    for i, number in enumerate(samples.numbers):
        index, mask, others = int(target.index[i]), target.mask[i], off_target[i]
        key = f"{number:06d}_{index}"
        save_classes(folder / f"{key}.png", mask.long() * _REGION + others.long() * _OTHERS)
        yield [key, number, index, named(index), int(mask.sum()), int(others.sum())]


def _identity(trainer: L.Trainer, module: L.LightningModule, chosen: Sequence[int], choice: RegionChoice) -> str:
    """Of a choice among these images with these masks: what was corrected since has regions of its own."""

    def own() -> list[tuple[int, str]]:
        """By its number, what each sample is, size and all."""
        told = []
        for samples in own_samples(trainer, module, chosen, 1, dense=True):
            found = hashlib.sha256(f"{tuple(samples.images.shape)}".encode())
            found.update(samples.images.detach().float().cpu().numpy().tobytes())
            found.update(samples.labels.cpu().numpy().tobytes())
            told.append((samples.numbers[0], found.hexdigest()))
        return told

    every = sorted(one for part in on_each_rank(own) for one in part)
    ignored = getattr(module, "ignore_index", 255)
    return hashlib.sha256(f"{choice} {ignored} {every}".encode()).hexdigest()[:12]
