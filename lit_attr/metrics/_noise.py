"""Noisy copies of a batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative_int, positive_int
from lit_attr.updates.region import Bounds, check_bounds, get_bounds


@dataclass(frozen=True)
class Noise:
    """Uniform noise, the same for all samples.

    Attributes:
        draws: number of copies.
        radius: the most that a feature changes, in units of the inputs.
        bounds: the range that copies stay in; see `get_bounds`.
        seed: of the private generator.
    """

    draws: int
    radius: float
    bounds: Bounds
    seed: int

    def __post_init__(self) -> None:
        positive_int("draws", self.draws)
        not_negative_int("seed", self.seed)
        if not (isinstance(self.radius, int | float) and 0 < self.radius < float("inf")):
            raise ArgumentError("radius", self.radius, "a positive number")
        check_bounds(self.bounds)

    @property
    def protocol(self) -> dict[str, Any]:
        """What is drawn, as plain data."""
        bounds = list(self.bounds) if isinstance(self.bounds, tuple | list) else self.bounds
        return {"noise": "uniform", "draws": self.draws, "radius": self.radius, "bounds": bounds, "seed": self.seed}

    @property
    def key(self) -> tuple[Any, ...]:
        """Of equal noise."""
        return tuple((name, str(value)) for name, value in self.protocol.items())

    def copies(self, inputs: Tensor) -> Iterator[Tensor]:
        """One noisy batch after the other; the first ones of more draws are those of fewer."""
        generator = torch.Generator().manual_seed(self.seed)
        limits = get_bounds(self.bounds, inputs)
        for _ in range(self.draws):
            noise = (2 * torch.rand(inputs.shape[1:], generator=generator, dtype=torch.float32) - 1) * self.radius
            noisy = inputs + noise.to(inputs)
            yield noisy if limits is None else noisy.clamp(*limits)
