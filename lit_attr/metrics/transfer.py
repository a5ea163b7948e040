"""Which model's adversarial samples fool which other model.

Paper: Liu et al., "Delving into Transferable Adversarial Examples and Black-box Attacks", ICLR 2017, arXiv 1611.02770,
section 3: success over samples that both models classify correctly.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr.attacks import Attack, get_attacks
from lit_attr.metrics.robust_accuracy import predicted_right, robust_accuracy

__all__ = ["Transfer", "transfer_matrix"]


class Transfer(NamedTuple):
    """One attack, made on each model and tried on each.

    Attributes:
        names: of the models.
        fooled: samples that fooled the target (column) when made on the surrogate (row), long `[M, M]`.
        samples: those that both classify correctly without the attack, long `[M, M]`.
    """

    names: list[str]
    fooled: Tensor
    samples: Tensor

    @property
    def success(self) -> Tensor:
        """The share of fooled samples, `[M, M]`; NaN where no sample is classified correctly by both."""
        return self.fooled / self.samples.where(self.samples > 0, math.nan)

    def rows(self) -> list[list[str | float | int]]:
        """A table: surrogate, target, success, samples."""
        return [
            [surrogate, target, float(self.success[i, j]), int(self.samples[i, j])]
            for i, surrogate in enumerate(self.names)
            for j, target in enumerate(self.names)
        ]


def transfer_matrix(
    models: Mapping[str, nn.Module],
    attacks: Sequence[str | Attack] | Mapping[str, Mapping[str, Any] | Attack | None],
    data: Iterable[tuple[Tensor, Tensor]],
) -> dict[str, Transfer]:
    """Make adversarial samples on each model and try them on all.

    Args:
        models: by name, all of the same classes and on the device of the data.
        attacks: names, attacks, or a mapping from names to settings (see `Registry.build_all`).
        data: batches of inputs `[B, ...]` and true classes `[B]`.

    Returns:
        Per attack, the counts of all samples.

    Raises:
        ValueError: for no model, no attack, or an unknown one.

    Example:
        >>> models = {name: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)) for name in ("a", "b")}
        >>> data = [(torch.rand(8, 3, 2, 2), torch.randint(3, (8,)))]
        >>> transfer_matrix(models, ["fgsm"], data)["fgsm"].success.shape
        torch.Size([2, 2])
    """
    built, names = get_attacks(attacks), list(models)
    if not names:
        raise ArgumentError("models", names, "at least one model")
    if not built:
        raise ArgumentError("attacks", attacks, "at least one attack")
    shape = len(names), len(names)
    found = {name: Transfer(names, torch.zeros(shape).long(), torch.zeros(shape).long()) for name in built}
    for inputs, labels in data:
        right = torch.stack([predicted_right(model, inputs, labels) for model in models.values()])
        both = right[:, None] & right[None]
        for name, attack in built.items():
            for i, surrogate in enumerate(models.values()):
                own = robust_accuracy(surrogate, inputs, labels, attack)
                made = cast("Tensor", own.adversarial)
                for j, target in enumerate(models.values()):
                    still = own.robust if i == j else predicted_right(target, made, labels)
                    found[name].fooled[i, j] += int((both[i, j] & ~still).sum())
            found[name].samples.add_(both.sum(2).cpu())
    return found
