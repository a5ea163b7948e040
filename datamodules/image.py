"""The data module of image classification."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative, one_of, positive_int
from lit_attr.datamodules._catalog import SOURCES
from lit_attr.datamodules._dataset import ImageDataset, LabelledImages, stratified_split
from lit_attr.datamodules._loaders import Loaders
from lit_attr.datamodules._sources import Part
from lit_attr.datamodules.augmentation import Augmentation, as_augmentation, evaluation_transform, train_transform
from lit_attr.datamodules.predict import PredictFolder


class ImageDataModule(Loaders):
    """Images with one label each, for training and evaluation; images without labels, for prediction.

    Batches are (float32 [B, C, size, size] in [0, 1], int64 [B]); normalisation belongs to the model. Training images
    are augmented, no others are. Predict batches are `PredictBatch`es.

    Where a data set has no validation part, a seeded and stratified share of its training part is held out; where it
    has no test part, the validation part is the test part.

    Args:
        dataset: `digits` (comes with scikit-learn), `mnist`, `fashion_mnist`, `cifar10`, `cifar100` (downloaded into
            root if missing), `imagenet` (root/train/<wnid>/*, root/val/<wnid>/*, or the original archives in root,
            which are unpacked) or `folder` (root/train/<class>/*, and where there are any, root/val and root/test).
        root: the folder of the data.
        size: side of the images in pixels; None for the usual one: 28 for the MNISTs, 32 for digits and the CIFARs,
            224 for imagenet and folder.
        channels: 1 or 3, to which the images are converted; None for the data set's own (folder: 3).
        batch_size: images per batch and process.
        num_workers: processes that load data; 0 loads in the main process.
        val_fraction: share of the training part that is held out, in (0, 1).
        augment: what is done to training images at random; a mapping of its fields is accepted too.
        seed: of the held-out share.
        predict_path: an image file or a folder of them.

    Attributes:
        channels: the number of channels.
        size: the side of the images in pixels.
        mean: mean per channel in [0, 1], as the field uses it.
        std: standard deviation per channel, likewise.
        train_dataset: after `setup("fit")`, as `val_dataset`, `test_dataset` and `predict_dataset` after theirs.

    Raises:
        ValueError: for an argument out of range, and in `prepare_data` or `setup` for a root without the images.
        OSError: in `prepare_data` where a download fails, and on reading a broken file, which is named.

    Example:
        >>> data = ImageDataModule("digits", batch_size=16)
        >>> data.setup("fit")
        >>> image, label = next(iter(data.train_dataloader()))
        >>> image.shape, label.shape, data.num_classes
        (torch.Size([16, 1, 32, 32]), torch.Size([16]), 10)
    """

    def __init__(  # noqa: PLR0913, each argument is a key of the config
        self,
        dataset: str = "digits",
        root: str = "data",
        *,
        size: int | None = None,
        channels: int | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        val_fraction: float = 0.15,
        augment: Augmentation = Augmentation(),  # noqa: B008, it is frozen
        seed: int = 0,
        predict_path: str | None = None,
    ) -> None:
        super().__init__()
        one_of("dataset", dataset, SOURCES)
        self._source = SOURCES[dataset]
        self.size = self._source.size if size is None else size
        positive_int("size", self.size)
        self.channels = len(self._source.mean) if channels is None else channels
        if self.channels not in {1, 3}:
            raise ArgumentError("channels", channels, "1 or 3")
        self.mean, self.std = self._source.statistics(self.channels)
        positive_int("batch_size", batch_size)
        not_negative("num_workers", num_workers)
        if not 0 < val_fraction < 1:
            raise ArgumentError("val_fraction", val_fraction, "in (0, 1)")
        self.root = Path(root).expanduser()
        self.batch_size, self.num_workers, self.predict_path = batch_size, num_workers, predict_path
        self.val_fraction, self.seed = val_fraction, seed
        self.augment = as_augmentation(augment)
        self.save_hyperparameters()
        # plain values, so that a checkpoint loads with weights_only
        self.save_hyperparameters({"augment": dataclasses.asdict(self.augment)})

        self.train_dataset: ImageDataset | None = None
        self.val_dataset: ImageDataset | None = None
        self.test_dataset: ImageDataset | None = None
        self.predict_dataset: PredictFolder | None = None
        self._evaluation_transform = evaluation_transform(self.size, margin=self._source.margin)
        self._loaded: dict[Part, LabelledImages] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their indices; those of `folder` are read from root."""
        return self._source.class_names(self.root)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    def prepare_data(self) -> None:
        """Download or unpack what is missing; predicting needs none of it."""
        if self.trainer is None or not self.trainer.predicting:
            self._source.prepare(self.root)

    def _dataset(self, part: Part) -> ImageDataset:
        images, indices = self._images(part)
        if len(indices) == 0:
            raise ArgumentError("val_fraction", self.val_fraction, f"such that some image is left for {part}")
        transform = self._evaluation_transform
        if part == "train":
            transform = train_transform(self.augment, self.size, margin=self._source.margin, mean=self.mean)
        return ImageDataset(images, indices, self.channels, transform)

    def _images(self, part: Part) -> tuple[LabelledImages, Tensor]:
        """The images to take a part from, and the indices of the part among them."""
        own = self._source.parts(self.root)
        if part == "test" and "test" not in own:
            part = "val"
        if part == "test" or "val" in own:
            images = self._load(part)
            return images, torch.arange(len(images.labels))
        images = self._load("train")
        rest, held_out = stratified_split(images.labels, self.val_fraction, self.seed)
        return images, rest if part == "train" else held_out

    def _load(self, part: Part) -> LabelledImages:
        if part not in self._loaded:
            self._loaded[part] = self._source.load(self.root, part)
        return self._loaded[part]
