"""Noise of any strength, for curves of accuracy over noise.

Beside these, the corruptions of ImageNet-C have the published strengths. Here nothing is rounded to 8 bits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_attr._checks import fraction, not_negative
from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions.corruption import CORRUPTIONS, Corruption

__all__ = ["GaussianNoise", "SaltAndPepper", "SpeckleNoise"]


@CORRUPTIONS.register("gaussian")
@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """Additive noise: clip(x + sigma n), n standard normal for each value.

    Args:
        sigma: standard deviation, in units of the pixels.

    Example:
        >>> import torch
        >>> GaussianNoise(sigma=0.0)(torch.full((1, 1, 1, 2), 0.5))
        tensor([[[[0.5000, 0.5000]]]])
    """

    sigma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("sigma", self.sigma)

    def corrupt(self, images: Tensor, draws: Draws) -> Tensor:
        """The noisy images."""
        return images + self.sigma * draws.normal(*images.shape[1:])


@CORRUPTIONS.register("speckle")
@dataclass(frozen=True)
class SpeckleNoise(Corruption):
    """Noise that grows with the pixel: clip(x + sigma x n), n standard normal for each value.

    Args:
        sigma: standard deviation, in units of the pixel that it is added to.

    Example:
        >>> import torch
        >>> SpeckleNoise(sigma=0.5)(torch.zeros(1, 1, 1, 2))
        tensor([[[[0., 0.]]]])
    """

    sigma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("sigma", self.sigma)

    def corrupt(self, images: Tensor, draws: Draws) -> Tensor:
        """The noisy images."""
        return images + images * self.sigma * draws.normal(*images.shape[1:])


@CORRUPTIONS.register("salt_and_pepper")
@dataclass(frozen=True)
class SaltAndPepper(Corruption):
    """Each value is replaced with probability `amount`, by 0 or 1 with equal chance; channels are drawn apart.

    Args:
        amount: the probability, in [0, 1].

    Example:
        >>> import torch
        >>> SaltAndPepper(amount=1.0)(torch.full((1, 1, 8, 8), 0.5)).unique()
        tensor([0., 1.])
    """

    amount: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction("amount", self.amount)

    def corrupt(self, images: Tensor, draws: Draws) -> Tensor:
        """The images with values replaced."""
        return salt_and_pepper(images, self.amount, draws)


def salt_and_pepper(images: Tensor, amount: float, draws: Draws) -> Tensor:
    """`images` with each value replaced with probability `amount`, by 0 or 1."""
    hit = draws.uniform(0, 1, *images.shape[1:]) < amount
    salt = draws.uniform(0, 1, *images.shape[1:]) < 0.5
    return torch.where(hit, salt.to(images), images)
