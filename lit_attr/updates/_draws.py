"""Random numbers of walks with keys of their own: the same wherever a walk stands, and whoever else is under way.

Paper: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014. SplitMix64 gives the n-th number of a
stream without those before it, so a stream per walk costs no state, and all are drawn at once on the walks' device.
Integer arithmetic: every device draws the same bits.
"""

import torch
from torch import Tensor

_STEP = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed number: 2^64 over the golden ratio
_MIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)  # 0xBF58476D1CE4E5B9 and 0x94D049BB133111EB
_BITS = 24  # what a float32 in [0, 1) has


def uniform(keys: Tensor, salt: int, size: int) -> Tensor:
    """Numbers in [0, 1), float32 `[N, size]`: of each key, int64 `[N]`, a stream of its own, for each salt another.

    Example:
        >>> both = uniform(torch.tensor([3, 8]), salt=1, size=4)
        >>> torch.equal(both[1:], uniform(torch.tensor([8]), salt=1, size=4))
        True
    """
    return _bits(keys, salt, size).float() * 2.0**-_BITS


def normal(keys: Tensor, salt: int, size: int) -> Tensor:
    """Standard normal numbers, float32 `[N, size]`, from as many uniform ones."""
    inside = (_bits(keys, salt, size).double() + 0.5) * 2.0**-_BITS
    found: Tensor = torch.special.ndtri(inside).float()
    return found


def _bits(keys: Tensor, salt: int, size: int) -> Tensor:
    """Integers in 0..2^24-1, int64 `[N, size]`."""
    begin = _mixed(_mixed(keys) ^ salt)
    counter = torch.arange(1, size + 1, device=keys.device) * _STEP
    return _right(_mixed(begin[:, None] + counter), 64 - _BITS)


def _mixed(z: Tensor) -> Tensor:
    z = (z ^ _right(z, 30)) * _MIX[0]
    z = (z ^ _right(z, 27)) * _MIX[1]
    return z ^ _right(z, 31)


def _right(z: Tensor, by: int) -> Tensor:
    """Shifted with zeros from the left, as unsigned numbers are."""
    return (z >> by) & ((1 << (64 - by)) - 1)
