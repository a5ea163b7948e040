"""One number per scalar of an input, and random draws that belong to no batch."""

import zlib

import torch
from torch import Tensor

from lit_attr.metrics._evaluation import Explained
from lit_attr.metrics._precision import wide
from lit_attr.metrics.ranking import channel_axis

SCORE = "{} of the target (None: the class predicted on the clean input)"


def named(setting: object) -> str | float:
    """A setting as it stands in a protocol: a word or a number, the name of a function, else that of its class."""
    return setting if isinstance(setting, str | float | int) else getattr(setting, "__name__", type(setting).__name__)


def element_map(explained: Explained) -> Tensor:
    """The attribution in the shape of the inputs, `wide`; without channels it is spread evenly, so that sums stay.

    Example:
        >>> from lit_attr.metrics import Evaluation
        >>> explained = Evaluation(torch.nn.Identity(), torch.rand(1, 2, 1, 1)).of(torch.ones(1, 1, 1))
        >>> element_map(explained).flatten()
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    inputs = explained.evaluation.inputs
    axis, found = channel_axis(inputs), wide(explained.attribution.to(inputs.device))
    if axis is None or found.shape == inputs.shape:
        return found
    if found.dim() < inputs.dim():
        found = found.unsqueeze(axis)
    return (found / inputs.shape[axis]).expand_as(inputs)


def generator_of(seed: int, number: int) -> torch.Generator:
    """The private source of draw `number`: the draw is the same in whatever chunk, batch or process it is made."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {number}".encode()))


def moves(differences: Tensor, score: Tensor) -> Tensor:
    """Samples whose score changes by more than the rounding of the score, or is not finite, bool `[B]`.

    Args:
        differences: of the score `[B, K]`.
        score: on the clean input, `[B]`, in the precision in which the model gives it.
    """
    rounding = 4 * torch.finfo(score.dtype).eps * score.abs()
    return ~(differences.abs().amax(1) <= rounding)
