"""The noise of ImageNet-C. Paper, code and common deviations: `imagenet_c.py`."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions.corruption import CORRUPTIONS
from lit_attr.corruptions.imagenet_c import ImageNetC, Levels
from lit_attr.corruptions.noise import salt_and_pepper

__all__ = ["GaussianNoiseC", "ImpulseNoiseC", "ShotNoiseC", "SpeckleNoiseC"]


@CORRUPTIONS.register("gaussian_noise")
@dataclass(frozen=True)
class GaussianNoiseC(ImageNetC):
    """Additive noise: x + sigma n, n standard normal; `GaussianNoise` at published strengths.

    Example:
        >>> GaussianNoiseC(severity=5).level
        0.38
    """

    levels: ClassVar[Levels] = {
        "imagenet": (0.08, 0.12, 0.18, 0.26, 0.38),
        "cifar": (0.04, 0.06, 0.08, 0.09, 0.10),
        "tinyimagenet": (0.04, 0.08, 0.12, 0.15, 0.18),
    }

    def distort(self, images: Tensor, level: float, draws: Draws) -> Tensor:
        """The noisy images."""
        return images + level * draws.normal(*images.shape[1:])


@CORRUPTIONS.register("shot_noise")
@dataclass(frozen=True)
class ShotNoiseC(ImageNetC):
    """Noise of counted photons: Poisson(c x) / c.

    Example:
        >>> ShotNoiseC(severity=5).level
        3
    """

    levels: ClassVar[Levels] = {
        "imagenet": (60, 25, 12, 5, 3),
        "cifar": (500, 250, 100, 75, 50),
        "tinyimagenet": (250, 100, 50, 30, 15),
    }

    def distort(self, images: Tensor, level: float, draws: Draws) -> Tensor:
        """The noisy images."""
        return draws.poisson(images * level) / level


@CORRUPTIONS.register("impulse_noise")
@dataclass(frozen=True)
class ImpulseNoiseC(ImageNetC):
    """Values replaced by 0 or 1; `SaltAndPepper` at published strengths.

    Example:
        >>> ImpulseNoiseC(severity=5).level
        0.27
    """

    levels: ClassVar[Levels] = {
        "imagenet": (0.03, 0.06, 0.09, 0.17, 0.27),
        "cifar": (0.01, 0.02, 0.03, 0.05, 0.07),
        "tinyimagenet": (0.01, 0.02, 0.05, 0.08, 0.14),
    }

    def distort(self, images: Tensor, level: float, draws: Draws) -> Tensor:
        """The images with values replaced."""
        return salt_and_pepper(images, level, draws)


@CORRUPTIONS.register("speckle_noise")
@dataclass(frozen=True)
class SpeckleNoiseC(ImageNetC):
    """Noise that grows with the pixel: x + sigma x n; `SpeckleNoise` at published strengths. One of the four extras.

    Example:
        >>> SpeckleNoiseC(severity=5).level
        0.6
    """

    levels: ClassVar[Levels] = {
        "imagenet": (0.15, 0.2, 0.35, 0.45, 0.6),
        "cifar": (0.06, 0.1, 0.12, 0.16, 0.2),
        "tinyimagenet": (0.15, 0.2, 0.25, 0.3, 0.35),
    }

    def distort(self, images: Tensor, level: float, draws: Draws) -> Tensor:
        """The noisy images."""
        return images + images * level * draws.normal(*images.shape[1:])
