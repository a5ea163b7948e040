"""Blurs, zooms and shifts of batches of images, as the libraries behind the published corruptions compute them.

What works along one axis at a time is a matrix [n, n], so that any border rule and any reach cost the same.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def inside(places: Tensor, size: int, border: str) -> Tensor:
    """Places on an axis of `size` pixels that stand for `places`, which may lie outside.

    Args:
        places: integers, any shape.
        size: pixels of the axis.
        border: "edge" (a a|a b c|c c), "mirror" (c b|a b c|b a) or "reflect" (b a|a b c|c b).
    """
    if border == "edge":
        return places.clamp(0, size - 1)
    period = 2 * size if border == "reflect" else 2 * size - 2
    folded = places % period
    return torch.minimum(folded, (period - 1 if border == "reflect" else period) - folded)


def gaussian_matrix(size: int, sigma: float, like: Tensor, border: str = "edge", reach: float = 4) -> Tensor:
    """SciPy's Gaussian filter of one axis, cut at `reach` deviations, `[size, size]`; nothing for a tiny sigma."""
    radius = int(reach * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2) if radius else torch.ones(1, dtype=torch.float64)
    places = inside(torch.arange(size)[:, None] + offsets, size, border)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, places, (weights / weights.sum()).expand(size, -1)).to(like)


def gaussian_blur(images: Tensor, sigma: float, border: str = "edge", reach: float = 4) -> Tensor:
    """`images` `[..., H, W]` under SciPy's Gaussian filter, which is that of scikit-image."""
    rows, columns = (gaussian_matrix(size, sigma, images, border, reach) for size in images.shape[-2:])
    return rows @ images @ columns.T


def zoom_matrix(size: int, factor: float, like: Tensor) -> Tensor:
    """The middle of one axis, enlarged to the whole, linear between pixels, `[size, size]`.

    The middle has ceil(size / factor) pixels; they are spread from the first to the last over as many as SciPy's zoom
    makes of them, and what is too much is cut off at both ends.
    """
    kept = math.ceil(size / factor)
    made = round(kept * factor)
    rows = torch.arange(size) + (made - size) // 2
    places = rows.double() * ((kept - 1) / max(made - 1, 1))
    low = places.floor().clamp_max(max(kept - 2, 0))
    share = (places - low)[:, None]
    first = (low.long() + (size - kept) // 2)[:, None]
    matrix = torch.zeros(size, size, dtype=torch.float64).scatter_(1, first, 1 - share)
    return matrix.scatter_add_(1, (first + 1).clamp_max(size - 1), share).to(like)


def clipped_zoom(images: Tensor, factor: float) -> Tensor:
    """The middle of `images` `[..., H, W]`, enlarged by `factor` to their size."""
    rows, columns = (zoom_matrix(size, factor, images) for size in images.shape[-2:])
    return rows @ images @ columns.T


def convolve(images: Tensor, kernel: Tensor) -> Tensor:
    """`images` `[..., H, W]` correlated with an odd kernel `[K, K]`, mirrored at the borders, as in OpenCV."""
    half, (height, width) = len(kernel) // 2, images.shape[-2:]
    rows, columns = (inside(torch.arange(-half, n + half), n, "mirror").to(images.device) for n in (height, width))
    padded = images[..., rows, :][..., columns].reshape(-1, 1, height + 2 * half, width + 2 * half)
    return F.conv2d(padded, kernel.to(images)[None, None]).view_as(images)


def motion_blur(images: Tensor, radius: int, sigma: float, degrees: Sequence[float]) -> Tensor:
    """`images` `[B, C, H, W]` under ImageMagick's motion blur, each along its own angle.

    Pixel (y, x) becomes the mean of the pixels (y + ceil(i sin a - 1/2), x + ceil(i cos a - 1/2)), i = 0..2 radius,
    y downwards, with weights exp(-i^2 / (2 sigma^2)); beyond the border stands the nearest pixel.
    """
    height, width = images.shape[2:]
    steps = torch.arange(2 * radius + 1)
    weights = torch.exp(-0.5 * (steps.double() / sigma) ** 2)
    weights /= weights.sum()
    angles = torch.tensor([math.radians(degree) for degree in degrees], dtype=torch.float64)[:, None]
    down, right = (torch.ceil(steps * part - 0.5).long() for part in (angles.sin(), angles.cos()))  # [B, steps]
    samples = torch.arange(len(images), device=images.device)[:, None, None]
    last = images.permute(0, 2, 3, 1)  # channels last: a pixel is gathered whole
    blurred = torch.zeros_like(last)
    for step, weight in enumerate(weights.tolist()):
        rows = inside(torch.arange(height) + down[:, step, None], height, "edge").to(images.device)
        columns = inside(torch.arange(width) + right[:, step, None], width, "edge").to(images.device)
        blurred += weight * last[samples, rows[:, :, None], columns[:, None, :]]
    return blurred.permute(0, 3, 1, 2)


def sampled(images: Tensor, rows: Tensor, columns: Tensor, border: str) -> Tensor:
    """`images` `[B, C, H, W]` read at places `[B, h, w]` that may lie between pixels (linear) or outside."""
    height, width = images.shape[2:]
    samples = torch.arange(len(images), device=images.device)[:, None, None]
    last = images.permute(0, 2, 3, 1)
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[..., None], (columns - left)[..., None]

    def pixel(below: int, beside: int) -> Tensor:
        row = inside(top.long() + below, height, border)
        return last[samples, row, inside(left.long() + beside, width, border)]

    upper = (1 - right) * pixel(0, 0) + right * pixel(0, 1)
    lower = (1 - right) * pixel(1, 0) + right * pixel(1, 1)
    return ((1 - down) * upper + down * lower).permute(0, 3, 1, 2)


def luminance(images: Tensor) -> Tensor:
    """Grey values `[B, 1, H, W]` of RGB or grey images, 0.299 R + 0.587 G + 0.114 B."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype, device=images.device).view(3, 1, 1)
    return (weights * images).sum(1, keepdim=True)
