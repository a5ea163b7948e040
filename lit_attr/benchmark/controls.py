"""Control maps: what any attribution has to be better than. No explanations; they do not look at the model.

Papers: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (edges); random and uniform maps and the mask of
the object as every protocol of localisation compares with them.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError, setting_types
from lit_attr.metrics.ranking import channel_axis
from lit_attr.registry import Registry

__all__ = ["CONTROLS", "Control", "EdgeMap", "MaskMap", "OracleMap", "RandomMap", "UniformMap"]


@dataclass(frozen=True)
class Control(ABC):
    """Base of all control maps: frozen settings. A subclass writes `maps`."""

    NEEDS_CAUSES: ClassVar[bool] = False
    """Whether its masks are those of what the output rests on, where others get those of the explained object."""
    FIXED: ClassVar[bool] = False
    """Whether its maps stay where they are, whatever becomes of the inputs; what explains again is not asked of it."""

    def __post_init__(self) -> None:
        setting_types(self)

    @abstractmethod
    def maps(self, inputs: Tensor, keys: Sequence[str], masks: Tensor | None) -> Tensor:
        """One map per sample, of the inputs' size with one channel.

        Args:
            inputs: the samples `[B, ...]`.
            keys: their names.
            masks: where the explained object is, of a segmenter the explained region, bool `[B, H, W]`, where anybody
                knows.
        """


CONTROLS: Registry[Control] = Registry("control", Control)  # type: ignore[type-abstract]


def _single(inputs: Tensor) -> tuple[int, ...]:
    """The shape of maps with one channel."""
    axis, shape = channel_axis(inputs), tuple(inputs.shape)
    return shape if axis is None else (*shape[:axis], 1, *shape[axis + 1 :])


@CONTROLS.register("random")
@dataclass(frozen=True)
class RandomMap(Control):
    """Uniform noise in [0, 1), of each sample its own: it depends on the seed and the sample's name, not on the batch.

    Args:
        seed: of the private generators.

    Example:
        >>> images, control = torch.rand(2, 3, 4, 4), RandomMap()
        >>> both = control.maps(images, ["a", "b"], None)
        >>> both.shape, torch.equal(both[1:], control.maps(images[1:], ["b"], None))
        (torch.Size([2, 1, 4, 4]), True)
    """

    seed: int = 0

    def maps(self, inputs: Tensor, keys: Sequence[str], masks: Tensor | None) -> Tensor:  # noqa: ARG002
        """Noise per sample."""
        shape, found = _single(inputs)[1:], []
        for key in keys:
            generator = torch.Generator().manual_seed(zlib.crc32(f"{self.seed} {key}".encode()))
            found.append(torch.rand(shape, generator=generator))
        return torch.stack(found).to(inputs)


@CONTROLS.register("uniform")
@dataclass(frozen=True)
class UniformMap(Control):
    """The same everywhere: metrics rank its positions by their index, and count it as constant."""

    def maps(self, inputs: Tensor, keys: Sequence[str], masks: Tensor | None) -> Tensor:  # noqa: ARG002
        """Ones."""
        return inputs.new_ones(_single(inputs))


@CONTROLS.register("edges")
@dataclass(frozen=True)
class EdgeMap(Control):
    """The strength of the image's edges: the length of Sobel's gradient of the mean over channels, `[B, 1, H, W]`.

    Raises:
        ArgumentError: for inputs that are no images.
    """

    def maps(self, inputs: Tensor, keys: Sequence[str], masks: Tensor | None) -> Tensor:  # noqa: ARG002
        """Sobel's gradient, the border repeated outwards."""
        if inputs.dim() != 4:
            raise ArgumentError("controls", "edges", f"others for inputs {tuple(inputs.shape)}, which are no images")
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(inputs)
        grey = F.pad(inputs.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        found = F.conv2d(grey, torch.stack([across, across.T])[:, None])
        strength: Tensor = torch.linalg.vector_norm(found, dim=1, keepdim=True)
        return strength


@CONTROLS.register("mask")
@dataclass(frozen=True)
class MaskMap(Control):
    """The mask of the explained object, one inside and zero outside: what perfect localisation would be worth.

    Raises:
        ArgumentError: for a batch without masks.
    """

    FIXED: ClassVar[bool] = True

    def maps(self, inputs: Tensor, keys: Sequence[str], masks: Tensor | None) -> Tensor:  # noqa: ARG002
        """The masks as numbers."""
        if masks is None:
            raise ArgumentError("controls", "mask", "others for data without masks")
        return masks[:, None].to(inputs)


@CONTROLS.register("oracle")
@dataclass(frozen=True)
class OracleMap(Control):
    """What the output rests on, one there and zero elsewhere: what knowing the truth would be worth.

    Raises:
        ArgumentError: for a batch of which the causes are not known.
    """

    NEEDS_CAUSES: ClassVar[bool] = True
    FIXED: ClassVar[bool] = True

    def maps(self, inputs: Tensor, keys: Sequence[str], masks: Tensor | None) -> Tensor:  # noqa: ARG002
        """The causes as numbers."""
        if masks is None:
            raise ArgumentError("controls", "oracle", "others for data whose causes are not known")
        return masks[:, None].to(inputs)
