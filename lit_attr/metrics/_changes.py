"""Small changes of images that leave what is in them as it is."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr.updates.region import get_bounds

_NOISE, _BRIGHTER, _DARKER, _CONTRAST = 0.03, 1.1, 0.9, 0.85
_BLUR, _REACH = 1.0, 4  # deviation in pixels; how many of them the kernel reaches to each side


class Change(NamedTuple):
    """A change of images.

    Attributes:
        images: from images `[B, C, H, W]` and a seed to changed ones, without the limit of the range.
        flips: whether pixels change places, from left to right.
    """

    images: Callable[[Tensor, int], Tensor]
    flips: bool = False

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """The changed images, in [0, 1] as the images have to be."""
        low, high = get_bounds("auto", images) or (-torch.inf, torch.inf)
        return self.images(images, seed).clamp(low, high)

    def back(self, maps: Tensor) -> Tensor:
        """Maps `[..., W]` of changed images, where the places were; and the other way round."""
        return maps.flip(-1) if self.flips else maps


def _noise(images: Tensor, seed: int) -> Tensor:
    """The same for all images."""
    generator = torch.Generator().manual_seed(seed)
    return images + _NOISE * torch.randn(images.shape[1:], generator=generator, dtype=torch.float32).to(images)


def _contrast(images: Tensor, _: int) -> Tensor:
    """Towards the mean of the image over all its values."""
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + _CONTRAST * (images - middle)


def _blur(images: Tensor, _: int) -> Tensor:
    """Gaussian; beyond the border the pixels at the border go on."""
    places = torch.arange(-_REACH, _REACH + 1, dtype=images.dtype, device=images.device)
    row = (-(places**2) / (2 * _BLUR**2)).exp()
    channels = images.shape[1]
    row = (row / row.sum()).expand(channels, 1, 1, -1)
    padded = F.pad(images, [_REACH] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, row, groups=channels), row.mT, groups=channels)


CHANGES: dict[str, Change] = {
    "noise": Change(_noise),
    "brighter": Change(lambda images, _: images * _BRIGHTER),
    "darker": Change(lambda images, _: images * _DARKER),
    "contrast": Change(_contrast),
    "blur": Change(_blur),
    "flip": Change(lambda images, _: images.flip(-1), flips=True),
}
"""By name: Gaussian noise of 0.03; brightness times 1.1 and 0.9; contrast times 0.85; Gaussian blur of one pixel; the
image turned from left to right."""
