"""The regions that a benchmark explains: chosen once for a model and a set of images, and kept as files."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import lightning as L
import torch

from lit_attr._files import sha256, write_whole
from lit_attr.benchmark import Batch
from lit_attr.callbacks._collect import Samples, class_name, gather, own_samples, samples_of
from lit_attr.callbacks._regions import with_regions
from lit_attr.datamodules import read_mask
from lit_attr.metrics._region import others_of
from lit_attr.regions import RegionChoice
from lit_attr.targets import RegionTarget
from lit_attr.visual import save_classes

_COLUMNS = ["key", "sample", "class", "name", "pixels", "off_target"]
_REGION, _OTHERS = 1, 2  # in a file; 0 is neither


class Row(NamedTuple):
    """One region."""

    key: str
    sample: int
    label: int


class RegionList:
    """The regions on the disk: `list.csv`, and a mask of each with 1 in the region and 2 off target.

    Args:
        folder: with a finished list.
        choice: as they were chosen by.
    """

    def __init__(self, folder: Path, choice: RegionChoice) -> None:
        self.folder, self.choice = folder, choice
        with (folder / "list.csv").open(newline="") as file:
            self.rows = [Row(row["key"], int(row["sample"]), int(row["class"])) for row in csv.DictReader(file)]

    @property
    def told(self) -> str:
        """How many there are, and the hash of the list with all that is in its files."""
        found = hashlib.sha256((self.folder / "list.csv").read_bytes())
        for row in self.rows:
            found.update(sha256(self.folder / f"{row.key}.png").encode())
        return f"{len(self.rows)} regions, sha256 {found.hexdigest()[:16]}"

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
    if not trainer.strategy.broadcast((folder / "list.csv").is_file()):
        counts, rows = Counter[str](), list[list[object]]()
        for samples in own_samples(trainer, module, chosen, size, dense=True):
            for one_each, target, _ in with_regions(module, samples, choice, size, counts):
                rows += _written(trainer, one_each, target, folder)
        every = sorted((row for part in gather([rows]) for row in part), key=lambda row: (row[1], row[2]))
        if trainer.is_global_zero:
            text = io.StringIO(newline="")
            csv.writer(text).writerows([_COLUMNS, *every])
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "list.csv", text.getvalue().encode())
        trainer.strategy.barrier()
    return RegionList(folder, choice)


def _written(trainer: L.Trainer, samples: Samples, target: RegionTarget, folder: Path) -> Iterator[list[object]]:
    """The lines of some regions, whose masks are on the disk."""
    named, off_target = class_name(trainer), others_of(target)
    for i, number in enumerate(samples.numbers):
        index, mask, others = int(target.index[i]), target.mask[i], off_target[i]
        key = f"{number:06d}_{index}"
        save_classes(folder / f"{key}.png", mask.long() * _REGION + others.long() * _OTHERS)
        yield [key, number, index, named(index), int(mask.sum()), int(others.sum())]


def _identity(trainer: L.Trainer, module: L.LightningModule, chosen: Sequence[int], choice: RegionChoice) -> str:
    """Of a choice among these images; the first of them tells data sets and sizes apart."""
    first = next(samples_of(trainer, module, chosen, [0], 1, dense=True)).images
    found = hashlib.sha256(f"{choice} {sorted(chosen)} {tuple(first.shape)}".encode())
    found.update(first.detach().float().cpu().numpy().tobytes())
    return found.hexdigest()[:12]
