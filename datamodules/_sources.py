"""Where labelled images come from: what a data set must offer, and the ones that fit into memory."""

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lit_attr.datamodules._dataset import LabelledImages, stratified_split

_LUMA = (0.299, 0.587, 0.114)  # grey from red, green and blue, ITU-R BT.601

Part = Literal["train", "val", "test"]


@dataclasses.dataclass(frozen=True)
class Source(ABC):
    """A data set: its constants, and how its images are found.

    Args:
        size: side that its images have or are usually brought to, in pixels.
        mean: mean per channel in [0, 1]; their number is the number of channels.
        std: standard deviation per channel.
        margin: whether evaluation cuts the centre with a margin (see `evaluation_transform`).
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    margin: bool = False

    def statistics(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation for images converted to `channels`.

        Grey ones are repeated. Of colours the weighted mean is taken, which for the deviation is an upper bound.
        """
        return _converted(self.mean, channels), _converted(self.std, channels)

    @abstractmethod
    def class_names(self, root: Path) -> tuple[str, ...]:
        """The classes in the order of their indices."""

    @abstractmethod
    def prepare(self, root: Path) -> None:
        """Fetch or unpack what is missing, or say what is missing; called by one process."""

    @abstractmethod
    def parts(self, root: Path) -> tuple[Part, ...]:
        """The parts that the data set comes with."""

    @abstractmethod
    def load(self, root: Path, part: Part) -> LabelledImages:
        """The images of one of these parts, or an error that says why they are not there."""


@dataclasses.dataclass(frozen=True)
class Digits(Source):
    """The 1797 handwritten digits, 8x8, that come with scikit-learn."""

    def class_names(self, root: Path) -> tuple[str, ...]:  # noqa: ARG002, the same wherever the root is
        return tuple("0123456789")

    def prepare(self, root: Path) -> None:
        """Nothing to do: the images are installed with scikit-learn."""

    def parts(self, root: Path) -> tuple[Part, ...]:  # noqa: ARG002
        return ("train", "test")

    def load(self, root: Path, part: Part) -> LabelledImages:  # noqa: ARG002
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # stored as 0..16
        labels = torch.from_numpy(digits.target).long()
        train, test = stratified_split(labels, 0.15, seed=0)  # not the user's seed: the test set stays the same
        indices = train if part == "train" else test
        return LabelledImages(torch.from_numpy(pixels)[indices, None], labels[indices])


@dataclasses.dataclass(frozen=True)
class Downloaded(Source):
    """One of torchvision's data sets with a training and a test part; small enough for memory."""

    cls: Any = None
    names: tuple[str, ...] = ()

    def class_names(self, root: Path) -> tuple[str, ...]:  # noqa: ARG002
        return self.names

    def prepare(self, root: Path) -> None:
        try:
            self.load(root, "test")
        except FileNotFoundError:
            try:
                self.cls(root, download=True)
            except (OSError, RuntimeError) as error:
                msg = f"{self.cls.__name__} is not in '{root}' and cannot be downloaded: {error}"
                raise OSError(msg) from error

    def parts(self, root: Path) -> tuple[Part, ...]:  # noqa: ARG002
        return ("train", "test")

    def load(self, root: Path, part: Part) -> LabelledImages:
        try:
            found = self.cls(root, train=part == "train")
        except RuntimeError as error:
            msg = f"{self.cls.__name__} is missing or damaged in '{root}'; prepare_data() downloads it"
            raise FileNotFoundError(msg) from error
        data = torch.as_tensor(found.data)
        stack = data[:, None] if data.dim() == 3 else data.permute(0, 3, 1, 2)  # [N, H, W] or [N, H, W, C]
        return LabelledImages(stack, torch.as_tensor(found.targets).long())


def _converted(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) == channels:
        return values
    return values * 3 if channels == 3 else (sum(w * v for w, v in zip(_LUMA, values, strict=True)),)
