"""Elastic transform of ImageNet-C. Paper, code and common deviations: `imagenet_c.py`."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions._filters import gaussian_blur, sampled
from lit_attr.corruptions.corruption import CORRUPTIONS
from lit_attr.corruptions.imagenet_c import ImageNetC, Levels

__all__ = ["ElasticTransform"]

_MADE_FOR = {"imagenet": 224, "cifar": 32, "tinyimagenet": 64}


@CORRUPTIONS.register("elastic_transform")
@dataclass(frozen=True)
class ElasticTransform(ImageNetC):
    """The image under a random affine map, then each pixel moved by a smooth random field.

    Settings are (alpha, sigma, shift): three corners of a square, two thirds of the shorter side wide, move by up to
    `shift` on each axis; the field is uniform noise in [-1, 1] blurred with deviation sigma, times alpha. All three
    are lengths, which grow with the shorter side of the image from the variant's own size on, as published code states
    them in shares of it (for ImageNet in shares of 244, a slip that is followed).

    Deviations: the affine map is read at exact places, where OpenCV rounded them to 1/32 pixel. Where images are not
    square, the centre has x in the middle of the width; in the published code, made for squares, of the height.

    Example:
        >>> ElasticTransform(severity=1, variant="cifar").level
        (0.0, 0.0, 2.56)
    """

    levels: ClassVar[Levels] = {
        "imagenet": tuple(
            (244 * alpha, 244 * sigma, 244 * shift)
            for alpha, sigma, shift in [
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            ]
        ),
        "cifar": tuple(
            (32 * alpha, 32 * sigma, 32 * shift)
            for alpha, sigma, shift in [
                (0.0, 0.0, 0.08),
                (0.05, 0.2, 0.07),
                (0.08, 0.06, 0.06),
                (0.1, 0.04, 0.05),
                (0.1, 0.03, 0.03),
            ]
        ),
        "tinyimagenet": tuple(
            (64 * alpha, 64 * sigma, 64 * shift)
            for alpha, sigma, shift in [
                (0.0, 0.0, 0.08),
                (0.05, 0.3, 0.06),
                (0.1, 0.08, 0.06),
                (0.1, 0.03, 0.03),
                (0.16, 0.03, 0.02),
            ]
        ),
    }

    def distort(self, images: Tensor, level: tuple[float, float, float], draws: Draws) -> Tensor:
        """The warped images."""
        height, width = images.shape[2:]
        grown = min(height, width) / _MADE_FOR[self.variant]
        alpha, sigma, shift = (length * grown for length in level)
        rows = torch.arange(height, device=images.device).to(images)[:, None]
        columns = torch.arange(width, device=images.device).to(images)
        by = _back(height, width, draws.uniform(-shift, shift, 3, 2)).to(images)[..., None, None]  # [B, 3, 2, 1, 1]
        x, y = (by[:, 0, axis] * columns + by[:, 1, axis] * rows + by[:, 2, axis] for axis in (0, 1))
        images = sampled(images, y, x, "mirror")
        right, down = (alpha * gaussian_blur(draws.uniform(-1, 1, height, width), sigma, "reflect", 3) for _ in "xy")
        return sampled(images, rows + down, columns + right, "reflect")


def _back(height: int, width: int, moved: Tensor) -> Tensor:
    """The affine maps [B, 3, 2] that take (x, y, 1) of the new image to (x, y) of the old one.

    Args:
        height: of the images.
        width: of the images.
        moved: how far each of the three corners goes, `[B, 3, 2]`.
    """
    reach, x, y = min(height, width) // 3, width // 2, height // 2
    corners = [[x + reach, y + reach], [x + reach, y - reach], [x - reach, y - reach]]
    old = torch.tensor(corners, dtype=torch.float64)
    new = old + moved.double().cpu()
    places = torch.cat([new, torch.ones(len(new), 3, 1, dtype=torch.float64)], 2)
    maps: Tensor = torch.linalg.solve(places, old.expand_as(new))
    return maps
