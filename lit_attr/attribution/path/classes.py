"""Which classes the targeted walks of a sample go to."""

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from lit_attr._checks import one_of

__all__ = ["Choice", "check_choice", "other_classes"]

Choice: TypeAlias = Literal["top", "even", "random"]


def check_choice(choice: Choice) -> None:
    """Refuse an unknown way to choose."""
    one_of("choice", choice, get_args(Choice))


def other_classes(evidence: Tensor, but: Tensor, count: int, choice: Choice, seed: int = 0) -> Tensor:
    """Classes of each sample other than one, `[B, M]` with M = min(count, K - 1), each once.

    Args:
        evidence: of the samples, `[B, K]`.
        but: the class that is left out, `[B]`.
        count: how many.
        choice: "top" takes the runners-up, most evidence first; "even" takes classes at equal distances by number;
            "random" takes a seeded choice, the same for all samples.
        seed: of "random".

    Example:
        >>> other_classes(torch.tensor([[0.1, 3.0, 0.2, 0.9]]), torch.tensor([1]), 2, "top")
        tensor([[3, 2]])
    """
    classes = evidence.shape[1]
    count = min(count, classes - 1)
    if choice == "top":
        return evidence.scatter(1, but[:, None], -torch.inf).topk(count, dim=1).indices
    if choice == "even":
        order = torch.arange(count) * (classes - 1) // max(1, count)
    else:
        order = torch.randperm(classes - 1, generator=torch.Generator().manual_seed(seed))[:count]
    order = order.to(but.device).expand(len(but), -1)
    return order + (order >= but[:, None])  # numbers of the K - 1 others
