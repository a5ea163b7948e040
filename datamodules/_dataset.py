"""Labelled images in memory or on disk, and the seeded split of them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from lit_attr.datamodules.augmentation import Transform
from lit_attr.datamodules.reading import read_image


class LabelledImages(NamedTuple):
    """All images of one part of a data set.

    Attributes:
        images: a stack, uint8 [N, C, H, W], or N paths that are read one by one.
        labels: the class index of each image, int64 [N].
    """

    images: Tensor | list[str]
    labels: Tensor


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Some of the images of a part, transformed: items are (float32 [C, H, W] in [0, 1], class index).

    Args:
        source: the images.
        indices: which of them, int64 [M].
        channels: 1 or 3; the images are converted to it.
        transform: from uint8 [C, H, W] to the item.
    """

    def __init__(self, source: LabelledImages, indices: Tensor, channels: int, transform: Transform) -> None:
        self.images = source.images
        self.indices = indices
        self.labels = source.labels[indices]
        self.channels = channels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        entry = self.images[int(self.indices[index])]
        image = read_image(entry, self.channels) if isinstance(entry, str) else with_channels(entry, self.channels)
        return self.transform(image), int(self.labels[index])


def with_channels(image: Tensor, channels: int) -> Tensor:
    """Grey as three equal channels, or colour as grey; [C, H, W] to [channels, H, W]."""
    if image.shape[0] == channels:
        return image
    converted: Tensor = F.rgb_to_grayscale(image, num_output_channels=channels)  # goes both ways
    return converted


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Part the images at random, each class in the same proportion.

    Args:
        labels: class indices, [N].
        fraction: share of the second part, in (0, 1).
        seed: of a private generator; the same seed gives the same parts.

    Returns:
        Sorted indices of the first part, and of the second, which has N * fraction of them, rounded; of each class it
        has its share to within one.

    Example:
        >>> first, second = stratified_split(torch.tensor([0] * 8 + [1] * 4), 0.25, seed=0)
        >>> len(first), len(second)
        (9, 3)
    """
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    # every (1 / fraction)-th of the images in order of class: the count steps up at the ones that are taken
    count = torch.floor(torch.arange(len(labels) + 1, dtype=torch.float64) * fraction + 0.5)
    taken = count.diff() > 0
    return by_class[~taken].sort().values, by_class[taken].sort().values
