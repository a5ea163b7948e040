"""Images with a class index for each pixel, in memory or on disk."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_attr.datamodules.joint import Transform
from lit_attr.datamodules.masks import MaskError, read_mask
from lit_attr.datamodules.reading import read_image


class MaskedImages(NamedTuple):
    """All images of one part of a data set.

    Attributes:
        images: a stack, uint8 [N, 3, H, W], or N paths that are read one by one.
        masks: the class index of each pixel, integers [N, H, W], or N paths.
        causes: bool [N, H, W], where the pixels are that decide the classes; None where that is not known.
    """

    images: Tensor | list[str]
    masks: Tensor | list[str]
    causes: Tensor | None = None


class MaskedDataset(Dataset[tuple[Tensor, ...]]):
    """Some of the images of a part, transformed together with their masks.

    Items are (float32 [3, H, W] in [0, 1], int64 [H, W]) and, where it is known and asked for, the cause, bool [H, W].

    Args:
        source: the images.
        indices: which of them, int64 [M].
        num_classes: of the masks.
        ignore_index: the label of pixels that do not count.
        mean: per channel, in [0, 1]; fills the smaller images of a batch of different sizes.
        transform: of an image with its masks.
        with_cause: give the cause too, where it is known.
    """

    def __init__(
        self,
        source: MaskedImages,
        indices: Tensor,
        *,
        num_classes: int,
        ignore_index: int,
        mean: Sequence[float],
        transform: Transform,
        with_cause: bool,
    ) -> None:
        self.images, self.masks = source.images, source.masks
        self.causes = source.causes if with_cause else None
        self.indices = indices
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.mean = torch.tensor(mean)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        place = int(self.indices[index])
        stored_image, stored_mask = self.images[place], self.masks[place]
        image = read_image(stored_image, channels=3) if isinstance(stored_image, str) else stored_image
        mask = self._read_mask(stored_mask, image) if isinstance(stored_mask, str) else stored_mask.long()
        if self.causes is None:
            both: tuple[Tensor, ...] = self.transform(image, mask)
            return both
        image, mask, cause = self.transform(image, mask, self.causes[place])
        return image, mask, cause

    def _read_mask(self, path: str, image: Tensor) -> Tensor:
        mask = read_mask(path)
        if mask.shape != image.shape[1:]:
            msg = f"mask '{path}' has {tuple(mask.shape)} pixels (rows, columns), its image {tuple(image.shape[1:])}"
            raise MaskError(msg)
        wrong = (mask != self.ignore_index) & ((mask < 0) | (mask >= self.num_classes))
        if bool(wrong.any()):
            accepted = f"accepted: 0..{self.num_classes - 1}, and {self.ignore_index} where a pixel does not count"
            msg = f"mask '{path}' has the class {int(mask[wrong][0])}; {accepted}"
            raise MaskError(msg)
        return mask

    def collate(self, items: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """A batch; smaller images are filled up at the right and the bottom, by the mean and with ignored pixels."""
        height, width = (max(item[0].shape[axis] for item in items) for axis in (1, 2))
        images = self.mean.view(1, 3, 1, 1).repeat(len(items), 1, height, width)
        masks = torch.full((len(items), height, width), self.ignore_index)
        causes = torch.zeros(len(items), height, width, dtype=torch.bool)
        for i, (image, mask, *cause) in enumerate(items):
            inside = (i, ..., slice(image.shape[1]), slice(image.shape[2]))
            images[inside], masks[inside] = image, mask
            if cause:
                causes[inside] = cause[0]
        return (images, masks) if len(items[0]) == 2 else (images, masks, causes)
