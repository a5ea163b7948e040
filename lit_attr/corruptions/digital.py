"""Brightness, contrast and what computers do, of ImageNet-C. Paper, code and common deviations: `imagenet_c.py`."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions.corruption import CORRUPTIONS
from lit_attr.corruptions.imagenet_c import ImageNetC, Levels

__all__ = ["Brightness", "Contrast", "JPEGCompression", "Pixelate", "Saturate"]


@CORRUPTIONS.register("brightness")
@dataclass(frozen=True)
class Brightness(ImageNetC):
    """The value of HSV is raised: v' = min(v + c, 1), v the largest channel, hue and saturation kept.

    In RGB that is x v' / v, and v' for black; so no conversion is needed, and grey images become min(x + c, 1).

    Example:
        >>> Brightness(severity=5).level
        0.5
    """

    levels: ClassVar[Levels] = {
        "imagenet": (0.1, 0.2, 0.3, 0.4, 0.5),
        "cifar": (0.05, 0.1, 0.15, 0.2, 0.3),
        "tinyimagenet": (0.1, 0.2, 0.3, 0.4, 0.5),
    }

    def distort(self, images: Tensor, level: float, draws: Draws) -> Tensor:
        """The brighter images."""
        value = images.amax(1, keepdim=True)
        raised = (value + level).clamp_max(1)
        return torch.where(value > 0, images * (raised / value), raised)


@CORRUPTIONS.register("contrast")
@dataclass(frozen=True)
class Contrast(ImageNetC):
    """Pixels are drawn to the mean m of their channel: m + c (x - m).

    Example:
        >>> Contrast(severity=5).level
        0.05
    """

    levels: ClassVar[Levels] = {
        "imagenet": (0.4, 0.3, 0.2, 0.1, 0.05),
        "cifar": (0.75, 0.5, 0.4, 0.3, 0.15),
        "tinyimagenet": (0.4, 0.3, 0.2, 0.1, 0.05),
    }

    def distort(self, images: Tensor, level: float, draws: Draws) -> Tensor:
        """The images of lower contrast."""
        mean = images.mean((2, 3), keepdim=True)
        return mean + level * (images - mean)


@CORRUPTIONS.register("saturate")
@dataclass(frozen=True)
class Saturate(ImageNetC):
    """The saturation s of HSV becomes s' = clip(a s + b), hue and value v kept: v - (v - x) s' / s.

    One of the four extras. A grey pixel has the hue 0 of red, as in the published code, so that where b > 0 it turns
    reddish: (v, v - v s', v - v s').

    Raises:
        ValueError: on call, for grey images, which have no saturation.

    Example:
        >>> Saturate(severity=5).level
        (20, 0.2)
    """

    levels: ClassVar[Levels] = {
        "imagenet": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        "cifar": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        "tinyimagenet": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
    }

    def distort(self, images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
        """The images of other saturation."""
        if images.shape[1] != 3:
            raise ArgumentError("images", "grey images", "RGB: 'saturate' changes colours")
        factor, shift = level
        value = images.amax(1, keepdim=True)
        spread = value - images.amin(1, keepdim=True)
        saturation = torch.where(value > 0, spread / value, 0)
        changed = (factor * saturation + shift).clamp(0, 1)
        red = torch.tensor([0, 1, 1], dtype=images.dtype, device=images.device).view(3, 1, 1)
        # How far each channel lies below the value at full saturation, as a share of the value.
        below = torch.where(spread > 0, (value - images) / spread, red)
        return value - value * changed * below


@CORRUPTIONS.register("pixelate")
@dataclass(frozen=True)
class Pixelate(ImageNetC):
    """Shrunk to the share c of each side and enlarged again, both by Pillow's box filter, on the CPU.

    Example:
        >>> Pixelate(severity=5).level
        0.25
    """

    levels: ClassVar[Levels] = {
        "imagenet": (0.6, 0.5, 0.4, 0.3, 0.25),
        "cifar": (0.95, 0.9, 0.85, 0.75, 0.65),
        "tinyimagenet": (0.9, 0.8, 0.7, 0.6, 0.5),
    }

    def distort(self, images: Tensor, level: float, draws: Draws) -> Tensor:
        """The images in blocks."""
        height, width = images.shape[2:]
        small = int(width * level), int(height * level)
        box = Image.Resampling.BOX
        return _by_pillow(images, lambda image: image.resize(small, box).resize((width, height), box))


@CORRUPTIONS.register("jpeg_compression")
@dataclass(frozen=True)
class JPEGCompression(ImageNetC):
    """Written as JPEG of quality c and read again, by Pillow on the CPU.

    Example:
        >>> JPEGCompression(severity=5).level
        7
    """

    levels: ClassVar[Levels] = {
        "imagenet": (25, 18, 15, 10, 7),
        "cifar": (80, 65, 58, 50, 40),
        "tinyimagenet": (65, 58, 50, 40, 25),
    }

    def distort(self, images: Tensor, level: int, draws: Draws) -> Tensor:
        """The compressed images."""

        def written(image: Image.Image) -> Image.Image:
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=level)
            return Image.open(stream)

        return _by_pillow(images, written)


def _by_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Each image, rounded to 8 bits, through a function of Pillow's."""
    levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    planes = levels[..., 0] if images.shape[1] == 1 else levels
    changed = [np.asarray(change(Image.fromarray(one))) for one in planes]
    return torch.from_numpy(np.stack(changed)).view(*levels.shape).permute(0, 3, 1, 2).to(images) / 255
