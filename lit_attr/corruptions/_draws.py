"""Random numbers of a batch that do not depend on the batch.

Philox is a counter-based generator with a key of 128 bits: seed and key of the sample fill one half each, so that no
two pairs share a stream and a sample's stream is the same wherever it stands. Numbers are drawn on the CPU and then
moved, so that every device sees the same ones. Another release of NumPy may draw others.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Draws:
    """One private stream per sample; each call draws the same number from each.

    Args:
        seed: first half of the key of each stream.
        keys: second half, one per sample.
        like: gives device and dtype of what is drawn.
    """

    def __init__(self, seed: int, keys: Sequence[int], like: Tensor) -> None:
        self._streams = [np.random.Generator(np.random.Philox(key=np.array([seed, k], np.uint64))) for k in keys]
        self._like = like

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers `[B, *shape]`."""
        return self._batch(lambda stream: stream.standard_normal(shape, np.float32)).to(self._like)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers in [low, high), `[B, *shape]`."""
        return low + (high - low) * self._batch(lambda stream: stream.random(shape, np.float32)).to(self._like)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Integers in low..high-1, `[B, *shape]`."""
        return self._batch(lambda stream: stream.integers(low, high, shape)).to(self._like.device)

    def poisson(self, rates: Tensor) -> Tensor:
        """Counts of the given rates `[B, ...]`."""
        wanted = iter(rates.double().cpu().numpy())
        return self._batch(lambda stream: stream.poisson(next(wanted))).to(self._like)

    def _batch(self, draw: Callable[[np.random.Generator], Any]) -> Tensor:
        return torch.from_numpy(np.stack([draw(stream) for stream in self._streams]))
