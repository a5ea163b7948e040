"""Linear maps of images along their axes, as matrices: the cosine transform, random resizing, smoothing.

As matrix products they serve any size and number of channels, give the same numbers twice on any device, and the way
back of a gradient is the transpose.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["between", "cosines", "diversify", "smooth"]

_ENLARGED = 1.15  # the most by which an image is resized
_DEVIATIONS = 3  # of the Gaussian, from the middle of its window to an end


def between(rows: Tensor, images: Tensor, columns: Tensor) -> Tensor:
    """`rows @ images @ columns^T` of images `[..., H, W]`, in their own precision also under autocast."""
    with torch.autocast(images.device.type, enabled=False):
        return rows @ images @ columns.mT


def cosines(images: Tensor) -> tuple[Tensor, Tensor]:
    """The orthonormal cosine transform (DCT-II) of the two axes of images, `[H, H]` and `[W, W]`.

    Their transposes are the inverse.

    Example:
        >>> rows, columns = cosines(torch.zeros(1, 2, 3))
        >>> between(rows, torch.ones(1, 2, 3), columns)[0, 0]
        tensor([2.4495, 0.0000, 0.0000])
    """
    rows, columns = (_cosines(size, images.dtype, images.device) for size in images.shape[-2:])
    return rows, columns


def diversify(images: Tensor, probability: float, generator: torch.Generator, resize: float = _ENLARGED) -> Tensor:
    """Input diversity that keeps the size.

    Paper: Xie et al., "Improving Transferability of Adversarial Examples with Input Diversity", 2019, section 3.3,
    which enlarges and leaves the ground's size as it is.

    Args:
        images: `[N, C, H, W]`.
        probability: of the change; else the images are returned as they are.
        generator: one draw for all the images.
        resize: the most by which the sides change. Below 1 the images are made smaller, by torchattacks' draws, and put
            somewhere on a black ground of their size; above 1 larger, put on a ground of that size, resized back.
    """
    if resize < 1:
        return _shrunk(images, probability, generator, resize)
    coin, *draws = torch.rand(4, generator=generator).tolist()
    if coin >= probability:
        return images
    larger, down, right = draws
    rows, columns = (
        _shift(size, resize, larger, place, images)
        for size, place in zip(images.shape[-2:], (down, right), strict=True)
    )
    return between(rows, images, columns)


def smooth(images: Tensor, side: int) -> Tensor:
    """Convolution with a Gaussian of `side` x `side` pixels and three standard deviations, zeros around the images.

    Paper: Dong et al., "Evading Defenses to Transferable Adversarial Examples by Translation-Invariant Attacks", 2019,
    section 3.3.
    """
    rows, columns = (_gaussian(size, side, images.dtype, images.device) for size in images.shape[-2:])
    return between(rows, images, columns)


def _shrunk(images: Tensor, probability: float, generator: torch.Generator, resize: float) -> Tensor:
    """In torchattacks' order, so that one seed gives one result; of images that are not square both sides shrink."""
    height, width = images.shape[-2:]
    smaller = _integer(int(width * resize), width, generator)
    size = (max(1, round(height * smaller / width)), smaller)
    down, right = height - size[0], width - size[1]
    top, left = _integer(0, down, generator), _integer(0, right, generator)
    if float(torch.rand(1, generator=generator)) >= probability:
        return images
    found = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
    return F.pad(found, [left, right - left, top, down - top])


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """In low..high-1; low where there is none."""
    return int(torch.randint(low, max(high, low + 1), (1,), dtype=torch.int32, generator=generator))


def _shift(size: int, resize: float, larger: float, place: float, images: Tensor) -> Tensor:
    """Of one axis: enlarged, padded with zeros, resized back, `[size, size]`; draws in [0, 1) choose how."""
    ground = int(size * resize)
    other = size + int(larger * (ground - size + 1))
    start = int(place * (ground - other + 1))
    up = _resizing(size, other, images.dtype, images.device)
    back = _resizing(ground, size, images.dtype, images.device)
    with torch.autocast(images.device.type, enabled=False):
        found: Tensor = back[:, start : start + other] @ up
    return found


@lru_cache(maxsize=64)
def _cosines(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    place = torch.arange(size, dtype=torch.float64)
    found: Tensor = (2 / size) ** 0.5 * torch.cos(torch.pi / size * place[:, None] * (place + 0.5))
    found[0] /= 2**0.5
    return found.to(device, dtype)


@lru_cache(maxsize=256)
def _resizing(size: int, other: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Linear interpolation, `[other, size]`."""
    each = torch.eye(size, dtype=torch.float64)[None]
    return F.interpolate(each, size=other, mode="linear")[0].T.contiguous().to(device, dtype)


@lru_cache(maxsize=64)
def _gaussian(size: int, side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A band of the kernel's values, `[size, size]`."""
    kernel = torch.exp(-(torch.linspace(-_DEVIATIONS, _DEVIATIONS, side, dtype=torch.float64) ** 2) / 2)
    distance = torch.arange(size) - torch.arange(size)[:, None] + side // 2
    inside = (distance >= 0) & (distance < side)
    band = (kernel / kernel.sum())[distance.clamp(0, side - 1)]
    return torch.where(inside, band, 0.0).to(device, dtype)
