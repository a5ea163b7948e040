"""Fog, frost and snow of ImageNet-C. Paper, code and common deviations: `imagenet_c.py`."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from lit_attr._checks import ArgumentError
from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions._filters import clipped_zoom, luminance, motion_blur, sampled
from lit_attr.corruptions.corruption import CORRUPTIONS
from lit_attr.corruptions.imagenet_c import ImageNetC, Levels, cut_off, rounded

__all__ = ["Fog", "Frost", "Snow"]

SnowLevel = tuple[float, float, float, float, int, float, float]

_SHRUNK = {"imagenet": 1.0, "cifar": 0.2, "tinyimagenet": 0.3}
_PICTURES = 5  # published code draws among the first five of its six


@CORRUPTIONS.register("fog")
@dataclass(frozen=True)
class Fog(ImageNetC):
    """A random height map h in [0, 1] is laid over the image: (x + a h) m / (m + a), m the image's largest value.

    Settings are (a, decay). The map is made by the diamond-square algorithm, its noise divided by `decay` per halving
    of the grid, on the smallest power of two that covers the image, of which the top left part is used.

    Example:
        >>> Fog(severity=5).level
        (3, 1.4)
    """

    levels: ClassVar[Levels] = {
        "imagenet": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "cifar": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "tinyimagenet": ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
    }

    def distort(self, images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
        """The images in fog."""
        thickness, decay = level
        height, width = images.shape[2:]
        size = 1 << (max(height, width) - 1).bit_length()
        layer = plasma(size, decay, draws, images)[:, None, :height, :width]
        largest = images.amax((1, 2, 3), keepdim=True)
        return (images + thickness * layer) * largest / (largest + thickness)


@CORRUPTIONS.register("frost")
@dataclass(frozen=True)
class Frost(ImageNetC):
    """A photograph f of frost is laid over the image: a x + b f, of f a random part of the image's size.

    Settings are (a, b). The photographs are not part of this library: they lie in
    github.com/hendrycks/robustness, `ImageNet-C/imagenet_c/imagenet_c/frost`. Of a folder the first five pictures by
    name are used, as the published code does. For "cifar" they are shrunk to 0.2 of their sides, for "tinyimagenet"
    to 0.3. Grey images get their luminance.

    Args:
        severity: as in `ImageNetC`.
        variant: as in `ImageNetC`.
        pictures: folder of the photographs.

    Raises:
        ValueError: without `pictures`, for a folder without any, and on call for images that are not smaller than them.

    Example:
        >>> Frost(pictures="frost").level
        (0.7, 0.7)
    """

    pictures: str | None = None

    levels: ClassVar[Levels] = {
        "imagenet": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        "cifar": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        "tinyimagenet": ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pictures is None:
            source = "github.com/hendrycks/robustness, ImageNet-C/imagenet_c/imagenet_c/frost"
            raise ArgumentError("pictures", None, f"a folder of photographs of frost, as in {source}")

    def distort(self, images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
        """The images behind frost."""
        kept, added = level
        height, width = images.shape[2:]
        found = _photographs(str(self.pictures), _SHRUNK[self.variant])
        which = draws.integers(0, len(found)).tolist()
        corners = draws.uniform(0, 1, 2).tolist()
        parts = [_part(found[number], corner, height, width) for number, corner in zip(which, corners, strict=True)]
        frost = torch.stack(parts).to(images)
        return kept * images + added * (frost if images.shape[1] == 3 else luminance(frost))


@CORRUPTIONS.register("snow")
@dataclass(frozen=True)
class Snow(ImageNetC):
    """Flakes along one direction, over an image that is paler.

    Settings are (mean, deviation, zoom, threshold, radius, sigma, k). Flakes s are normal noise, enlarged by `zoom`,
    values below the threshold removed, blurred along an angle between -135 and -45 degrees (`_filters.motion_blur`),
    in 8 bits before and after. The image becomes k x + (1 - k) max(x, 1.5 g + 0.5) + s + s turned by 180 degrees, g
    its luminance.

    Example:
        >>> Snow(severity=5).level
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)
    """

    levels: ClassVar[Levels] = {
        "imagenet": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "cifar": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "tinyimagenet": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
    }

    def distort(self, images: Tensor, level: SnowLevel, draws: Draws) -> Tensor:
        """The images in snow."""
        mean, deviation, zoom, threshold, radius, sigma, kept = level
        noise = mean + deviation * draws.normal(1, *images.shape[2:])
        large = clipped_zoom(noise, zoom)
        flakes = cut_off(torch.where(large < threshold, 0, large))
        flakes = rounded(motion_blur(flakes, radius, sigma, draws.uniform(-135, -45).tolist()))
        pale = torch.maximum(images, 1.5 * luminance(images) + 0.5)
        return kept * images + (1 - kept) * pale + flakes + flakes.flip(2, 3)


def plasma(size: int, decay: float, draws: Draws, like: Tensor) -> Tensor:
    """Height maps `[B, size, size]` in [0, 1] by the diamond-square algorithm, which goes on around the borders.

    On a grid of points the middle of each square becomes the mean of its corners plus uniform noise, then the middle
    of each edge the mean of the four points around it plus noise; then the grid is halved. The noise lies in
    [-w^2, w^2], w = 100 at first and divided by `decay` per halving.
    """
    heights = like.new_zeros(len(like), size, size)
    step, wobble = size, 100.0
    while step >= 2:
        half, points = step // 2, size // step
        noise = wobble**2 * draws.uniform(-1, 1, 3, points, points)
        corners = heights[:, ::step, ::step]
        below = corners + corners.roll(-1, 1)
        heights[:, half::step, half::step] = (below + below.roll(-1, 2)) / 4 + noise[:, 0]
        middles = heights[:, half::step, half::step]
        across = middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)
        heights[:, ::step, half::step] = across / 4 + noise[:, 1]
        along = middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)
        heights[:, half::step, ::step] = along / 4 + noise[:, 2]
        step, wobble = half, wobble / decay
    heights -= heights.amin((1, 2), keepdim=True)
    return heights / heights.amax((1, 2), keepdim=True)


@functools.lru_cache(maxsize=4)
def _photographs(folder: str, shrunk: float) -> tuple[Tensor, ...]:
    """The first pictures of a folder, RGB `[3, H, W]`, rounded to 8 bits where they are shrunk."""
    known = Image.registered_extensions()
    paths = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in known)
    if not paths:
        raise ArgumentError("pictures", folder, "a folder of pictures")
    return tuple(_shrunk(pil_to_tensor(Image.open(path).convert("RGB")) / 255, shrunk) for path in paths[:_PICTURES])


def _shrunk(picture: Tensor, share: float) -> Tensor:
    """A picture read at the middles of larger pixels, linear and without smoothing, as OpenCV's resize does."""
    if share == 1:
        return picture
    down, across = ((torch.arange(round(n * share)) + 0.5) / share - 0.5 for n in picture.shape[1:])
    rows, columns = torch.meshgrid(down, across, indexing="ij")
    return rounded(sampled(picture[None], rows[None], columns[None], "edge"))[0]


def _part(picture: Tensor, corner: list[float], height: int, width: int) -> Tensor:
    """The part of a picture whose first pixel lies at shares `corner` of what is free."""
    free = picture.shape[1] - height, picture.shape[2] - width
    if min(free) < 1:
        got = f"{height} x {width} pixels beside a picture of {picture.shape[1]} x {picture.shape[2]}"
        raise ArgumentError("images", got, "smaller than the pictures of frost")
    top, left = (int(share * room) for share, room in zip(corner, free, strict=True))
    return picture[:, top : top + height, left : left + width]
