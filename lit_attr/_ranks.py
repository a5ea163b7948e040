"""Work that the processes of a run share: an error on one of them is one on all, and none waits for ever."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank_and_size() -> tuple[int, int]:
    """Of this process among those of the run: (0, 1) where it is alone."""
    return (dist.get_rank(), dist.get_world_size()) if _several() else (0, 1)


def on_rank_zero(work: Callable[[], T]) -> T:
    """What rank zero finds, on every rank, or the error that it raises; every rank must call it."""
    rank, _ = rank_and_size()
    found: list[Any] = [None, None]
    if rank == 0:
        try:
            found[0] = work()
        except Exception as error:
            if not _several():
                raise
            found[1] = error
    if _several():
        dist.broadcast_object_list(found, src=0)
    if found[1] is not None:
        raise found[1]
    value: T = found[0]
    return value


def on_each_rank(work: Callable[[], T]) -> list[T]:
    """What the ranks find, in their order, when all have finished; else the first error of one of them."""
    if not _several():
        return [work()]
    mine: tuple[Any, Exception | None]
    try:
        mine = (work(), None)
    except Exception as error:
        mine = (None, error)
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, mine)
    failed = next((error for _, error in every if error is not None), None)
    if failed is not None:
        raise failed
    return [value for value, _ in every]
