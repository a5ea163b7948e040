"""The statistics against SciPy, closed forms, slow restatements, and what must hold for any scores."""

import math
import warnings
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lit_attr.benchmark import critical_difference, paired_bootstrap, ranking, wilcoxon_holm
from lit_attr.benchmark.statistics import holm, least_pairs

NAN = math.nan


def drawn(methods, samples, seed=0):
    return np.random.default_rng(seed).standard_normal((methods, samples))


# Few levels, so that ties, constant rows and rows without a score are common.
SCORES = st.tuples(st.integers(2, 5), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, 7.5, NAN]))
)


class TestBootstrap:
    @pytest.mark.parametrize("skewed", [False, True])
    def test_as_scipy(self, skewed):
        """SciPy draws other samples, so up to what 20,000 of them differ by."""
        values = drawn(2, 25)
        values = np.exp(values) if skewed else values
        found = paired_bootstrap(values, resamples=20_000)
        for row, interval in [(values[0], found.means), (values[0] - values[1], found.differences)]:
            expected = stats.bootstrap((row,), np.mean, n_resamples=20_000, rng=np.random.default_rng(5))
            index = 0 if interval is found.means else (0, 1)
            ends = expected.confidence_interval
            width = ends.high - ends.low
            assert interval.low[index] == pytest.approx(ends.low, abs=0.02 * width)
            assert interval.high[index] == pytest.approx(ends.high, abs=0.02 * width)
            assert interval.value[index] == pytest.approx(row.mean())

    def test_coverage_is_near_the_level(self):
        """Of 400 intervals from 30 skewed pairs about 95 % hold the true difference, and pairing makes them narrow."""
        generator = np.random.default_rng(0)
        held = 0
        for _ in range(400):
            common = 10 * generator.standard_normal(30)  # cancels in pairs only
            scores = [common + generator.exponential(1.0, 30), common + generator.standard_normal(30)]
            found = paired_bootstrap(scores, resamples=400).differences
            held += found.low[0, 1] <= 1.0 <= found.high[0, 1]
            assert found.high[0, 1] - found.low[0, 1] < 2
        assert 0.90 <= held / 400 <= 0.98

    def test_a_pair_does_not_depend_on_the_other_methods_and_is_antisymmetric(self):
        scores = drawn(4, 15)
        every, two = paired_bootstrap(scores).differences, paired_bootstrap(scores[:2]).differences
        assert every.low[0, 1] == pytest.approx(two.low[0, 1], abs=1e-12)
        assert np.array_equal(every.low, -every.high.T)
        assert np.array_equal(every.value, -every.value.T)

    def test_the_seed_decides_and_the_global_state_is_left_alone(self):
        scores, before = drawn(2, 10), np.random.get_state()[1].copy()
        one, same, other = (paired_bootstrap(scores, seed=seed).means.low for seed in (0, 0, 1))
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)
        assert np.array_equal(before, np.random.get_state()[1])

    def test_skipped_samples_are_left_out_of_their_comparisons_only(self):
        scores = drawn(3, 20)
        scores[0, :5] = NAN
        found = paired_bootstrap(scores)
        assert found.differences.samples.tolist() == [[15, 15, 15], [15, 20, 20], [15, 20, 20]]
        assert found.means.samples.tolist() == [15, 20, 20]
        assert found.differences.value[0, 1] == pytest.approx((scores[0] - scores[1])[5:].mean())
        # Nearly the interval of the complete pairs alone, whose resamples are of one size.
        alone = paired_bootstrap(scores[:2, 5:], resamples=20_000).differences
        width = alone.high[0, 1] - alone.low[0, 1]
        assert found.differences.low[0, 1] == pytest.approx(alone.low[0, 1], abs=0.1 * width)

    def test_blocks_do_not_change_the_draws(self, monkeypatch):
        scores = drawn(2, 10)
        whole = paired_bootstrap(scores, resamples=500).means.low
        monkeypatch.setattr("lit_attr.benchmark._resampling._AT_ONCE", 300)
        assert paired_bootstrap(scores, resamples=500).means.low == pytest.approx(whole)

    def test_tensors(self):
        scores = torch.rand(2, 6, dtype=torch.float64)
        assert paired_bootstrap(scores).means.value == pytest.approx(scores.mean(1).numpy())

    @pytest.mark.parametrize("scores", [[1.0], [[[1.0]]], np.zeros((0, 3)), [[math.inf]]])
    def test_other_scores_are_refused(self, scores):
        with pytest.raises(ValueError, match="`scores` must be"):
            paired_bootstrap(scores)

    @pytest.mark.parametrize(("name", "value"), [("level", 1.0), ("resamples", 0), ("seed", -1)])
    def test_settings_out_of_range_are_refused(self, name, value):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            paired_bootstrap([[1.0, 2.0]], **{name: value})


class TestWilcoxon:
    @pytest.mark.parametrize("samples", [5, 20, 80])
    def test_as_scipy(self, samples):
        scores = drawn(3, samples)
        found = wilcoxon_holm(scores)
        for i, j in combinations(range(3), 2):
            assert found.p[i, j] == found.p[j, i] == pytest.approx(stats.wilcoxon(scores[i], scores[j]).pvalue)

    def test_exact_closed_form(self):
        """Of n differences of one sign, p = 2 / 2^n."""
        assert wilcoxon_holm([np.arange(1.0, 9.0), np.zeros(8)]).p[0, 1] == pytest.approx(2 / 2**8)

    def test_zeros_are_split(self):
        """The normal approximation by hand: zeros have the smallest ranks, half of which count for each sign."""
        difference = np.array([0, 0, 1, 2, 3, -4, 5, 6, 7, 8.0])
        ranks = stats.rankdata(abs(difference))
        low = min(ranks[difference > 0].sum(), ranks[difference < 0].sum()) + ranks[difference == 0].sum() / 2
        n = len(difference)
        variance = n * (n + 1) * (2 * n + 1) / 24 - (2**3 - 2) / 48  # a tie of two
        expected = 2 * stats.norm.cdf((low - n * (n + 1) / 4) / math.sqrt(variance))
        assert wilcoxon_holm([difference, np.zeros(n)]).p[0, 1] == pytest.approx(expected)

    def test_skipped_samples_are_counted(self):
        scores = drawn(3, 10)
        scores[0, :4], scores[2] = NAN, NAN
        found = wilcoxon_holm(scores)
        assert found.samples.tolist() == [[6, 6, 0], [6, 10, 0], [0, 0, 0]]
        assert np.isnan(found.p[0, 2])
        assert np.isnan(found.adjusted[1, 2])
        assert found.adjusted[0, 1] == found.p[0, 1] == stats.wilcoxon(scores[0, 4:], scores[1, 4:]).pvalue

    @given(st.lists(st.one_of(st.floats(0, 1), st.just(NAN)), min_size=1, max_size=12))
    def test_holm_as_restated(self, values):
        """Holm rejects at alpha, step by step, exactly what has an adjusted p-value of at most alpha."""
        p = np.array(values)
        adjusted = holm(p)
        tested = [i for i in range(len(p)) if not math.isnan(p[i])]
        for i in tested:
            worst = max((sum(p[k] >= p[j] for k in tested)) * p[j] for j in tested if p[j] <= p[i])
            assert adjusted[i] == pytest.approx(min(1, worst))
        assert np.array_equal(np.isnan(adjusted), np.isnan(p))

    def test_holm_of_the_literature(self):
        """As R's p.adjust and statsmodels' multipletests give for it."""
        found = holm(np.array([0.01, 0.02, 0.03, 0.04, 0.005]))
        assert found == pytest.approx([0.04, 0.06, 0.06, 0.06, 0.025])


class TestCriticalDifference:
    @pytest.mark.parametrize("tied", [False, True])
    def test_friedman_as_scipy(self, tied):
        scores = drawn(4, 15) + 0.3 * np.arange(4)[:, None]
        scores = scores.round() if tied else scores
        found = critical_difference(scores)
        assert found.p == pytest.approx(stats.friedmanchisquare(*scores).pvalue)
        assert found.ranks == pytest.approx(stats.rankdata(-scores, axis=0).mean(1))
        assert critical_difference(scores, higher_is_better=False).ranks == pytest.approx(5 - found.ranks)

    @pytest.mark.parametrize(("methods", "quantile"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
    def test_distance_by_demsars_table(self, methods, quantile):
        found = critical_difference(drawn(methods, 30))
        assert found.distance == pytest.approx(quantile * math.sqrt(methods * (methods + 1) / 180), rel=3e-4)

    def test_cliques_by_definition(self):
        scores = drawn(8, 40) + 0.25 * np.arange(8)[:, None]
        found = critical_difference(scores)
        order = np.argsort(found.ranks)
        within = [
            {int(i) for i in order[a:b]}
            for a in range(8)
            for b in range(a + 2, 9)
            if found.ranks[order[b - 1]] - found.ranks[order[a]] <= found.distance
        ]
        largest = [clique for clique in within if not any(clique < other for other in within)]
        assert [set(clique) for clique in found.cliques] == largest
        assert len(largest) > 1

    def test_without_a_difference_all_are_one_clique(self):
        found = critical_difference(np.ones((3, 10)))
        assert (found.p, found.ranks.tolist(), found.cliques) == (1.0, [2.0, 2.0, 2.0], ((0, 1, 2),))

    def test_only_complete_samples_count(self):
        scores = drawn(3, 10)
        scores[1, 2] = scores[2, 3] = NAN
        found, expected = critical_difference(scores), critical_difference(np.delete(scores, [2, 3], axis=1))
        assert (found.samples, found.dropped) == (8, 2)
        assert found.p == expected.p
        nothing = critical_difference([[1.0, NAN], [NAN, 1.0]])
        assert (nothing.samples, nothing.dropped, nothing.cliques) == (0, 2, ((0, 1),))

    def test_one_method_is_refused(self):
        with pytest.raises(ValueError, match=r"`scores` must be \[methods, samples\] of 2 methods or more"):
            critical_difference([[1.0, 2.0]])


class TestRanking:
    def test_clear_differences_are_ordered_and_direction_turns(self):
        base = drawn(1, 30)
        scores = np.concatenate([base, base + 1 + 0.1 * drawn(1, 30, 1), base + 2 + 0.1 * drawn(1, 30, 2)])
        assert ranking(scores).groups == ((2,), (1,), (0,))
        assert ranking(scores, higher_is_better=False).groups == ((0,), (1,), (2,))

    def test_a_chain_is_one_group_but_its_ends_are_apart(self):
        """a ~ b ~ c with a > c: no boundary separates all of one side from all of the other."""
        noise = drawn(3, 24)
        noise -= noise.mean(1, keepdims=True)
        scores = noise + np.array([0.75, 0.37, 0.0])[:, None]
        found = ranking(scores)
        assert found.better.tolist() == [[False, False, True], [False] * 3, [False] * 3]
        assert found.groups == ((0, 1, 2),)
        assert (found.first.tolist(), found.last.tolist()) == ([1, 1, 2], [2, 3, 3])

    def test_few_pairs_show_nothing(self):
        """Five that agree are not enough at 95 %, six are."""
        assert ranking([[1.0] * 5, [0.0] * 5]).groups == ((0, 1),)
        assert ranking([[1.0] * 6, [0.0] * 6]).groups == ((0,), (1,))
        assert [least_pairs(level) for level in (0.5, 0.9, 0.95, 0.99)] == [2, 5, 6, 8]

    def test_equal_methods_are_seldom_put_in_order(self):
        """At 95 % about one pair of twenty; of 300 pairs with one mean."""
        claims = sum(len(ranking(drawn(2, 25, seed), resamples=500).groups) - 1 for seed in range(300))
        assert claims / 300 < 0.10

    def test_a_method_without_scores_is_not_ranked(self):
        found = ranking([[1.0] * 8, [NAN] * 8, [0.0] * 8])
        assert (found.groups, found.unranked) == (((0,), (2,)), (1,))


@settings(deadline=None, max_examples=60)
@given(SCORES)
def test_no_scores_break_anything_or_give_a_claim_that_the_interval_does_not(scores):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tests, found = wilcoxon_holm(scores), ranking(scores, resamples=100)
        intervals = paired_bootstrap(scores, resamples=100)
        critical = critical_difference(scores)
    assert sorted([*(i for group in found.groups for i in group), *found.unranked]) == list(range(len(scores)))
    for above, below in pairwise(found.groups):
        for i in above:
            assert (intervals.differences.low[i, list(below)] > 0).all()
    for part in intervals:
        known = part.samples > 0
        assert (part.low[known] <= part.value[known] + 1e-12).all()
        assert (part.value[known] <= part.high[known] + 1e-12).all()
    apart = ~np.eye(len(scores), dtype=bool)
    assert ((tests.p >= 0) & (tests.p <= 1))[apart & (tests.samples > 0)].all()
    assert (tests.adjusted >= tests.p)[apart & (tests.samples > 0)].all()
    assert critical.samples + critical.dropped == scores.shape[1]
    assert 0 <= critical.p <= 1
