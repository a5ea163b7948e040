"""Random changes of training images, and the fixed way in which all others are brought to size."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from lit_attr._checks import ArgumentError, fraction, one_of

Transform = Callable[[Tensor], Tensor]

_CROPS = ("none", "pad", "resized")
_POLICIES = {"none": None, "randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}
_MARGIN = 0.875  # the share of the shorter side that ImageNet's 256 -> 224 protocol keeps


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to training images at random; the default does nothing.

    Args:
        flip: probability of a mirror image (left and right), in [0, 1].
        crop: `pad` adds size // 8 black pixels on every side and cuts a window of the size (the CIFAR recipe);
            `resized` cuts a random area and aspect (the ImageNet recipe).
        policy: `randaugment` or `trivialaugment`, with torchvision's settings.
        erasing: probability that a rectangle is filled with the mean colour, in [0, 1].

    Example:
        >>> Augmentation(flip=0.5, crop="pad")
        Augmentation(flip=0.5, crop='pad', policy='none', erasing=0.0)
    """

    flip: float = 0.0
    crop: Literal["none", "pad", "resized"] = "none"
    policy: Literal["none", "randaugment", "trivialaugment"] = "none"
    erasing: float = 0.0

    def __post_init__(self) -> None:
        fraction("flip", self.flip)
        one_of("crop", self.crop, _CROPS)
        one_of("policy", self.policy, _POLICIES)
        fraction("erasing", self.erasing)


def as_augmentation(value: object) -> Augmentation:
    """An `Augmentation` from itself or from a mapping of its fields, the form in which a checkpoint stores it."""
    if isinstance(value, Augmentation):
        return value
    if not isinstance(value, Mapping):
        raise ArgumentError("augment", value, "an Augmentation or a mapping of its fields")
    for key in value:
        one_of("augment", key, [field.name for field in dataclasses.fields(Augmentation)])
    return Augmentation(**value)


def train_transform(augment: Augmentation, size: int, *, margin: bool, mean: Sequence[float]) -> Transform:
    """The transform of training images.

    Args:
        augment: what is done at random.
        size: side of the result, in pixels.
        margin: as in `evaluation_transform`.
        mean: mean colour per channel, in [0, 1]; erased rectangles get it, which is zero once normalised.

    Returns:
        A function from uint8 [C, H, W] to float32 [C, size, size] in [0, 1]; it draws from torch's global generator.
    """
    to_size = partial(_to_size, size=size, margin=margin)
    steps: list[Transform] = [v2.RandomResizedCrop(size) if augment.crop == "resized" else to_size]
    if augment.crop == "pad":
        steps.append(v2.RandomCrop(size, padding=size // 8))
    if augment.flip:
        steps.append(v2.RandomHorizontalFlip(augment.flip))
    if (policy := _POLICIES[augment.policy]) is not None:
        steps.append(policy())
    steps.append(v2.ToDtype(torch.float32, scale=True))
    if augment.erasing:
        steps.append(v2.RandomErasing(augment.erasing, value=tuple(mean)))
    return _compose(steps)


def evaluation_transform(size: int, *, margin: bool) -> Transform:
    """The transform of images that are not trained on: shorter side to size, then the centre square.

    An image that has the size already is taken as it is.

    Args:
        size: side of the result, in pixels.
        margin: resize to size / 0.875 before the centre is cut, the 256 -> 224 of ImageNet.

    Returns:
        A function from uint8 [C, H, W] to float32 [C, size, size] in [0, 1].

    Example:
        >>> transform = evaluation_transform(32, margin=False)
        >>> transform(torch.full((3, 64, 96), 255, dtype=torch.uint8)).shape
        torch.Size([3, 32, 32])
    """
    return _compose([partial(_to_size, size=size, margin=margin), v2.ToDtype(torch.float32, scale=True)])


def _to_size(image: Tensor, size: int, *, margin: bool) -> Tensor:
    if image.shape[-2:] == (size, size):
        return image
    resized = F.resize(image, [round(size / _MARGIN) if margin else size], antialias=True)
    cut: Tensor = F.center_crop(resized, [size, size])
    return cut


def _compose(steps: list[Transform]) -> Transform:
    composed: Transform = v2.Compose(steps)
    return composed
