"""What is explained: a target turns the output of any model into class evidence `[N, K]`.

Methods and metrics see only evidence and the explained class, so none of them has a branch per task. An evaluation
holds many variants of each sample; `rows` says which sample a variant belongs to, and a target gathers by it whatever
it keeps per sample (the class; later masks and boxes).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError

__all__ = ["ClassTarget", "Target", "logits_of"]


def logits_of(output: Any) -> Tensor:
    """The logits in a model's output, as `[N, K]` (or dense `[N, K, ...]`), float32 or wider.

    Accepted: a tensor; a mapping with `logits` or `out`; an object with `.logits`; a tuple whose first item is the
    tensor. A single output unit `z` is read as the two-class logits `(0, z)`: a softmax over one unit would be
    constantly one.
    """
    logits = _given(output)
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def _given(output: Any) -> Tensor:
    """The logits in a model's output, one unit as `[N, 1]`."""
    if isinstance(output, Mapping):
        found = next((output[key] for key in ("logits", "out") if key in output), None)
    elif isinstance(output, Tensor):
        found = output
    else:
        found = getattr(output, "logits", None)
        if found is None and isinstance(output, tuple | list) and output:
            found = output[0]
    if not isinstance(found, Tensor) or found.dim() < 1:
        accepted = "a tensor of logits, a mapping or object with `logits`, a mapping with `out`, or a tuple"
        raise ArgumentError("model output", type(output).__name__, accepted)
    logits = found if found.dtype == torch.float64 else found.float()
    return logits[:, None] if logits.dim() == 1 else logits


class Target(ABC):
    """Base of all targets. A subclass sets `index` and writes `evidence`."""

    index: Tensor
    """The explained class of each sample, long, `[B]`."""

    @abstractmethod
    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        """Class evidence (logits).

        Args:
            output: what the model returned for `N` variants.
            rows: the sample each variant belongs to, long, `[N]`.

        Returns:
            Logits `[N, K]`, float32 or float64, differentiable.
        """

    @abstractmethod
    def to(self, device: torch.device) -> "Target":
        """The same target with its tensors on `device`."""


class ClassTarget(Target):
    """A class of a classifier.

    Of a model with one unit z the logits are (0, z) where the second class is explained and (-z, 0) where the first is:
    the same probabilities, and each class has a logit that depends on the input.

    Args:
        index: the class of each sample, long `[B]`, or one class for all samples.

    Example:
        >>> target = ClassTarget(torch.tensor([2, 0]))
        >>> target.evidence(torch.zeros(4, 3), rows=torch.tensor([0, 0, 1, 1])).shape
        torch.Size([4, 3])
    """

    def __init__(self, index: int | Tensor) -> None:
        try:
            tensor = torch.as_tensor(index)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentError("target", index, "a class index or a long tensor [B]") from error
        if tensor.dtype.is_floating_point or tensor.dtype == torch.bool or tensor.dim() > 1:
            got = f"a {tensor.dtype} tensor of shape {tuple(tensor.shape)}"
            raise ArgumentError("target", got, "a class index or a long tensor [B]")
        self.index = tensor.long().clone()  # a copy: the given one may be an inference tensor

    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        """The logits as they are, `[N, K]`; of one unit see above."""
        given, logits = _given(output), logits_of(output)
        if logits.dim() != 2 or logits.shape[0] != rows.shape[0]:
            raise ArgumentError("model output", tuple(logits.shape), f"logits [{rows.shape[0]}, K]")
        if given.shape[1] > 1:
            return logits
        index = self.index[rows] if self.index.dim() else self.index
        return torch.where(index[..., None] == 0, torch.cat([-given, torch.zeros_like(given)], dim=1), logits)

    def to(self, device: torch.device) -> "ClassTarget":
        """The same classes on `device`."""
        return ClassTarget(self.index.to(device))
