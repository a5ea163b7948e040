"""Spatter of ImageNet-C. Paper, code and common deviations: `imagenet_c.py`.

For drops of water the published code goes through OpenCV: edges, distance to them, equalised levels, a relief. These
are restated here on tensors, each with what OpenCV computes.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions._filters import convolve, gaussian_blur, luminance
from lit_attr.corruptions.corruption import CORRUPTIONS
from lit_attr.corruptions.imagenet_c import ImageNetC, Levels

__all__ = ["Spatter"]

_WATER, _MUD = (175, 238, 238), (63, 42, 20)
_BOX = torch.ones(3, 3)
_RELIEF = torch.tensor([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
_SOBEL = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
_FAR = 20  # pixels from an edge of water, from which on distance does not count
_TAN22 = round(math.tan(math.pi / 8) * 2**15)  # OpenCV's, in fixed point
# Lengths of moves to 16 neighbours, of which OpenCV's 5 x 5 distance is made: beside, diagonal, knight's move.
_MOVES = {(0, 1): 1.0, (1, 1): 1.4, (1, 2): 2.1969}


@CORRUPTIONS.register("spatter")
@dataclass(frozen=True)
class Spatter(ImageNetC):
    """Drops of water, or of mud at the higher severities, at random places. One of the four extras.

    Settings are (mean, deviation, blur, threshold, k, mud). Where blurred normal noise reaches the threshold there is
    liquid l. Mud: its mask, blurred with deviation k and removed below 0.8, mixes the image with brown. Water: x + k m
    turquoise, m = l r / max(l r), where r is a relief made of the distance to the edges of l, in 8 bits.

    Water is cut to 8 bits by a cast that wraps: the thickest drops, of l above 1, are thin again. That is followed, as
    it is frequent at severity 3 of "cifar". Deviation: an image on which no drop shows stays as it is, where the
    published division by zero has no defined result. Grey images get the colours' luminance.

    Example:
        >>> Spatter(severity=5).level
        (0.67, 0.4, 1, 0.65, 1.5, 1)
    """

    levels: ClassVar[Levels] = {
        "imagenet": (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        "cifar": (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        "tinyimagenet": (
            (0.62, 0.1, 0.7, 0.7, 0.6, 0),
            (0.65, 0.1, 0.8, 0.7, 0.6, 0),
            (0.65, 0.3, 1, 0.69, 0.6, 0),
            (0.65, 0.1, 0.7, 0.68, 0.6, 1),
            (0.65, 0.1, 0.5, 0.67, 0.6, 1),
        ),
    }

    def distort(self, images: Tensor, level: tuple[float, float, float, float, float, int], draws: Draws) -> Tensor:
        """The images with drops."""
        mean, deviation, blur, threshold, strength, mud = level
        noise = mean + deviation * draws.normal(1, *images.shape[2:])
        liquid = gaussian_blur(noise, blur)
        if mud:
            mask = gaussian_blur((liquid > threshold).to(images), strength)
            mask = torch.where(mask < 0.8, 0, mask)
            return (1 - mask) * images + mask * _colour(_MUD, images)
        water = drops(torch.where(liquid < threshold, 0, (liquid * 255).floor() % 256))
        return images + strength * water * _colour(_WATER, images)


def drops(liquid: Tensor) -> Tensor:
    """How strongly water shows, `[B, 1, H, W]` in [0, 1], from its thickness in levels 0..255."""
    far = distance(edges(liquid))
    far = (convolve(far, _BOX) / 9).floor()
    relief = convolve(equalised(far), _RELIEF).clamp(0, 255)
    shown = liquid * (convolve(relief, _BOX) / 9).round()
    return shown / shown.amax((1, 2, 3), keepdim=True).clamp_min(1)


def edges(levels: Tensor, low: int = 50, high: int = 150) -> Tensor:
    """OpenCV's Canny edges of `[B, 1, H, W]` in levels 0..255, as booleans.

    Sobel gradients, the nearest pixel beyond the border; of their absolute sum the maxima across the edge; of those
    above `low` the ones that touch, over others, one above `high`.
    """
    padded = F.pad(levels, (1, 1, 1, 1), mode="replicate")
    right, down = (F.conv2d(padded, kernel.to(levels)[None, None]) for kernel in (_SOBEL, _SOBEL.T))
    size = right.abs() + down.abs()
    around = F.pad(size, (1, 1, 1, 1))

    def at(below: int, beside: int) -> Tensor:
        height, width = size.shape[2:]
        return around[..., 1 + below : 1 + below + height, 1 + beside : 1 + beside + width]

    # Which way the gradient points: beside, below, or along one of the diagonals. The bounds are integers.
    x, y = right.abs().long(), down.abs().long() << 15
    flat, steep = y < x * _TAN22, y > x * _TAN22 + (x << 16)
    falling = (right < 0) ^ (down < 0)
    first = torch.where(flat, at(0, -1), torch.where(steep, at(-1, 0), torch.where(falling, at(-1, 1), at(-1, -1))))
    second = torch.where(flat, at(0, 1), torch.where(steep, at(1, 0), torch.where(falling, at(1, -1), at(1, 1))))
    # Of two equal neighbours the first in reading order counts; on a diagonal neither does.
    peak = (size > low) & (size > first) & torch.where(flat | steep, size >= second, size > second)
    found = peak & (size > high)
    while not torch.equal(grown := peak & (F.max_pool2d(found.to(levels), 3, 1, 1) > 0), found):
        found = grown
    return found


def distance(marked: Tensor) -> Tensor:
    """Distance of each pixel `[B, 1, H, W]` to the nearest marked one, at most `_FAR`, as OpenCV's 5 x 5 mask has it.

    The shortest way in moves of `_MOVES`; the moves are tried until no way gets shorter.
    """
    lengths: dict[tuple[int, int], float] = {}
    for (a, b), length in _MOVES.items():
        lengths |= {(s * p, t * q): length for p, q in ((a, b), (b, a)) for s in (1, -1) for t in (1, -1)}
    height, width = marked.shape[2:]
    far = torch.where(marked, 0.0, float(_FAR))
    for _ in range(_FAR):
        around = F.pad(far, (2, 2, 2, 2), value=float(_FAR))
        ways = [around[..., 2 + y : 2 + y + height, 2 + x : 2 + x + width] + way for (y, x), way in lengths.items()]
        shorter = torch.minimum(far, torch.stack(ways).amin(0))
        if torch.equal(shorter, far):
            break
        far = shorter
    return far


def equalised(levels: Tensor) -> Tensor:
    """OpenCV's equalisation of histograms of `[B, 1, H, W]` in levels 0..255: a level becomes the share below it.

    The lowest level that occurs becomes 0, and any other 255 times the share of pixels up to it among those above the
    lowest, rounded. An image of one level stays as it is.
    """
    flat = levels.flatten(1).long()
    counts = torch.zeros(len(flat), 256, device=levels.device).scatter_add_(1, flat, torch.ones_like(flat).float())
    lowest = flat.amin(1, keepdim=True)
    above = flat.shape[1] - counts.gather(1, lowest)
    table = ((counts.cumsum(1) - counts.gather(1, lowest)) * (255 / above.clamp_min(1))).round()
    return torch.where(above > 0, table.gather(1, flat), flat).view_as(levels).to(levels)


def _colour(levels: tuple[int, int, int], images: Tensor) -> Tensor:
    """A colour `[1, C, 1, 1]` for RGB or grey images."""
    colour = torch.tensor(levels, dtype=images.dtype, device=images.device).view(1, 3, 1, 1) / 255
    return colour if images.shape[1] == 3 else luminance(colour)
