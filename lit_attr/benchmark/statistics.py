"""Whether one method is better than another: paired intervals, tests and ranks of scores of the same samples.

Papers: Efron, "Better Bootstrap Confidence Intervals", JASA 1987 (BCa); Wilcoxon, "Individual Comparisons by Ranking
Methods", 1945; Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979; Demsar, "Statistical Comparisons
of Classifiers over Multiple Data Sets", JMLR 2006 (Friedman's test, Nemenyi's critical difference, the diagram).

Deviations: Demsar's blocks are data sets, here they are samples; so what is said holds for other samples of the same
data, not for other data.

All functions take `scores`, `[methods, samples]`, NaN where a sample was skipped: such a sample is left out of the
comparisons that need it, and the rest is counted. Nothing is random beyond the private generator of `seed`.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lit_attr._checks import ArgumentError, not_negative_int, positive_int
from lit_attr.benchmark._resampling import Floats, Intervals, bca

__all__ = [
    "Bootstrap",
    "CriticalDifference",
    "Intervals",
    "PairedTests",
    "Ranking",
    "critical_difference",
    "paired_bootstrap",
    "ranking",
    "wilcoxon_holm",
]

Counts: TypeAlias = NDArray[np.int64]


class Bootstrap(NamedTuple):
    """Intervals `[M]` of the means, and `[M, M]` of the paired differences, row minus column."""

    means: Intervals
    differences: Intervals


class PairedTests(NamedTuple):
    """Two-sided tests of every pair of methods.

    Attributes:
        p: of the test alone, `[M, M]`; 1 of equal scores, NaN without a pair of scores and on the diagonal.
        adjusted: by Holm, over all pairs of methods that could be tested.
        samples: pairs of scores that each test rests on, `[M, M]`.
    """

    p: Floats
    adjusted: Floats
    samples: Counts


class CriticalDifference(NamedTuple):
    """Average ranks with what they must differ by.

    Attributes:
        ranks: the mean over samples, 1 is the best, ties share, `[M]`; NaN without a complete sample.
        p: of Friedman's test that all methods are alike.
        distance: Nemenyi's critical difference; inf without a complete sample.
        cliques: largest groups of methods that are not shown to differ, best first; of a single method none.
        samples: that all methods have a score of.
        dropped: the other samples.
    """

    ranks: Floats
    p: float
    distance: float
    cliques: tuple[tuple[int, ...], ...]
    samples: int
    dropped: int


class Ranking(NamedTuple):
    """An order that claims no more than the intervals show.

    Attributes:
        groups: methods by number, best group first. Every method of a group is shown to be better than every method of
            each later group; of methods inside a group no order is claimed.
        first: the best place that each method can have, given what is shown, `[M]`, from 1.
        last: the worst one.
        better: whether the row is shown to be better than the column, bool `[M, M]`.
        unranked: methods without any score, which are in no group.
    """

    groups: tuple[tuple[int, ...], ...]
    first: Counts
    last: Counts
    better: NDArray[np.bool_]
    unranked: tuple[int, ...]


def paired_bootstrap(scores: ArrayLike, level: float = 0.95, resamples: int = 5000, seed: int = 0) -> Bootstrap:
    r"""Bootstrap intervals of each method's mean and of the mean difference of each pair on the same samples.

    Samples are drawn with replacement, the same for all methods, and the interval is bias-corrected and accelerated
    (BCa): the ends are the quantiles of the resampled means at

    .. math:: \Phi\Big(z_0 + \frac{z_0 + z}{1 - a (z_0 + z)}\Big), \quad
              a = \frac{\sum_i (d_i - \bar d)^3}{6 \big(\sum_i (d_i - \bar d)^2\big)^{3/2}}

    for z = -/+ the normal quantile of `level`, z_0 the normal quantile of the share of resampled means below the mean
    (ties count half), d_i the values. Of values that are all the same both ends are that value. Like any bootstrap it
    is too narrow for few samples (`ranking` asks for more of them).

    Args:
        scores: `[methods, samples]`.
        level: of each interval by itself, in (0, 1).
        resamples: how many times samples are drawn.
        seed: of the generator.

    Raises:
        ArgumentError: for scores of another shape or with infinite values, a level or a number out of range.

    Example:
        >>> found = paired_bootstrap([[0.9, 0.8, 0.7, 0.9], [0.6, 0.7, 0.5, float("nan")]])
        >>> found.differences.value[0, 1].round(3), found.differences.samples[0, 1]
        (np.float64(0.2), np.int64(3))
        >>> bool(found.differences.low[0, 1] >= 0.1), bool(found.differences.high[1, 0] <= -0.1)
        (True, True)
    """
    values = _checked(scores)
    _between("level", level)
    positive_int("resamples", resamples)
    not_negative_int("seed", seed)
    count = len(values)
    one, other = np.triu_indices(count, 1)
    found = bca(np.concatenate([values, values[one] - values[other]]), level, resamples, seed)
    value, low, high, samples = (part[count:] for part in found)
    differences = Intervals(
        _square(value, -value), _square(low, -high), _square(high, -low), _square(samples, samples).astype(np.int64)
    )
    means = Intervals(found.value[:count], found.low[:count], found.high[:count], found.samples[:count])
    np.fill_diagonal(differences.samples, means.samples)
    return Bootstrap(means, differences)


def wilcoxon_holm(scores: ArrayLike) -> PairedTests:
    """Wilcoxon's signed-rank test of each pair of methods, and Holm's correction for the number of pairs.

    Zero differences are split evenly between both signs, as Demsar does; up to 50 differences without ties and zeros
    the test is exact. Holm: of the k p-values in ascending order, the i-th becomes the largest (k - j + 1) p_j of all
    j <= i, at most 1.

    Args:
        scores: `[methods, samples]`; which direction is better does not matter.

    Raises:
        ArgumentError: for scores of another shape or with infinite values.

    Example:
        >>> a = np.linspace(0, 1, 12)
        >>> found = wilcoxon_holm([a + 0.1 + a / 9, a, a])
        >>> found.p[0, 1].round(5), found.adjusted[0, 1].round(5), found.p[1, 2]
        (np.float64(0.00049), np.float64(0.00146), np.float64(1.0))
    """
    values = _checked(scores)
    count = len(values)
    one, other = np.triu_indices(count, 1)
    differences = values[one] - values[other]
    found, pairs = _signed_ranks(differences), np.isfinite(differences).sum(1)
    p = _square(found, found)
    np.fill_diagonal(p, np.nan)
    samples = _square(pairs, pairs).astype(np.int64)
    np.fill_diagonal(samples, np.isfinite(values).sum(1))
    adjusted = _square(*[holm(found)] * 2)
    np.fill_diagonal(adjusted, np.nan)
    return PairedTests(p, adjusted, samples)


def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values, `[K]`; NaN stays and does not count.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(4).tolist()
        [0.03, 0.06, 0.06]
    """
    adjusted, order = p.copy(), np.argsort(p)[: np.isfinite(p).sum()]  # NaN sorts last
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted


def critical_difference(scores: ArrayLike, higher_is_better: bool = True, level: float = 0.95) -> CriticalDifference:
    r"""Average ranks, Friedman's test, and Nemenyi's critical difference with the cliques that it leaves.

    .. math:: CD = q_{\alpha,k} \sqrt{\frac{k (k + 1)}{6 N}}

    for k methods and N samples, q the quantile of the studentised range over sqrt(2). Friedman's statistic is that with
    the correction for ties. Where its test does not reject, all methods are one clique.

    Args:
        scores: `[methods, samples]`, two methods or more; only samples that all methods have a score of are used.
        higher_is_better: whether the largest score has rank 1.
        level: one minus alpha, in (0, 1).

    Raises:
        ArgumentError: for scores of another shape or with infinite values, or a level out of range.

    Example:
        >>> steps = np.arange(30.0)
        >>> found = critical_difference([steps + 2, steps + 1, steps - steps % 2])
        >>> found.ranks.tolist(), found.cliques, round(found.distance, 3)
        ([1.0, 2.0, 3.0], (), 0.605)
    """
    values = _checked(scores, least=2)
    _between("level", level)
    complete = values[:, np.isfinite(values).all(0)]
    k, n = complete.shape
    dropped = values.shape[1] - n
    if n == 0:
        return CriticalDifference(np.full(k, np.nan), 1.0, math.inf, (tuple(range(k)),), 0, dropped)
    ranks = stats.rankdata(-complete if higher_is_better else complete, axis=0)
    mean = ranks.mean(1)
    p = _friedman(ranks)
    quantile = float(stats.studentized_range.ppf(level, k, np.inf)) / math.sqrt(2)
    distance = quantile * math.sqrt(k * (k + 1) / (6 * n))
    order = [int(i) for i in np.argsort(mean, kind="stable")]
    cliques = (tuple(order),) if p > 1 - level else tuple(_cliques(order, mean, distance))
    return CriticalDifference(mean, p, distance, cliques, n, dropped)


def ranking(
    scores: ArrayLike, higher_is_better: bool = True, level: float = 0.95, resamples: int = 5000, seed: int = 0
) -> Ranking:
    """Groups of methods between which the order is shown, by the intervals of `paired_bootstrap`.

    One method is shown to be better than another if the interval of their paired difference lies on one side of zero,
    and if there are so many pairs that a sign test could show it (six at 95 %): with fewer, samples that happen to
    agree would always "show" it. The level is that of each comparison; see `wilcoxon_holm` for all of them together.

    Args:
        scores: `[methods, samples]`.
        higher_is_better: whether a larger score is better.
        level: of each interval.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ArgumentError: as `paired_bootstrap`.

    Example:
        >>> a = np.linspace(0, 1, 20)
        >>> found = ranking([a, a + 0.01 * np.cos(7 * np.arange(20)), a + 0.3])
        >>> found.groups, found.first.tolist(), found.last.tolist()
        (((2,), (1, 0)), [2, 2, 1], [3, 3, 1])
    """
    values = _checked(scores)
    found = paired_bootstrap(values if higher_is_better else -values, level, resamples, seed)
    better = (found.differences.low > 0) & (found.differences.samples >= least_pairs(level))
    return ranked(better, found.means)


def ranked(better: NDArray[np.bool_], means: Intervals) -> Ranking:
    """The order that is shown.

    Args:
        better: whether the row is shown to be better than the column, `[M, M]`.
        means: of all methods, more is better; they order what stands in one group.
    """
    better = better & ~np.eye(len(better), dtype=bool)
    known = [i for i in range(len(better)) if means.samples[i]]
    wins, losses = better.sum(1), better.sum(0)
    # By this order no boundary is missed: what beats all of the rest wins more often than any of the rest.
    order = sorted(known, key=lambda i: (losses[i] - wins[i], -means.value[i]))
    groups: list[tuple[int, ...]] = []
    start = 0
    for stop in range(1, len(order) + 1):
        if better[np.ix_(order[start:stop], order[stop:])].all():
            groups.append(tuple(order[start:stop]))
            start = stop
    unranked = tuple(i for i in range(len(better)) if i not in known)
    return Ranking(tuple(groups), losses + 1, len(known) - wins, better, unranked)


def least_pairs(level: float) -> int:
    """The fewest pairs that a two-sided sign test can reject with: 2 / 2^n <= 1 - level."""
    return math.ceil(1 - math.log2(1 - level) - 1e-9)


def _square(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """What is known of each pair as a matrix, zero on the diagonal; rows of the lower half are the later methods."""
    count = (1 + math.isqrt(1 + 8 * len(above))) // 2
    square, (one, other) = np.zeros((count, count)), np.triu_indices(count, 1)
    square[one, other], square[other, one] = above, below
    return square


def _checked(scores: ArrayLike, least: int = 1) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or len(values) < least:
        raise ArgumentError("scores", f"shape {values.shape}", f"[methods, samples] of {least} methods or more")
    if np.isinf(values).any():
        raise ArgumentError("scores", "infinite values", "finite, or NaN where a sample was skipped")
    return values


def _between(name: str, value: float) -> None:
    if not (isinstance(value, int | float) and 0 < value < 1):
        raise ArgumentError(name, value, "in (0, 1)")


def _signed_ranks(differences: Floats) -> Floats:
    """The p-value of each row of differences `[Q, N]`; NaN without any."""
    p = np.full(len(differences), np.nan)
    known = np.isfinite(differences)
    alike: dict[tuple[bytes, str], list[int]] = {}  # rows that one call can test
    for row, difference in enumerate(differences):
        numbers = difference[known[row]]
        if not len(numbers):
            continue
        if not numbers.any():
            p[row] = 1.0
            continue
        ties = len(np.unique(np.abs(numbers))) < len(numbers) or not numbers.all()
        method = "exact" if len(numbers) <= 50 and not ties else "approx"
        alike.setdefault((known[row].tobytes(), method), []).append(row)
    for (_, method), rows in alike.items():
        numbers = differences[rows][:, known[rows[0]]]
        p[rows] = stats.wilcoxon(numbers, axis=1, zero_method="zsplit", method=method).pvalue
    return p


def _friedman(ranks: Floats) -> float:
    """The p-value of Friedman's test of ranks `[k, N]`; 1 where all are tied."""
    k, n = ranks.shape
    spread = float(((ranks.mean(1) - (k + 1) / 2) ** 2).sum())
    tied = float(((ranks - (k + 1) / 2) ** 2).sum()) / (n * (k - 1))  # k (k + 1) / 12 without ties
    return float(stats.chi2.sf(n * spread / tied, k - 1)) if tied else 1.0


def _cliques(order: list[int], ranks: Floats, distance: float) -> Iterator[tuple[int, ...]]:
    """The largest runs of at least two methods in the order of ranks that lie within the distance."""
    reached = 0
    for start in range(len(order)):
        stop = max(i for i in range(start, len(order)) if ranks[order[i]] - ranks[order[start]] <= distance) + 1
        if stop > max(reached, start + 1):
            yield tuple(order[start:stop])
        reached = max(reached, stop)
