"""Which variants of a bank join the training set."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError


def choose_variants(
    columns: Mapping[str, Tensor],
    count: int,
    *,
    reached_only: bool,
    max_l2: float | None,
    min_ssim: float | None,
    balance: bool,
    seed: int,
) -> Tensor:
    """The numbers of the chosen variants, sorted, int64 `[at most count]`.

    Those whose walk had no step are samples as they were, and none of them.

    Args:
        columns: of a bank (see `Bank`).
        count: the most.
        reached_only: only those that reached epsilon.
        max_l2: only those at most so far from their source.
        min_ssim: only those at least so similar to it.
        balance: equally many of each class that the bank has.
        seed: of the choice.

    Raises:
        ArgumentError: for `min_ssim` where there is no likeness.

    Example:
        >>> columns = {"steps": torch.tensor([3, 0, 5, 9]), "reached": torch.tensor([True, True, True, False])}
        >>> rules = {"max_l2": None, "min_ssim": None, "balance": False, "seed": 0}
        >>> choose_variants(columns, 4, reached_only=True, **rules).tolist()
        [0, 2]
    """
    good = columns["steps"] > 0
    if reached_only:
        good &= columns["reached"]
    if max_l2 is not None:
        good &= columns["l2"] <= max_l2
    if min_ssim is not None:
        if bool(columns["ssim"].isnan().any()):
            raise ArgumentError("min_ssim", min_ssim, "None for images with less than 11 pixels on a side")
        good &= columns["ssim"] >= min_ssim
    numbers = good.nonzero()[:, 0]
    shuffled = numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(seed))]
    if balance:
        classes = sorted(set(columns["label"].tolist()))
        by_class = [shuffled[columns["label"][shuffled] == label] for label in classes]
        each = min(count // len(classes), *(len(some) for some in by_class), count)
        return torch.cat([some[:each] for some in by_class]).sort().values
    return shuffled[:count].sort().values
