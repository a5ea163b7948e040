"""Another data module's training set: its samples without augmentation, and its augmentation for other images."""

import copy
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset
from torchvision.datasets.vision import StandardTransform
from torchvision.transforms.v2 import functional as F

from lit_attr._checks import ArgumentError
from lit_attr._guard import private_rng
from lit_attr.datamodules._distributed import size_of
from lit_attr.datamodules._items import Label, image_and_label, with_image
from lit_attr.datamodules._masked import MaskedDataset

_READ_TWICE = 16  # of samples that are augmented at random, one will differ


class PlainSamples(Dataset[tuple[Tensor, Label]]):
    """The samples of a training set as they are evaluated: (float32 `[C, H, W]` in [0, 1], class index or mask).

    Where the data set has a `transform` (as those of torchvision and ours, also below `Subset`s), the one of the
    evaluated set takes its place. Else the samples are taken as they are.

    Args:
        dataset: the training set.
        evaluated: the validation or test set, whose transform brings images to size; None where there is none.

    Raises:
        ArgumentError: if a sample is another one when it is read again, or no float image.
    """

    def __init__(self, dataset: Dataset[Any], evaluated: Dataset[Any] | None) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            accepted = "a data module whose training set has items by number (__len__ and __getitem__)"
            raise ArgumentError("base", f"a training set of {type(dataset).__name__}", accepted)
        transform = None if evaluated is None else getattr(_leaf(evaluated), "transform", None)
        self._plain = with_transform(dataset, transform) if _has_transform(dataset) else dataset
        count = min(len(self), _READ_TWICE)
        some = [len(self) * i // count for i in range(count)]
        with private_rng():
            if not all(torch.equal(self[i][0], self[i][0]) for i in some):
                accepted = (
                    "a data module whose training set has a `transform`, and whose evaluated sets have one without "
                    "chance: variants are made of images that are not augmented"
                )
                raise ArgumentError("base", "a training set that augments its samples itself", accepted)

    def __len__(self) -> int:
        return size_of(self._plain)

    def __getitem__(self, index: int) -> tuple[Tensor, Label]:
        image, label = image_and_label(self._plain[index])
        if not isinstance(image, Tensor):
            image = F.to_image(image)
        if not image.is_floating_point():
            image = F.to_dtype(image, torch.float32, scale=True)
        return image.as_subclass(Tensor), label


class AugmentedVariants(Dataset[Any]):
    """Variants as items of the training set: augmented as its own samples are, with the label of their source.

    A mask is that of the source as it is evaluated, as the variant was made of it, and is augmented with the variant.

    Args:
        dataset: the training set.
        images: the variants by number, as a bank stores them (`Bank.image`).
        numbers: which of them, and in which order.
        sources: of each, the index of its source in the training set.
        samples: those that variants were made of, for their masks; None where a mask is as the data set stores it.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        images: Any,
        numbers: list[int],
        sources: list[int],
        samples: PlainSamples | None = None,
    ) -> None:
        self.dataset, self.images, self.numbers, self.sources = dataset, images, numbers, sources
        self.samples = samples
        self._transform = getattr(_leaf(dataset), "transform", None) if _has_transform(dataset) else None
        self._raw = with_transform(dataset, None) if _has_transform(dataset) else dataset

    def augmented_as(self, dataset: Dataset[Any]) -> "AugmentedVariants":
        """The same variants, augmented as another reading of the training set is."""
        return AugmentedVariants(dataset, self.images, self.numbers, self.sources, self.samples)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Any:
        item = self._raw[self.sources[place]]
        raw, label = image_and_label(item)
        image: Any = _like(self.images(self.numbers[place]), raw)
        if isinstance(label, Tensor) and self.samples is not None:
            label = self.samples[self.sources[place]][1]
        mask = label if isinstance(label, Tensor) else None
        if self._transform is None:
            return with_image(item, image, mask)
        if isinstance(_leaf(self.dataset), MaskedDataset):  # whose transform moves both
            return with_image(item, *self._transform(image, mask))
        return with_image(item, self._transform(image), mask)


def with_transform(dataset: Dataset[Any], transform: Any) -> Dataset[Any]:
    """The same samples with another transform; nothing in `dataset` is changed."""
    changed: Any = copy.copy(dataset)
    if isinstance(changed, Subset):
        changed.dataset = with_transform(changed.dataset, transform)
    else:
        if hasattr(changed, "transforms"):  # torchvision's pair of both
            changed.transforms = StandardTransform(transform, getattr(changed, "target_transform", None))
        # our own data sets call theirs without asking whether there is one
        changed.transform = transform if transform is not None or hasattr(changed, "transforms") else _as_it_is
    same: Dataset[Any] = changed
    return same


def _as_it_is(image: Any, *masks: Any) -> Any:
    return (image, *masks) if masks else image


def _leaf(dataset: Dataset[Any]) -> Any:
    return _leaf(dataset.dataset) if isinstance(dataset, Subset) else dataset


def _has_transform(dataset: Dataset[Any]) -> bool:
    return hasattr(_leaf(dataset), "transform")


def _like(stored: Tensor, raw: Any) -> Any:
    """A variant as the training set has its images before they are transformed."""
    levels = stored if stored.dtype == torch.uint8 else (stored.float().clamp(0, 1) * 255).round().to(torch.uint8)
    if isinstance(raw, Image.Image):
        return F.to_pil_image(levels).convert(raw.mode)
    if isinstance(raw, np.ndarray):
        array = levels.permute(1, 2, 0).numpy()
        return array[..., 0] if raw.ndim == 2 else array
    if isinstance(raw, Tensor) and not raw.is_floating_point():
        return levels
    return stored.float() if stored.is_floating_point() else stored.float() / 255
