"""Evaluation over several processes with every sample used exactly once."""

import itertools
from collections.abc import Iterator
from typing import Any

from torch.utils.data import Dataset, DistributedSampler

from lit_attr._checks import ArgumentError


class ExactSampler(DistributedSampler[Any]):
    """This process's share of a data set: every `world_size`-th sample, none twice.

    The usual sampler repeats samples until all shares are equal, which changes every metric a little. Being one of its
    kind, Lightning leaves this one in place.

    Args:
        dataset: a data set with a length.
        world_size: number of processes.
        rank: of this process.

    Raises:
        ValueError: for fewer samples than processes, some of which would have nothing to evaluate.
    """

    def __init__(self, dataset: Dataset[Any], world_size: int, rank: int) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=False)
        size = size_of(dataset)
        if size < world_size:
            accepted = f"at most the number of samples to evaluate ({size})"
            raise ArgumentError("trainer.devices", f"{world_size} processes", accepted)
        self._mine = range(rank, size, world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self._mine)

    def __len__(self) -> int:
        return len(self._mine)


def size_of(dataset: Dataset[Any]) -> int:
    """The length of a data set, which `Dataset` itself does not promise."""
    size: int = dataset.__len__()  # type: ignore[attr-defined]
    return size


def equal_batches(size: int, world_size: int, batch_size: int) -> int:
    """The batch size nearest below `batch_size`, else above it, with which all processes have as many batches.

    A wrapped model talks to the other processes in every forward pass, so that one batch more on one of them would
    wait for ever. Shares differ by one sample at most.

    Example:
        >>> equal_batches(9, 2, 4)  # shares of 5 and 4: with batches of 4 the first would have two, the second one
        3
    """
    most, least = -(-size // world_size), size // world_size
    candidates = itertools.chain(range(batch_size, 0, -1), range(batch_size + 1, most + 1))
    return next((n for n in candidates if -(-most // n) == -(-least // n)), batch_size)
