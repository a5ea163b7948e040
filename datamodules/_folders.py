"""Labelled images in folders named after their classes."""

import dataclasses
import os
from pathlib import Path

import torch
from torchvision import datasets
from torchvision.models import ResNet50_Weights

from lit_attr._checks import ArgumentError
from lit_attr.datamodules._dataset import LabelledImages
from lit_attr.datamodules._sources import Part, Source
from lit_attr.datamodules.reading import EXTENSIONS, is_image_name

_PARTS: tuple[Part, ...] = ("train", "val", "test")
_FOLDER_LAYOUT = "a folder with train/<class>/<image>, and where there are any, val/ and test/ of the same form"
_IMAGENET_LAYOUT = (
    "a folder with ImageNet 2012, as train/<wnid>/<image> and val/<wnid>/<image> of 1000 classes, or as the files "
    "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz, which are then unpacked"
)


@dataclasses.dataclass(frozen=True)
class Folder(Source):
    """Files in root/<part>/<class>/, the classes in the order of their folders' names."""

    def class_names(self, root: Path) -> tuple[str, ...]:
        names = _class_folders(root)
        if not names:
            raise ArgumentError("root", str(root), _FOLDER_LAYOUT)
        return names

    def prepare(self, root: Path) -> None:
        self.class_names(root)

    def parts(self, root: Path) -> tuple[Part, ...]:
        return tuple(part for part in _PARTS if (root / part).is_dir())

    def load(self, root: Path, part: Part) -> LabelledImages:
        if not (root / part).is_dir():
            raise ArgumentError("root", str(root), _FOLDER_LAYOUT)
        return _labelled(root / part, self.class_names(root))


@dataclasses.dataclass(frozen=True)
class ImageNet(Source):
    """ImageNet 2012 in the folders that torchvision unpacks; its validation part also serves as test."""

    def class_names(self, root: Path) -> tuple[str, ...]:  # noqa: ARG002, the same wherever the root is
        return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])

    def prepare(self, root: Path) -> None:
        for part in ("train", "val"):
            if not (root / part).is_dir() and (root / f"ILSVRC2012_img_{part}.tar").is_file():
                datasets.ImageNet(root, split=part)
        self._wnids(root)

    def parts(self, root: Path) -> tuple[Part, ...]:  # noqa: ARG002
        return ("train", "val")

    def load(self, root: Path, part: Part) -> LabelledImages:
        if not (root / part).is_dir():
            raise ArgumentError("root", str(root), _IMAGENET_LAYOUT)
        return _labelled(root / part, self._wnids(root))

    def _wnids(self, root: Path) -> tuple[str, ...]:
        wnids = _class_folders(root)
        if len(wnids) != len(self.class_names(root)):
            got = f"'{root}' with {len(wnids)} class folders (a subset is read with `dataset: folder`)"
            raise ArgumentError("root", got, _IMAGENET_LAYOUT)
        return wnids


def _class_folders(root: Path) -> tuple[str, ...]:
    """The class folders of the training part or, where only another is there to be evaluated, of that."""
    for part in _PARTS:
        if (root / part).is_dir():
            return _subfolders(root / part)
    return ()


def _subfolders(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".")))


def _labelled(folder: Path, names: tuple[str, ...]) -> LabelledImages:
    """The images of a part's folder, with labels by the training folder's classes."""
    if unknown := sorted(set(_subfolders(folder)) - set(names)):
        raise ArgumentError(f"root/{folder.name}", f"a folder {unknown[0]}", "divided into the classes of root/train")
    index = {name: i for i, name in enumerate(names)}
    files = datasets.folder.make_dataset(folder, index, is_valid_file=is_image_name, allow_empty=True)
    labels = torch.tensor([label for _, label in files], dtype=torch.long)
    empty = sorted(set(_subfolders(folder)) - {names[label] for label in set(labels.tolist())})
    if empty or not files:
        got = f"no image in {folder / empty[0] if empty else folder}"
        raise ArgumentError(f"root/{folder.name}", got, f"folders that hold images ({', '.join(EXTENSIONS)})")
    return LabelledImages([path for path, _ in files], labels)
