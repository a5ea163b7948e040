"""Bootstrap intervals of the means of many rows of numbers at once."""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_AT_ONCE = 2**22  # numbers of a block of resamples
_KEPT = 2**25  # numbers of all resamples, up to which they are kept


class Intervals(NamedTuple):
    """Estimates with their intervals.

    Attributes:
        value: the mean; NaN of no samples.
        low: the lower end; -inf where fewer than two samples are known.
        high: the upper end; inf likewise.
        samples: how many each is the mean of.
    """

    value: Floats
    low: Floats
    high: Floats
    samples: Counts


def bca(values: Floats, level: float, resamples: int, seed: int) -> Intervals:
    """Means of rows `[Q, N]` with their intervals."""
    known = np.isfinite(values)
    samples = known.sum(1)
    filled = np.where(known, values, 0)
    mean = np.divide(filled.sum(1), samples, out=np.full(len(values), np.nan), where=samples > 0)
    low, high = np.full_like(mean, -np.inf), np.full_like(mean, np.inf)
    rows = np.flatnonzero(samples > 1)
    if len(rows):
        blocks = _resampled(filled[rows] - mean[rows, None] * known[rows], known[rows], resamples, seed)
        shifts = np.ascontiguousarray(np.concatenate(list(blocks)).T)
        shifts.sort(axis=1)  # NaN, of resamples without any known sample, is last
        centred = np.where(known[rows], values[rows] - mean[rows, None], 0)
        for number, row in enumerate(rows):
            ends = _ends(shifts[number], centred[number], level)
            low[row], high[row] = mean[row] + ends
    return Intervals(mean, low, high, samples)


def _resampled(centred: Floats, known: NDArray[np.bool_], resamples: int, seed: int) -> Iterator[Floats]:
    """Means of the resampled rows, in blocks `[R, Q]`."""
    size = known.shape[1]
    blocks = _draws if resamples * size > _KEPT else _kept_draws
    for times in blocks(size, resamples, seed):
        weights = times.astype(np.float64)
        drawn = np.broadcast_to(size, (len(weights), 1)) if known.all() else weights @ known.T
        sums = weights @ centred.T
        yield np.divide(sums, drawn, out=np.full_like(sums, np.nan), where=drawn > 0)


def _draws(size: int, resamples: int, seed: int) -> Iterator[NDArray[np.unsignedinteger]]:
    """How often each of `size` samples is drawn, in blocks `[R, size]`."""
    generator, block = np.random.default_rng(seed), max(1, _AT_ONCE // size)
    for start in range(0, resamples, block):
        number = min(block, resamples - start)
        yield generator.multinomial(size, np.full(size, 1 / size), size=number).astype(np.min_scalar_type(size))


@lru_cache(maxsize=1)
def _kept_draws(size: int, resamples: int, seed: int) -> tuple[NDArray[np.unsignedinteger], ...]:
    """The same, for the next metric of the same samples: to draw takes longer than all the rest."""
    return tuple(_draws(size, resamples, seed))


def _ends(shifts: Floats, centred: Floats, level: float) -> Floats:
    """The two ends of an interval around zero, from sorted resampled means of centred values."""
    spread = float((centred**2).sum())
    shifts = shifts[: np.isfinite(shifts).sum()]
    scale = math.sqrt(spread)
    if scale == 0 or not len(shifts):
        return np.zeros(2)
    tie = 1e-12 * scale  # what is zero but for rounding
    below, up_to = np.searchsorted(shifts, [-tie, tie])
    share = float(np.clip((below + up_to) / (2 * len(shifts)), 0.5 / len(shifts), 1 - 0.5 / len(shifts)))
    bias, acceleration = ndtri(share), ((centred / scale) ** 3).sum() / 6
    z = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    shares = ndtr(bias + z / (1 - acceleration * z))
    ends: Floats = np.interp(shares * (len(shifts) - 1), np.arange(len(shifts)), shifts)
    return ends
