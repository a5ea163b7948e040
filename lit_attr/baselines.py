"""What "without the feature" means: the baseline of a path, the fill of a perturbation curve."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, batch_of_floats, one_of, unit_range

__all__ = ["Baseline", "check_baseline", "get_baseline"]

Baseline: TypeAlias = str | float | Tensor | Callable[[Tensor], Tensor]

# Colours are meant in pixel space: on inputs that were normalised outside the model a plain zero is grey, not black.
_COLOURS = {"black": 0.0, "white": 1.0}
_NAMES = [*_COLOURS, "mean"]


def check_baseline(name: str, baseline: Baseline) -> None:
    """Refuse an unknown word, before there are inputs."""
    if isinstance(baseline, str):
        one_of(name, baseline, _NAMES)


def get_baseline(name: str, baseline: Baseline, inputs: Tensor) -> Tensor:
    """The baseline of each sample, of the shape, dtype and device of `inputs`, detached.

    Args:
        name: the argument's name, for error messages.
        baseline: "black" or "white" (images in [0, 1] only), "mean" (each image's own mean per channel; of flat inputs
            `[B, D]` their mean), a number in the units of the inputs, a tensor that broadcasts to `inputs`, or a
            function of `inputs`.
        inputs: the samples `[B, ...]`.

    Raises:
        ValueError: for an unknown name, a colour on inputs outside [0, 1], a value that is not finite, or a shape
            that does not fit.

    Example:
        >>> get_baseline("fill", "white", torch.zeros(1, 1, 1, 2))
        tensor([[[[1., 1.]]]])
    """
    check_baseline(name, baseline)
    if isinstance(baseline, str):
        if baseline == "mean":
            axes = tuple(range(2, inputs.dim())) or 1  # an empty tuple would be the mean over the batch too
            return inputs.mean(axes, keepdim=True).expand_as(inputs)
        unit_range("inputs", inputs, f"put the normalisation into the model, or give `{name}` as a number")
        return torch.full_like(inputs, _COLOURS[baseline])
    found = baseline(inputs) if callable(baseline) else baseline
    tensor = torch.as_tensor(found, dtype=inputs.dtype, device=inputs.device).detach()
    try:
        tensor = tensor.expand_as(inputs)
    except RuntimeError as error:
        accepted = f"a tensor that broadcasts to {tuple(inputs.shape)}"
        raise ArgumentError(name, f"shape {tuple(tensor.shape)}", accepted) from error
    batch_of_floats(name, tensor)
    return tensor
