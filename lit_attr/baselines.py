"""What "without the feature" means: the baseline of a path, the fill of a perturbation curve."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, one_of, unit_range

__all__ = ["Baseline", "get_baseline"]

Baseline: TypeAlias = str | float | Tensor | Callable[[Tensor], Tensor]

# Colours are meant in pixel space: on inputs that were normalised outside the model a plain zero is grey, not black.
_COLOURS = {"black": 0.0, "white": 1.0}
_NAMES = [*_COLOURS, "mean"]


def get_baseline(name: str, baseline: Baseline, inputs: Tensor) -> Tensor:
    """The baseline of each sample, of the shape, dtype and device of `inputs`.

    Args:
        name: the argument's name, for error messages.
        baseline: "black" or "white" (images in [0, 1] only), "mean" (each image's own mean per channel), a number in
            the units of the inputs, a tensor that broadcasts to `inputs`, or a function of `inputs`.
        inputs: the samples `[B, ...]`.

    Raises:
        ValueError: for an unknown name, a colour on inputs outside [0, 1], or a shape that does not fit.

    Example:
        >>> get_baseline("fill", "white", torch.zeros(1, 1, 1, 2))
        tensor([[[[1., 1.]]]])
    """
    if isinstance(baseline, str):
        one_of(name, baseline, _NAMES)
        if baseline == "mean":
            return inputs.mean(tuple(range(2, inputs.dim())), keepdim=True).expand_as(inputs)
        unit_range("inputs", inputs, f"put the normalisation into the model, or give `{name}` as a number")
        return torch.full_like(inputs, _COLOURS[baseline])
    found = baseline(inputs) if callable(baseline) else baseline
    tensor = torch.as_tensor(found, dtype=inputs.dtype, device=inputs.device)
    try:
        return tensor.expand_as(inputs)
    except RuntimeError as error:
        accepted = f"a tensor that broadcasts to {tuple(inputs.shape)}"
        raise ArgumentError(name, f"shape {tuple(tensor.shape)}", accepted) from error
