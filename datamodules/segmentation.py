"""The data module of segmentation."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative, one_of, positive_int
from lit_attr.datamodules._loaders import Loaders
from lit_attr.datamodules._masked import MaskedDataset, MaskedImages
from lit_attr.datamodules._segmentation_sources import MaskFolder, MaskSource, Sbd, Voc
from lit_attr.datamodules._sources import Part
from lit_attr.datamodules.joint import (
    JointAugmentation,
    as_joint_augmentation,
    joint_evaluation_transform,
    joint_train_transform,
)
from lit_attr.datamodules.scenes import SceneSource

__all__ = ["SegmentationDataModule"]

_SOURCES = {"scenes": SceneSource, "voc": Voc, "sbd": Sbd, "voc_sbd": Sbd, "folder": MaskFolder}


class SegmentationDataModule(Loaders):
    """Images with a class index for each pixel, for training and evaluation; images alone, for prediction.

    Batches are (float32 [B, 3, H, W] in [0, 1], int64 [B, H, W]); normalisation belongs to the model. Those of `scenes`
    to evaluate have a third part, bool [B, H, W]: the pixels that decide the labels. Training images are augmented, no
    others are: these have their shorter side brought to `size`, and nothing of them is cut off.

    Where a data set has no validation part, a seeded share of its training part is held out; where it has no test part,
    the validation part is the test part.

    Args:
        dataset: `scenes` (see `digit_scenes`; made on the spot), `voc` (Pascal VOC 2012, root/VOCdevkit), `sbd` (the
            Semantic Boundaries Dataset, root/sbd, without VOC's validation images), `voc_sbd` (VOC and what SBD has
            beyond it, 10582 images, validated on VOC) or `folder` (root/train/images/*, root/train/masks/*, and where
            there are any, val and test likewise; masks as `read_mask` takes them).
        root: the folder of the data.
        classes: of `folder`: the number of classes, or their names.
        images: of `folder`: the folder of images below root, with {part} for train, val and test.
        masks: of `folder`: the folder of masks.
        ignore_index: the label of pixels that do not count; no class.
        size: shorter side in pixels, before `joint_augment.scale`; None for the usual one: 520, and for scenes their
            own.
        crop: side of the windows that are trained on; what an image does not fill is ignored. None for the usual one:
            480, and whole images for scenes.
        batch_size: images per batch and process in training, and in evaluation where they are of one size.
        eval_batch_size: images per batch and process in evaluation. Smaller ones are filled up, which a model with
            global pooling sees: None, the default, takes one at a time where sizes may differ (all but scenes).
        num_workers: processes that load data; 0 loads in the main process.
        val_fraction: share of the training part that is held out, in (0, 1).
        joint_augment: what is done to training images and masks at random; a mapping of its fields is accepted too.
        download: fetch VOC (2 GB) or SBD (1.4 GB) into root if missing.
        seed: of the held-out share.
        predict_path: an image file or a folder of them.

    Attributes:
        channels: the number of channels, 3.
        mean: mean per channel in [0, 1], ImageNet's.
        std: standard deviation per channel, likewise.
        train_dataset: after `setup("fit")`, as `val_dataset`, `test_dataset` and `predict_dataset` after theirs.

    Raises:
        ValueError: for an argument out of range, in `prepare_data` or `setup` for a root without the images, and on
            reading a mask of another size or with other classes, which is named.
        OSError: where VOC or SBD is missing, and on reading a broken file, which is named.

    Example:
        >>> data = SegmentationDataModule("scenes", batch_size=16)
        >>> data.setup("validate")
        >>> images, masks, causes = next(iter(data.val_dataloader()))
        >>> images.shape, masks.shape, data.class_names
        (torch.Size([16, 3, 64, 64]), torch.Size([16, 64, 64]), ('ground', 'digit_with_red_key', 'digit_with_blue_key'))
    """

    def __init__(  # noqa: PLR0913, each argument is a key of the config
        self,
        dataset: str = "scenes",
        root: str = "data",
        *,
        classes: int | list[str] | None = None,
        images: str = "{part}/images",
        masks: str = "{part}/masks",
        ignore_index: int = 255,
        size: int | None = None,
        crop: int | None = None,
        batch_size: int = 16,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        val_fraction: float = 0.15,
        joint_augment: JointAugmentation = JointAugmentation(),  # noqa: B008, it is frozen
        download: bool = False,
        seed: int = 0,
        predict_path: str | None = None,
    ) -> None:
        super().__init__()
        one_of("dataset", dataset, _SOURCES)
        self._source = _source(dataset, classes, images, masks)
        self.size = self._source.size if size is None else size
        self.crop = self._source.crop if crop is None else crop
        for name, value in {"size": self.size, "crop": self.crop, "eval_batch_size": eval_batch_size}.items():
            if value is not None:
                positive_int(name, value)
        positive_int("batch_size", batch_size)
        not_negative("num_workers", num_workers)
        if not 0 < val_fraction < 1:
            raise ArgumentError("val_fraction", val_fraction, "in (0, 1)")
        if 0 <= ignore_index < self.num_classes:
            raise ArgumentError("ignore_index", ignore_index, f"no class (0..{self.num_classes - 1})")
        self.channels = 3
        self.mean, self.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        self.root = Path(root).expanduser()
        self.ignore_index = ignore_index
        self.batch_size, self.num_workers, self.predict_path = batch_size, num_workers, predict_path
        self.eval_batch_size = eval_batch_size
        self.val_fraction, self.download, self.seed = val_fraction, download, seed
        self.joint_augment = as_joint_augmentation(joint_augment)
        self.save_hyperparameters()
        # plain values, so that a checkpoint loads with weights_only
        self.save_hyperparameters({"joint_augment": dataclasses.asdict(self.joint_augment), "download": False})
        self._evaluation_transform = joint_evaluation_transform(self.size)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their indices."""
        return self._source.class_names

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def evaluation_batch(self) -> int:
        """Images per batch and process in evaluation."""
        return self.eval_batch_size or (self.batch_size if self._source.uniform else 1)

    @property
    def prediction_batch(self) -> int:
        """One: images to predict on may be of any size."""
        return 1

    def prepare_data(self) -> None:
        """Download what is missing, where that is asked for; predicting needs none of it."""
        if self.trainer is None or not self.trainer.predicting:
            self._source.prepare(self.root, download=self.download)

    def _dataset(self, part: Part) -> MaskedDataset:
        images, indices = self._images(part)
        if len(indices) == 0:
            raise ArgumentError("val_fraction", self.val_fraction, f"such that some image is left for {part}")
        training = joint_train_transform(
            self.joint_augment, self.size, self.crop, mean=self.mean, ignore_index=self.ignore_index
        )
        return MaskedDataset(
            images,
            indices,
            num_classes=self.num_classes,
            ignore_index=self.ignore_index,
            mean=self.mean,
            transform=training if part == "train" else self._evaluation_transform,
            with_cause=part != "train",
        )

    def _images(self, part: Part) -> tuple[MaskedImages, Tensor]:
        """The images to take a part from, and the indices of the part among them."""
        own = self._source.parts(self.root)
        if part == "test" and "test" not in own:
            part = "val"
        if part == "test" or "val" in own:
            images = self._source.load(self.root, part)
            return images, torch.arange(len(images.images))
        images = self._source.load(self.root, "train")
        held_out = round(len(images.images) * self.val_fraction)
        shuffled = torch.randperm(len(images.images), generator=torch.Generator().manual_seed(self.seed))
        chosen = shuffled[held_out:] if part == "train" else shuffled[:held_out]
        return images, chosen.sort().values


def _source(dataset: str, classes: int | Sequence[str] | None, images: str, masks: str) -> MaskSource:
    if dataset != "folder":
        if classes is not None:
            raise ArgumentError("classes", classes, f"None for {dataset}, which has its own")
        return Sbd(with_voc=True) if dataset == "voc_sbd" else _SOURCES[dataset]()
    if isinstance(classes, int):
        positive_int("classes", classes)
        classes = [str(index) for index in range(classes)]
    if not classes:
        raise ArgumentError("classes", classes, "the number of classes, or their names, for a folder")
    for name, pattern in {"images": images, "masks": masks}.items():
        if "{part}" not in pattern:
            raise ArgumentError(name, pattern, "a folder below root, with {part} for train, val and test")
    return MaskFolder(class_names=tuple(classes), images=images, masks=masks)
