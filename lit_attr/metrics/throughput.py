"""Throughput: explained samples per second (FPS of images, IPS of texts), with the memory that it takes.

Papers: columns of the tables of LAAI (OpenReview vOOcJdLHkS) and ABE, which tell neither batch size nor device; here
both belong to the protocol.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lit_attr._checks import not_negative, not_negative_int, positive_int
from lit_attr.metrics._precision import narrow_states

__all__ = ["Speed", "Throughput"]


class Speed(NamedTuple):
    """How fast it went.

    Attributes:
        per_device: samples per second of one process; NaN where no time passed.
        total: samples per second of all processes, which work side by side until the last one is done.
        peak_memory: bytes that the device had allocated at most, with the model and all else; NaN on a CPU.
    """

    per_device: Tensor
    total: Tensor
    peak_memory: Tensor


class Throughput(Metric):
    """Explained samples per second, higher is better.

    Only what runs inside `measure` counts: neither the loading of data nor the metrics. The device is waited for before
    the clock is read, on both sides; the first batches, in which things are compiled and allocated, are left out. Sums
    are divided by sums, so that a last batch of another size weighs as it should.

    Args:
        warmup: number of batches that are left out, in each process.

    Raises:
        ValueError: for a negative number.

    Example:
        >>> from lit_attr.attribution import Saliency
        >>> model, speed = torch.nn.Linear(3, 2), Throughput(warmup=1)
        >>> for _ in range(3):
        ...     inputs = torch.rand(5, 3)
        ...     with speed.measure(inputs):
        ...         attribution = Saliency()(model, inputs, 1)
        >>> bool(speed.compute().total > 0), speed.protocol["batch_size"]
        (True, 5)
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    samples: Tensor
    seconds: Tensor
    longest: Tensor
    peak_memory: Tensor

    def __init__(self, warmup: int = 3) -> None:
        super().__init__()
        not_negative_int("warmup", warmup)
        self.warmup, self._seen = warmup, 0
        self._told: dict[str, Any] = {}
        self.add_state("samples", torch.tensor(0), "sum")
        self.add_state("seconds", torch.tensor(0.0, dtype=torch.float64), "sum")
        self.add_state("longest", torch.tensor(0.0, dtype=torch.float64), "max")
        self.add_state("peak_memory", torch.tensor(-1), "max")

    @contextmanager
    def measure(self, inputs: Tensor) -> Iterator[None]:
        """Time what runs inside, an explanation of `inputs`, and count it as one batch; nothing if it fails.

        On a GPU this sets back the statistics of peak memory that torch keeps.
        """
        device, on_gpu = inputs.device, inputs.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        _wait(device)
        start = time.perf_counter()
        yield
        _wait(device)
        seconds = time.perf_counter() - start
        self._told = {"batch_size": len(inputs), "dtype": str(inputs.dtype), "device": str(device)}
        self._seen += 1
        if self._seen > self.warmup and len(inputs):
            self.update(len(inputs), seconds, torch.cuda.max_memory_allocated(device) if on_gpu else None)

    def update(self, samples: int, seconds: float, peak_memory: int | None = None) -> None:
        """Add a batch that was timed elsewhere.

        Args:
            samples: how many.
            seconds: how long they took.
            peak_memory: bytes allocated at most; None where nobody knows.

        Raises:
            ValueError: for no samples, or a negative time.
        """
        positive_int("samples", samples)
        not_negative("seconds", seconds)
        self.samples = self.samples + samples
        self.seconds = self.seconds + seconds
        self.longest = self.longest + seconds
        self.peak_memory = self.peak_memory.clamp_min(-1 if peak_memory is None else peak_memory)

    def compute(self) -> Speed:
        """Samples per second and peak memory."""
        memory = self.peak_memory.float().where(self.peak_memory >= 0, math.nan)
        each, total = (self.samples / spent.where(spent > 0, math.nan) for spent in (self.seconds, self.longest))
        return Speed(each.float(), total.float(), memory)

    @property
    def protocol(self) -> dict[str, Any]:
        """What was timed, with size, type and device of the last batch."""
        return {"metric": "throughput", "warmup": self.warmup, **self._told}

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        narrow_states(self, fn)
        return super()._apply(fn, exclude_state)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
