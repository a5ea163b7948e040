"""How many variants are evaluated at once, and what happens when they do not fit."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lit_attr._checks import batch_limit

# Measured with residual networks at 32 and 224 px: on CPUs a larger batch falls out of the caches and is slower per
# image; on GPUs the batch only has to fill the device.
_CPU_ELEMENTS, _CPU_MOST = 2**21, 64
_GPU_ELEMENTS, _GPU_MOST = 2**25, 1024


def default_chunk(inputs: Tensor) -> int:
    """The number of variants of one sample of `inputs` that are evaluated at once where the user names none."""
    elements, most = (_CPU_ELEMENTS, _CPU_MOST) if inputs.device.type == "cpu" else (_GPU_ELEMENTS, _GPU_MOST)
    return max(1, min(most, elements // max(1, inputs[0].numel()))) if len(inputs) else 1


def _even(total: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut 0..total into the fewest parts of at most `size`, as even as possible."""
    parts = -(-total // size)
    for i in range(parts):
        yield total * i // parts, total * (i + 1) // parts


def in_chunks(total: int, inputs: Tensor, max_batch: int | None, work: Callable[[int, int], None]) -> None:
    """Call `work(start, stop)` over 0..total in chunks.

    Args:
        total: number of variants.
        inputs: the samples `[B, ...]`; their size sets the default chunk.
        max_batch: the most variants at once; None takes a default from the device and the size of a sample.
        work: evaluates variants start..stop. On running out of device memory the same chunk is tried again in halves,
            so it must have no effect before its forward and backward passes are done.
    """
    batch_limit("max_batch", max_batch)
    size = max_batch or default_chunk(inputs)
    done = 0
    while done < total:
        base = tried = done
        try:
            for start, stop in _even(total - base, size):
                tried = base + stop
                work(base + start, tried)
                done = tried
        except torch.OutOfMemoryError:
            if tried - done == 1:
                raise
            size = (tried - done) // 2
