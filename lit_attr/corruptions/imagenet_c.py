"""What the corruptions of ImageNet-C share: severities, variants and 8 bits.

Paper: Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019, arXiv 1903.12261. Code: github.com/hendrycks/robustness, `ImageNet-C/create_c/make_imagenet_c.py`,
`make_cifar_c.py` and `make_tinyimagenet_c.py`, from which the settings of the severities are taken.

Deviations of all: the random numbers are others. Severities share theirs, and so do corruptions. The published
ImageNet-C and Tiny ImageNet-C were also stored as JPEG of quality 85, which is left out here (CIFAR-10-C was not):
numbers to set beside published ones come from the stored data.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from lit_attr._checks import ArgumentError, one_of
from lit_attr.corruptions._draws import Draws
from lit_attr.corruptions.corruption import Corruption

__all__ = ["ImageNetC"]

Levels = Mapping[str, tuple[Any, ...]]

SMALLEST = 8  # pixels a side


@dataclass(frozen=True)
class ImageNetC(Corruption):
    """Base of the corruptions of ImageNet-C: published settings for five severities.

    As in the published data the result has 8 bits, cut off and not rounded: floor(255 v) / 255. Images are RGB or grey,
    of any size from 8 x 8; settings are pixels of the variant's own size and do not grow with the image, where a class
    does not say otherwise. A subclass has `levels`, the settings by variant, and writes `distort`.

    Args:
        severity: 1 (weak) to 5 (strong).
        variant: whose settings: "imagenet" (made for 224 x 224), "cifar" (32 x 32) or "tinyimagenet" (64 x 64).

    Raises:
        ValueError: for another severity or variant; on call, for images that are neither RGB nor grey, or too small.
    """

    severity: int = 3
    variant: str = "imagenet"

    levels: ClassVar[Levels]

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.severity) is not int or not 1 <= self.severity <= 5:
            raise ArgumentError("severity", self.severity, "an integer from 1 to 5")
        one_of("variant", self.variant, self.levels)

    @property
    def level(self) -> Any:
        """The settings of this severity and variant."""
        return self.levels[self.variant][self.severity - 1]

    def corrupt(self, images: Tensor, draws: Draws) -> Tensor:
        """The distorted images in 8 bits."""
        channels, *sides = images.shape[1:]
        if channels not in {1, 3}:
            raise ArgumentError("images", f"{channels} channels", "RGB or grey, with 3 channels or 1")
        if min(sides) < SMALLEST:
            raise ArgumentError("images", f"{sides[0]} x {sides[1]} pixels", f"at least {SMALLEST} pixels a side")
        return cut_off(self.distort(images, self.level, draws))

    @abstractmethod
    def distort(self, images: Tensor, level: Any, draws: Draws) -> Tensor:
        """The distorted images `[B, C, H, W]`, C 1 or 3, before they are cut to 8 bits, at the settings `level`."""


def cut_off(values: Tensor) -> Tensor:
    """To 8 bits as a cast does, floor(255 v) / 255, of values clipped to [0, 1].

    A ten thousandth of a level is added first: in float32 a value that is a level lies below it as often as above.
    """
    return (values.clamp(0, 1) * 255 + 1e-4).floor() / 255


def rounded(values: Tensor) -> Tensor:
    """To the nearest of 256 levels."""
    return (values.clamp(0, 1) * 255).round() / 255
