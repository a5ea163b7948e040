"""Where images with masks come from: Pascal VOC 2012, the Semantic Boundaries Dataset, and folders."""

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from torchvision import datasets

from lit_attr._checks import ArgumentError
from lit_attr.datamodules._masked import MaskedImages
from lit_attr.datamodules._sources import Part
from lit_attr.datamodules.reading import EXTENSIONS, is_image_name

_VOC_NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
)
_VOC_CLASSES = tuple(_VOC_NAMES.split())
_VOC_VAL = Path("VOCdevkit", "VOC2012", "ImageSets", "Segmentation", "val.txt")
_PARTS: tuple[Part, ...] = ("train", "val", "test")
_MASK_EXTENSIONS = (".png", ".bmp", ".tif", ".tiff", ".pgm", ".gif")


@dataclasses.dataclass(frozen=True)
class MaskSource(ABC):
    """A data set with masks: its constants, and how its files are found.

    Args:
        class_names: the classes in the order of their indices.
        size: the shorter side that its images are usually brought to, in pixels; None leaves them as they are.
        crop: side of the windows that are usually trained on; None trains on whole images.
        uniform: whether all images are of one size, so that they make batches as they are.
    """

    class_names: tuple[str, ...]
    size: int | None = 520
    crop: int | None = 480
    uniform: bool = False

    @abstractmethod
    def prepare(self, root: Path, *, download: bool) -> None:
        """Fetch what is missing, where that is asked for, or say what is missing; called by one process."""

    @abstractmethod
    def parts(self, root: Path) -> tuple[Part, ...]:
        """The parts that the data set comes with."""

    @abstractmethod
    def load(self, root: Path, part: Part) -> MaskedImages:
        """The images of one of these parts, or an error that says why they are not there."""


@dataclasses.dataclass(frozen=True)
class Voc(MaskSource):
    """Pascal VOC 2012 as torchvision lays it out, root/VOCdevkit/VOC2012; the labels of its test part are secret."""

    class_names: tuple[str, ...] = _VOC_CLASSES

    def prepare(self, root: Path, *, download: bool) -> None:
        _fetch(_voc, root, "train", download=download)

    def parts(self, root: Path) -> tuple[Part, ...]:  # noqa: ARG002, the same wherever the root is
        return ("train", "val")

    def load(self, root: Path, part: Part) -> MaskedImages:
        return MaskedImages(*_voc(root, part))


@dataclasses.dataclass(frozen=True)
class Sbd(MaskSource):
    """The Semantic Boundaries Dataset in root/sbd, without the images of VOC 2012's validation part.

    Most images of it are VOC's, parted differently. So of both parts those are left out by which VOC is validated: what
    is trained here can be validated there, and the two are two data sets. Its masks have no ignored rim.

    Args:
        with_voc: VOC's training part, and of SBD all that it has beyond it, to train on; VOC's validation part to
            validate. With the whole data sets these are the 10582 images known as "trainaug".
    """

    class_names: tuple[str, ...] = _VOC_CLASSES
    with_voc: bool = False

    def prepare(self, root: Path, *, download: bool) -> None:
        if download and not (root / _VOC_VAL).is_file():
            _fetch(_voc, root, "train", download=True)
        _fetch(_sbd, root, "train", download=download)
        _voc_validation(root)

    def parts(self, root: Path) -> tuple[Part, ...]:  # noqa: ARG002
        return ("train", "val")

    def load(self, root: Path, part: Part) -> MaskedImages:
        taken = _voc_validation(root)
        if not self.with_voc:
            return _without(taken, *_sbd(root, part))
        own = _voc(root, part)
        if part == "val":
            return MaskedImages(*own)
        images, masks = (first + second for first, second in zip(_sbd(root, "train"), _sbd(root, "val"), strict=True))
        more = _without(taken | set(map(_id, own[0])), images, masks)
        return MaskedImages([*own[0], *more.images], [*own[1], *more.masks])


@dataclasses.dataclass(frozen=True)
class MaskFolder(MaskSource):
    """Images and masks in folders of the same layout: a mask has the name of its image, up to the extension.

    Args:
        images: the folder of a part's images below root, with {part} for train, val or test.
        masks: that of its masks.
    """

    images: str = "{part}/images"
    masks: str = "{part}/masks"

    def prepare(self, root: Path, *, download: bool) -> None:
        if download:
            raise ArgumentError("download", download, "false for a folder")
        if not self.parts(root):
            raise self._nothing(root)

    def parts(self, root: Path) -> tuple[Part, ...]:
        return tuple(part for part in _PARTS if (root / self.images.format(part=part)).is_dir())

    def load(self, root: Path, part: Part) -> MaskedImages:
        if part not in self.parts(root):
            raise self._nothing(root)
        folder, other = root / self.images.format(part=part), root / self.masks.format(part=part)
        images = sorted(path for path in folder.rglob("*") if path.is_file() and is_image_name(path))
        if not images:
            raise ArgumentError("root", f"no image in {folder}", f"a folder with images ({', '.join(EXTENSIONS)})")
        return MaskedImages([str(path) for path in images], [_mask_of(path, folder, other) for path in images])

    def _nothing(self, root: Path) -> ArgumentError:
        accepted = f"a folder with {self.images.format(part='train')}/ and {self.masks.format(part='train')}/"
        return ArgumentError("root", str(root), f"{accepted}, and where there are any, val and test of the same form")


def _mask_of(image: Path, folder: Path, masks: Path) -> str:
    wanted = masks / image.relative_to(folder)
    found = [path for path in (wanted.with_suffix(extension) for extension in _MASK_EXTENSIONS) if path.is_file()]
    if not found:
        got = f"none for {image} (wanted: {wanted.with_suffix('.png')})"
        raise ArgumentError("masks", got, f"one for each image, of the same name ({', '.join(_MASK_EXTENSIONS)})")
    return str(found[0])


def _voc(root: Path, part: str, *, download: bool = False) -> tuple[list[str], list[str]]:
    found = datasets.VOCSegmentation(root, year="2012", image_set=part, download=download)
    return found.images, found.masks


def _sbd(root: Path, part: str, *, download: bool = False) -> tuple[list[str], list[str]]:
    found = datasets.SBDataset(root / "sbd", image_set=part, mode="segmentation", download=download)
    return found.images, found.masks


def _fetch(read: Any, root: Path, part: str, *, download: bool) -> None:
    """See that a data set is there; where it is not, download it or say how."""
    name = {_voc: "Pascal VOC 2012", _sbd: "the Semantic Boundaries Dataset"}[read]
    try:
        read(root, part)
    except (OSError, RuntimeError) as missing:
        if not download:
            msg = f"{name} is not in '{root}'; `--data.download true` downloads it there (2 GB)"
            raise FileNotFoundError(msg) from missing
        try:
            read(root, part, download=True)
        except (OSError, RuntimeError) as error:
            msg = f"{name} is not in '{root}' and cannot be downloaded: {error}"
            raise OSError(msg) from error


def _voc_validation(root: Path) -> set[str]:
    path = root / _VOC_VAL
    if not path.is_file():
        msg = (
            f"there is no file '{path}': the list of the images by which Pascal VOC 2012 is validated, which are left "
            "out of the Semantic Boundaries Dataset; of VOC this one file is enough"
        )
        raise FileNotFoundError(msg)
    return set(path.read_text().split())


def _without(taken: set[str], images: list[str], masks: list[str]) -> MaskedImages:
    left = [pair for pair in zip(images, masks, strict=True) if _id(pair[0]) not in taken]
    return MaskedImages([image for image, _ in left], [mask for _, mask in left])


def _id(path: str) -> str:
    return Path(path).stem
