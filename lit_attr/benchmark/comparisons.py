"""Which differences between methods a benchmark shows: intervals, tests, ranks and places, per metric.

Papers: as `lit_attr.benchmark.statistics`, whose functions are applied here.

Deviations: a method counts as better than another only where the interval of their paired difference excludes zero and
Wilcoxon's test rejects after Holm's correction, as either alone claims more than the other bears out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lit_attr.benchmark.results import Results
from lit_attr.benchmark.statistics import (
    Bootstrap,
    CriticalDifference,
    PairedTests,
    Ranking,
    critical_difference,
    least_pairs,
    paired_bootstrap,
    ranked,
    wilcoxon_holm,
)

__all__ = ["COLUMNS", "Comparison", "compare"]

COLUMNS = ("metric", "group", "a", "b", "difference", "low", "high", "p", "p_holm", "n", "left_out")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What one metric shows of one group of samples.

    Attributes:
        metric: its name.
        group: "all", or a group by confidence.
        higher_is_better: of the metric.
        names: methods and control maps that it was asked of, `M`.
        samples: of the group.
        level: of the intervals and of what the tests reject.
        bootstrap: intervals of means and paired differences.
        tests: of all pairs.
        ranks: mean ranks over the samples of which all have a value.
        ranking: what is shown to be better than what, and the places that this leaves.
    """

    metric: str
    group: str
    higher_is_better: bool
    names: tuple[str, ...]
    samples: int
    level: float
    bootstrap: Bootstrap
    tests: PairedTests
    ranks: CriticalDifference
    ranking: Ranking

    def place(self, name: str) -> tuple[int, int] | None:
        """The best and the worst place, from 1, that a method can have given what is shown; None without a value."""
        number = self.names.index(name)
        if number in self.ranking.unranked:
            return None
        return int(self.ranking.first[number]), int(self.ranking.last[number])

    @property
    def by_rank(self) -> list[str]:
        """The names, the best place first, of equal places the better rank."""
        keys = zip(self.ranking.first, self.ranking.last, self.ranks.ranks, strict=True)
        unranked = self.ranking.unranked
        order = {name: (i in unranked, *key) for i, (name, key) in enumerate(zip(self.names, keys, strict=True))}
        return sorted(self.names, key=order.__getitem__)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """A row per pair, by `COLUMNS`: a minus b over the `n` samples of which both have a value.

        `left_out` counts the others; what does not exist is None.
        """
        differences = self.bootstrap.differences
        for a, b in zip(*np.triu_indices(len(self.names), 1), strict=True):
            numbers = (*(part[a, b] for part in differences[:3]), self.tests.p[a, b], self.tests.adjusted[a, b])
            pairs = int(differences.samples[a, b])
            told = [float(number) if np.isfinite(number) else None for number in numbers]
            row = (self.metric, self.group, self.names[a], self.names[b], *told, pairs, self.samples - pairs)
            yield dict(zip(COLUMNS, row, strict=True))


def compare(
    results: Results,
    groups: Sequence[str] = ("all",),
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare methods and control maps by each metric that says which direction is better.

    A place is a range, such as 1 to 3: above a method are only those that are shown to be better, below it only those
    that are shown to be worse. Shown is what the interval of the paired difference and Wilcoxon's test after Holm's
    correction over all pairs both say, of so many pairs that they could (see `ranking`). Where a sample has no value of
    one of two methods, it is left out of that pair and counted.

    Args:
        results: of a benchmark.
        groups: of samples, as in `Results.groups`; those without samples are left out.
        level: of each interval; the tests reject at one minus it.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        By metric, then by group; none for a metric that was asked of one method alone.

    Raises:
        ArgumentError: for a level, a number or a seed out of range.
    """
    found = []
    for label, metric in results.benchmark.metrics.items():
        names = tuple(name for name in results.names if (name, label) in results.found)
        if len(names) < 2 or metric.higher_is_better is None:
            continue
        every = np.stack([results.found[name, label].reading.value.double().cpu().numpy() for name in names])
        every = np.where(np.isfinite(every), every, np.nan)
        for group in groups:
            scores = every[:, [group in {"all", sample.group} for sample in results.samples]]
            if not scores.shape[1]:
                continue
            bootstrap, tests = paired_bootstrap(scores, level, resamples, seed), wilcoxon_holm(scores)
            higher, samples = metric.higher_is_better, scores.shape[1]
            ranks, order = critical_difference(scores, higher, level), _order(bootstrap, tests, level, higher)
            found.append(Comparison(label, group, higher, names, samples, level, bootstrap, tests, ranks, order))
    return found


def _order(bootstrap: Bootstrap, tests: PairedTests, level: float, higher: bool) -> Ranking:
    """By what intervals and tests both show."""
    sign = 1 if higher else -1
    value, low, high, pairs = bootstrap.differences
    shown = ((low > 0) | (high < 0)) & (tests.adjusted <= 1 - level) & (pairs >= least_pairs(level))
    return ranked(shown & (sign * value > 0), bootstrap.means._replace(value=sign * bootstrap.means.value))
