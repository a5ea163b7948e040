"""Comparisons: the statistics of each pair, restated by hand, and places that claim no more than they show."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from _reference.comparing import EDGES, benchmark, run
from lit_attr._checks import ArgumentError
from lit_attr.attribution import Saliency
from lit_attr.benchmark import Benchmark, collect, compare
from lit_attr.benchmark.comparisons import COLUMNS
from lit_attr.benchmark.controls import RandomMap
from lit_attr.metrics import Completeness, Deletion, Insertion
from lit_attr.metrics._base import Reading


def results(scores, metrics=None, groups=None):
    """As of a benchmark, with `scores` [methods, samples] of each metric; a number is the score of no network."""
    names = [f"m{i}" for i in range(len(scores))]
    metrics = metrics or {"insertion": Insertion(steps=4)}
    reading = {
        (name, label): SimpleNamespace(reading=Reading(torch.tensor(row, dtype=torch.float64)))
        for label in metrics
        for name, row in zip(names, scores, strict=True)
    }
    samples = [SimpleNamespace(group=group) for group in groups or ["all"] * len(scores[0])]
    asked = Benchmark({name: Saliency() for name in names}, metrics)
    return SimpleNamespace(benchmark=asked, names=names, found=reading, samples=samples)


def drawn(methods, samples, seed=0):
    return np.random.default_rng(seed).standard_normal((methods, samples))


def test_numbers_are_those_of_the_samples(tmp_path):
    samples, store = run(tmp_path)
    found = collect(benchmark(), store, samples, EDGES)
    comparisons = compare(found)
    assert [one.metric for one in comparisons] == list(benchmark().metrics)
    for one in comparisons:
        assert one.names == ("saliency", "ig", "random")
        for i, name in enumerate(one.names):
            assert one.bootstrap.means.value[i] == pytest.approx(float(found.summaries[name, one.metric]["all"].value))
        rows = list(one.pairs())
        assert [(row["a"], row["b"]) for row in rows] == list(combinations(one.names, 2))
        assert all(tuple(row) == COLUMNS and row["n"] == 7 and row["left_out"] == 0 for row in rows)


def test_a_pair_by_hand():
    scores = drawn(3, 30) + np.array([[0.0], [0.1], [3.0]])
    (found,) = compare(results(scores))
    rows = {(row["a"], row["b"]): row for row in found.pairs()}
    p = {pair: stats.wilcoxon(scores[int(pair[0][1])], scores[int(pair[1][1])]).pvalue for pair in rows}
    smallest = sorted(p.values())
    for pair, row in rows.items():
        difference = scores[int(pair[0][1])] - scores[int(pair[1][1])]
        assert row["difference"] == pytest.approx(difference.mean())
        assert row["low"] < row["difference"] < row["high"]
        assert row["p"] == pytest.approx(p[pair])
        place = smallest.index(p[pair])
        assert row["p_holm"] == pytest.approx(max((3 - j) * smallest[j] for j in range(place + 1)))
    assert [found.place(name) for name in found.names] == [(2, 3), (2, 3), (1, 1)]
    ranks = stats.rankdata(-scores, axis=0).mean(1)
    assert found.ranks.ranks == pytest.approx(ranks)
    assert found.by_rank == ["m2", *sorted(["m0", "m1"], key=lambda name: ranks[int(name[1])])]


def test_of_a_metric_that_shall_be_small_the_least_is_first():
    scores = drawn(2, 20) + np.array([[0.0], [5.0]])
    found = {one.metric: one for one in compare(results(scores, {"i": Insertion(steps=4), "d": Deletion(steps=4)}))}
    assert [found["i"].place(name) for name in ("m0", "m1")] == [(2, 2), (1, 1)]
    assert [found["d"].place(name) for name in ("m0", "m1")] == [(1, 1), (2, 2)]


@pytest.mark.parametrize("seed", range(8))
def test_no_place_is_claimed_that_interval_or_test_do_not_bear_out(seed):
    """Differences about as large as their errors, so that either alone would often claim more."""
    generator = np.random.default_rng(seed)
    scores = drawn(6, 25, seed) + 0.35 * np.arange(6)[:, None]
    scores[generator.random(scores.shape) < 0.1] = np.nan
    (found,) = compare(results(scores), resamples=500)
    either = 0
    for row in found.pairs():
        interval = row["low"] > 0 or row["high"] < 0
        both = interval and row["p_holm"] <= 0.05
        either += interval != (row["p_holm"] <= 0.05)
        (first_a, last_a), (first_b, last_b) = found.place(row["a"]), found.place(row["b"])
        i, j = (found.names.index(row[side]) for side in "ab")
        assert bool(found.ranking.better[i, j] or found.ranking.better[j, i]) == both
        if last_a < first_b or last_b < first_a:  # one is told to stand above the other
            assert both
    assert either  # else this would test nothing
    for i, name in enumerate(found.names):
        better, worse = found.ranking.better[:, i].sum(), found.ranking.better[i].sum()
        assert found.place(name) == (1 + better, 6 - worse)


def test_samples_without_a_value_are_left_out_of_their_pairs_and_counted():
    scores = drawn(3, 20)
    scores[0, :4], scores[1, 19] = np.nan, np.inf
    (found,) = compare(results(scores))
    counts = {(row["a"], row["b"]): (row["n"], row["left_out"]) for row in found.pairs()}
    assert counts == {("m0", "m1"): (15, 5), ("m0", "m2"): (16, 4), ("m1", "m2"): (19, 1)}
    assert found.bootstrap.means.samples.tolist() == [16, 19, 20]
    assert (found.ranks.samples, found.ranks.dropped) == (15, 5)


def test_a_method_without_any_value_has_no_place():
    scores = drawn(3, 20)
    scores[1] = np.nan
    (found,) = compare(results(scores))
    assert found.place("m1") is None
    assert found.by_rank[-1] == "m1"
    rows = {(row["a"], row["b"]): row for row in found.pairs()}
    assert [rows["m0", "m1"][key] for key in ("difference", "low", "high", "p", "p_holm", "n")] == [None] * 5 + [0]


def test_groups_are_compared_on_their_samples():
    scores, groups = drawn(2, 10), ["below_0.7"] * 4 + ["from_0.7"] * 6
    found = compare(results(scores, groups=groups), groups=("all", "below_0.7", "from_0.7", "none"))
    assert [(one.group, one.samples) for one in found] == [("all", 10), ("below_0.7", 4), ("from_0.7", 6)]
    assert found[1].bootstrap.means.value == pytest.approx(scores[:, :4].mean(1))


def test_a_metric_that_only_one_was_asked_by_is_not_compared(tmp_path):
    asked = Benchmark(
        {"saliency": Saliency()}, {"completeness": Completeness(), "ins": Insertion(steps=4)}, {"random": RandomMap()}
    )
    samples, store = run(tmp_path, asked=asked)
    assert [one.metric for one in compare(collect(asked, store, samples))] == ["ins"]


@pytest.mark.parametrize(("name", "value"), [("level", 1.5), ("resamples", 0), ("seed", -1)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ArgumentError, match=f"`{name}` must be"):
        compare(results(drawn(2, 10)), **{name: value})
