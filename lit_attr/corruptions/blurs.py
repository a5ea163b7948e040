"""The blurs of ImageNet-C. Paper, code and common deviations: `imagenet_c.py`."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions._filters import clipped_zoom, convolve, gaussian_blur, gaussian_matrix, motion_blur
from lit_attr.corruptions.corruption import CORRUPTIONS
from lit_attr.corruptions.imagenet_c import ImageNetC, Levels, cut_off, rounded

__all__ = ["DefocusBlur", "GaussianBlur", "GlassBlur", "MotionBlur", "ZoomBlur"]


@CORRUPTIONS.register("gaussian_blur")
@dataclass(frozen=True)
class GaussianBlur(ImageNetC):
    """Gaussian of deviation c, cut at 4 deviations, the nearest pixel beyond the border. One of the four extras.

    Example:
        >>> GaussianBlur(severity=5).level
        6
    """

    levels: ClassVar[Levels] = {
        "imagenet": (1, 2, 3, 4, 6),
        "cifar": (0.4, 0.6, 0.7, 0.8, 1),
        "tinyimagenet": (0.5, 0.75, 1, 1.25, 1.5),
    }

    def distort(self, images: Tensor, level: float, draws: Draws) -> Tensor:
        """The blurred images."""
        return gaussian_blur(images, level)


@CORRUPTIONS.register("defocus_blur")
@dataclass(frozen=True)
class DefocusBlur(ImageNetC):
    """Mean over a disk of radius r, its rim softened by a Gaussian of deviation s; mirrored at the borders.

    Settings are (r, s).

    Example:
        >>> DefocusBlur(severity=5).level
        (10, 0.5)
    """

    levels: ClassVar[Levels] = {
        "imagenet": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "cifar": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "tinyimagenet": ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
    }

    def distort(self, images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
        """The blurred images."""
        return convolve(images, disk(*level))


@CORRUPTIONS.register("glass_blur")
@dataclass(frozen=True)
class GlassBlur(ImageNetC):
    """Blurred, pixels replaced by neighbours at random, blurred again.

    Settings are (sigma, d, times): deviation of both blurs, and the reach of the neighbours. From the last pixel to
    the first each takes the colour that the pixel dy below and dx beside it has by then, dx and dy in -d..d-1; a rim
    of d pixels (d - 1 at the end) stays. The published code means to swap the two and does not: with NumPy's views
    the neighbour keeps its colour. That is followed here, for grey images too. The first blur is cut to 8 bits.

    Example:
        >>> GlassBlur(severity=5).level
        (1.5, 4, 2)
    """

    levels: ClassVar[Levels] = {
        "imagenet": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "cifar": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "tinyimagenet": ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
    }

    def distort(self, images: Tensor, level: tuple[float, int, int], draws: Draws) -> Tensor:
        """The images behind glass."""
        sigma, reach, times = level
        images = cut_off(gaussian_blur(images, sigma))
        height, width = images.shape[2:]
        for _ in range(times):
            moves = draws.integers(-reach, reach, 2, max(height - 2 * reach, 0), max(width - 2 * reach, 0))
            source = replaced_by(moves, height, width, reach)
            images = images.flatten(2).gather(2, source[:, None].expand(-1, images.shape[1], -1)).view_as(images)
        return gaussian_blur(images, sigma)


@CORRUPTIONS.register("motion_blur")
@dataclass(frozen=True)
class MotionBlur(ImageNetC):
    """Mean along a half line at an angle between -45 and 45 degrees, weights of a Gaussian; rounded to 8 bits.

    Settings are (radius, sigma). What ImageMagick computes for it is written down at `_filters.motion_blur`.

    Example:
        >>> MotionBlur(severity=5).level
        (20, 15)
    """

    levels: ClassVar[Levels] = {
        "imagenet": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "cifar": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "tinyimagenet": ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
    }

    def distort(self, images: Tensor, level: tuple[int, float], draws: Draws) -> Tensor:
        """The blurred images."""
        radius, sigma = level
        return rounded(motion_blur(images, radius, sigma, draws.uniform(-45, 45).tolist()))


@CORRUPTIONS.register("zoom_blur")
@dataclass(frozen=True)
class ZoomBlur(ImageNetC):
    """Mean of the image and of its enlargements by 1, 1 + step, ... to the largest below `end`.

    Settings are (end, step).

    Example:
        >>> ZoomBlur(severity=5).level
        (1.31, 0.03)
    """

    levels: ClassVar[Levels] = {
        "imagenet": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "cifar": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "tinyimagenet": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    }

    def distort(self, images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
        """The blurred images."""
        end, step = level
        factors = np.arange(1, end, step).tolist()  # NumPy's, as rounding decides whether `end` is among them
        total = images.clone()
        for factor in factors:
            total += clipped_zoom(images, factor)
        return total / (len(factors) + 1)


def disk(radius: float, softness: float) -> Tensor:
    """The kernel of `DefocusBlur`: ones within the radius, blurred by a Gaussian cut to 3 x 3 or 5 x 5, sum 1."""
    half = max(8, int(radius))
    places = torch.arange(-half, half + 1, dtype=torch.float64)
    kernel = (places[:, None] ** 2 + places**2 <= radius**2).double()
    # OpenCV's blur: cut at 1 pixel, or 2 for a large disk, and mirrored where it leaves the kernel.
    reach = (1 if radius <= 8 else 2) / softness
    row = gaussian_matrix(len(kernel), softness, kernel, "mirror", reach)
    return row @ (kernel / kernel.sum()) @ row.T


def replaced_by(moves: Tensor, height: int, width: int, reach: int) -> Tensor:
    """Which pixel each pixel's colour comes from, `[B, height * width]`, after one turn of `GlassBlur`.

    The published loop goes pixel by pixel, as a pixel may take a colour that has just been replaced. Here those chains
    are followed for all pixels at once: each pixel points to the one it takes from, where that was replaced before it,
    and pointers are doubled until all have arrived.

    Args:
        moves: dy and dx `[B, 2, h, w]` of the pixels that are replaced.
        height: of the images.
        width: of the images.
        reach: the first row and column left as they are; replaced are reach+1 to height-reach, width-reach.
    """
    device = moves.device
    rows = torch.arange(reach + 1, reach + 1 + moves.shape[2], device=device)[:, None]
    columns = torch.arange(reach + 1, reach + 1 + moves.shape[3], device=device)
    pixels = torch.arange(height * width, device=device).expand(len(moves), -1)
    replaced = torch.zeros(height, width, dtype=torch.bool, device=device)
    replaced[rows, columns] = True
    taken = pixels.clone().view(-1, height, width)
    taken[:, rows, columns] = (rows + moves[:, 0]) * width + columns + moves[:, 1]
    taken = taken.flatten(1)
    before = (taken > pixels) & replaced.flatten()[taken]
    pointer = torch.where(before, taken, pixels)
    while not torch.equal(further := pointer.gather(1, pointer), pointer):
        pointer = further
    return taken.gather(1, pointer)
