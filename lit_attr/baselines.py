"""What "without the feature" means: the baseline of a path, the fill of a perturbation curve."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError, batch_of_floats, one_of, unit_range

__all__ = ["Baseline", "Sample", "check_baseline", "get_baseline"]

Baseline: TypeAlias = str | float | Tensor | Callable[[Tensor], Tensor]

# Colours are meant in pixel space: on inputs that were normalised outside the model a plain zero is grey, not black.
_IMAGENET = (0.485, 0.456, 0.406)
_COLOURS: dict[str, float | tuple[float, ...]] = {"black": 0.0, "white": 1.0, "imagenet_mean": _IMAGENET}
_NAMES = [*_COLOURS, "mean", "min", "blur", "imagenet_blur"]


def check_baseline(name: str, baseline: object) -> None:
    """Refuse what is no baseline, before there are inputs."""
    if isinstance(baseline, str):
        one_of(name, baseline, _NAMES)
    elif not (isinstance(baseline, int | float | Tensor) or callable(baseline)):
        accepted = f"a number, a tensor, a function of the inputs, or one of {', '.join(_NAMES)}"
        raise ArgumentError(name, baseline, accepted)


def get_baseline(name: str, baseline: Baseline, inputs: Tensor) -> Tensor:
    """The baseline of each sample, of the shape, dtype and device of `inputs`, detached.

    Args:
        name: the argument's name, for error messages.
        baseline: a number in the units of the inputs, a tensor that broadcasts to `inputs`, a function of `inputs`, or

            - "black", "white": images in [0, 1] only;
            - "mean": each image's own mean per channel; of flat inputs `[B, D]` their mean;
            - "min": each sample's own smallest value;
            - "blur": images blurred as RISE does, in the space of the inputs: beyond the border there is zero;
            - "imagenet_mean", "imagenet_blur": colour images in [0, 1] only: what zero and "blur" are to a model that
              normalises by ImageNet's mean and deviation, as the model sees it.
        inputs: the samples `[B, ...]`.

    Raises:
        ValueError: for an unknown name, a colour on inputs outside [0, 1], a blur of what is no image, a value that is
            not finite, or a shape that does not fit.

    Example:
        >>> get_baseline("fill", "white", torch.zeros(1, 1, 1, 2))
        tensor([[[[1., 1.]]]])
    """
    check_baseline(name, baseline)
    if isinstance(baseline, str):
        return _named(name, baseline, inputs)
    found = baseline(inputs) if callable(baseline) else baseline
    return _fitting(name, torch.as_tensor(found, dtype=inputs.dtype, device=inputs.device).detach(), inputs)


@dataclass(frozen=True, eq=False)
class Sample:
    """Another image of a fixed set: the first in a seeded order that is not the sample itself; a baseline.

    The order is the same for all samples, so that a result does not depend on the batch that a sample is in.

    Args:
        images: the set `[M, ...]`, M of at least two unless no sample is in it.
        seed: of the order.

    Raises:
        ValueError: when called, for a sample that every image of the set is equal to, and for images of another shape.

    Example:
        >>> pool = torch.rand(5, 1, 2, 2)
        >>> found = get_baseline("fill", Sample(pool), pool)
        >>> (found == pool).flatten(1).all(1).any()
        tensor(False)
    """

    images: Tensor
    seed: int = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        """Another image for each of `inputs`, of their shape."""
        if self.images.shape[1:] != inputs.shape[1:]:
            raise ArgumentError("images", f"shape {tuple(self.images.shape)}", f"samples of {tuple(inputs.shape[1:])}")
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(self.seed))
        found, missing = torch.empty_like(inputs), torch.ones(len(inputs), dtype=torch.bool, device=inputs.device)
        for number in order.tolist():
            image = self.images[number].to(inputs)
            fits = missing & (inputs != image).flatten(1).any(1)
            found[fits] = image
            missing &= ~fits
            if not bool(missing.any()):
                return found
        raise ArgumentError("images", f"{len(order)} times the sample itself", "a set with another image for each")


def _named(name: str, baseline: str, inputs: Tensor) -> Tensor:
    if baseline == "mean":
        axes = tuple(range(2, inputs.dim())) or 1  # an empty tuple would be the mean over the batch too
        return inputs.mean(axes, keepdim=True).expand_as(inputs)
    if baseline == "min":
        return inputs.amin(tuple(range(1, inputs.dim())), keepdim=True).expand_as(inputs)
    if baseline == "blur":
        return _blurred(name, inputs)
    unit_range("inputs", inputs, f"put the normalisation into the model, or give `{name}` as a number")
    colour = torch.as_tensor(_COLOURS[baseline.replace("blur", "mean")], dtype=inputs.dtype, device=inputs.device)
    colour = colour.view(-1, *[1] * (inputs.dim() - 2)) if colour.dim() else colour
    colour = _fitting(name, colour, inputs)
    # Normalised, blurred and brought back: the deviation cancels, as channels are blurred apart.
    return colour + _blurred(name, inputs - colour) if baseline == "imagenet_blur" else colour


def _fitting(name: str, tensor: Tensor, inputs: Tensor) -> Tensor:
    try:
        tensor = tensor.expand_as(inputs)
    except RuntimeError as error:
        accepted = f"a tensor that broadcasts to {tuple(inputs.shape)}"
        raise ArgumentError(name, f"shape {tuple(tensor.shape)}", accepted) from error
    batch_of_floats(name, tensor)
    return tensor


def _blurred(name: str, images: Tensor) -> Tensor:
    """Blur as RISE's `evaluation.py` does, each channel alone, with zeros around."""
    if images.dim() != 4:
        raise ArgumentError(name, "blur", f"another one for inputs {tuple(images.shape)}, which are no images")
    row = torch.tensor(_RISE_ROW, dtype=images.dtype, device=images.device)
    channels, half = images.shape[1], len(_RISE_ROW) // 2
    across = F.conv2d(images, row.expand(channels, 1, 1, -1), padding=(0, half), groups=channels)
    return F.conv2d(across, row[:, None].expand(channels, 1, -1, 1), padding=(half, 0), groups=channels)


def _rise_row(length: int = 11, deviation: float = 5.0) -> tuple[float, ...]:
    """One axis of RISE's kernel: a Gaussian of 4 deviations, folded back into the length where it leaves it.

    RISE filters a single one in `length` zeros by SciPy, which reflects at the borders, so that the kernel is nearly
    a box and no truncated Gaussian.
    """
    reach, middle = int(4 * deviation + 0.5), length // 2
    weights = {k: math.exp(-0.5 * (k / deviation) ** 2) for k in range(-reach, reach + 1)}
    row = [0.0] * length
    for k, weight in weights.items():
        place = (middle + k) % (2 * length)
        row[min(place, 2 * length - 1 - place)] += weight / sum(weights.values())
    return tuple(row)


_RISE_ROW = _rise_row()
