"""Random changes of an image together with the mask of its classes, and the fixed way to the size of evaluation."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from lit_attr._checks import ArgumentError, fraction, numbers, one_of

__all__ = ["JointAugmentation"]

Transform = Callable[..., Any]
"""From an image, uint8 [C, H, W], and masks, int64 [H, W], to the same, the image as float32 in [0, 1]."""


@dataclasses.dataclass(frozen=True)
class JointAugmentation:
    """What is done to training images, and to their masks alike, at random; the default does nothing.

    Args:
        flip: probability of a mirror image (left and right), in [0, 1].
        scale: bounds of the factor on the usual size, positive; torchvision's recipe has 0.5 and 2.
        jitter: bound of the relative change of brightness, contrast and saturation, in [0, 1]; of images alone.

    Example:
        >>> JointAugmentation(flip=0.5, scale=(0.5, 2.0))
        JointAugmentation(flip=0.5, scale=(0.5, 2.0), jitter=0.0)
    """

    flip: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.0

    def __post_init__(self) -> None:
        fraction("flip", self.flip)
        fraction("jitter", self.jitter)
        accepted = "two positive numbers, the smaller one first"
        scale = numbers("scale", self.scale, accepted, lambda factor: 0 < factor < float("inf"))
        if len(scale) != 2 or scale[0] > scale[1]:
            raise ArgumentError("scale", scale, accepted)
        object.__setattr__(self, "scale", scale)


def as_joint_augmentation(value: object) -> JointAugmentation:
    """A `JointAugmentation` from itself or from a mapping of its fields, the form in which a checkpoint stores it."""
    if isinstance(value, JointAugmentation):
        return value
    if not isinstance(value, Mapping):
        raise ArgumentError("joint_augment", value, "a JointAugmentation or a mapping of its fields")
    for key in value:
        one_of("joint_augment", key, [field.name for field in dataclasses.fields(JointAugmentation)])
    return JointAugmentation(**value)


def joint_train_transform(
    augment: JointAugmentation, size: int | None, crop: int | None, *, mean: Sequence[float], ignore_index: int
) -> Transform:
    """The transform of training images and their masks.

    Args:
        augment: what is done at random.
        size: the shorter side before the random factor, in pixels; None for the image's own.
        crop: side of the random window that is cut; what the image does not fill gets `mean` and `ignore_index`.
            None leaves the image as it is.
        mean: mean colour per channel, in [0, 1].
        ignore_index: the label of pixels that do not count.

    Returns:
        A `Transform`; it draws from torch's global generator.
    """
    steps: list[Any] = [_ShorterSide(size, augment.scale)]
    if crop is not None:
        fill = {tv_tensors.Image: [255 * value for value in mean], tv_tensors.Mask: ignore_index}
        steps.append(v2.RandomCrop(crop, pad_if_needed=True, fill=fill))
    if augment.flip:
        steps.append(v2.RandomHorizontalFlip(augment.flip))
    if augment.jitter:
        steps.append(v2.ColorJitter(augment.jitter, augment.jitter, augment.jitter))
    return _compose(steps)


def joint_evaluation_transform(size: int | None) -> Transform:
    """The transform of images that are not trained on, and of their masks: the shorter side to `size`, all of it kept.

    Args:
        size: the shorter side, in pixels; None for the image's own.

    Example:
        >>> image, mask = torch.zeros(3, 8, 12, dtype=torch.uint8), torch.zeros(8, 12, dtype=torch.long)
        >>> [part.shape for part in joint_evaluation_transform(4)(image, mask)]
        [torch.Size([3, 4, 6]), torch.Size([4, 6])]
    """
    return _compose([_ShorterSide(size, (1.0, 1.0))])


class _ShorterSide(v2.Transform):  # type: ignore[misc]  # torchvision has no annotations
    """The shorter side to `size` times a random factor, the aspect kept to the pixel.

    Masks by the pixel nearest to the centre. Torchvision's own way takes the one nearest to the corner: a mask that
    shrinks to 1 / r moves by (r - 1) / 2 of its pixels against its image, and its mirror image the other way.
    """

    def __init__(self, size: int | None, scale: tuple[float, float]) -> None:
        super().__init__()
        self.size, self.scale = size, scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Height and width of the result."""
        height, width = flat_inputs[0].shape[-2:]
        shorter, (low, high) = min(height, width), self.scale
        factor = low if low == high else low + (high - low) * float(torch.rand(()))
        ratio = (shorter if self.size is None else self.size) * factor / shorter
        return {"size": [max(1, round(height * ratio)), max(1, round(width * ratio))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """The image or the mask at that size."""
        size = params["size"]
        if list(inpt.shape[-2:]) == size:
            return inpt
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.Mask(resized_mask(inpt.as_subclass(Tensor), size))
        return F.resize(inpt, size, antialias=True)


def resized_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Indices `[h, w]` as `[H, W]`, each from the pixel whose centre is nearest; no class appears that was not there.

    Example:
        >>> resized_mask(torch.tensor([[0, 1, 2, 3, 4, 5]]), (1, 2))
        tensor([[1, 4]])
    """
    index = []
    for old, new in zip(mask.shape, size, strict=True):
        centres = (torch.arange(new, dtype=torch.float64) + 0.5) * (old / new)
        index.append(centres.floor().long().clamp(max=old - 1))
    return mask[index[0][:, None], index[1]]


def _compose(steps: list[Any]) -> Transform:
    # In this order: numbers are scaled of images alone.
    dtypes = {tv_tensors.Image: torch.float32, tv_tensors.Mask: None}
    composed = v2.Compose([*steps, v2.ToDtype(dtypes, scale=True), v2.ToPureTensor()])

    def transform(image: Tensor, *masks: Tensor) -> Any:
        # Of these types, or torchvision would flip the image and leave the masks alone.
        return composed(tv_tensors.Image(image), *(tv_tensors.Mask(mask) for mask in masks))

    return transform
