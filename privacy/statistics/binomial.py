"""The binomial law, its exact interval (Clopper & Pearson 1934) and Fisher's exact test, by sums over whole numbers."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError

Floats = npt.NDArray[np.float64]
MAX_TRIALS = 10_000_000
_TABLES = 8


@functools.lru_cache(maxsize=_TABLES)
def _table(size: int) -> Floats:
    out = np.zeros(size)
    out[2:] = np.cumsum(np.log(np.arange(2, size)))
    out.flags.writeable = False
    return out


def log_factorials(n: int) -> Floats:
    """log 0! .. log n!, read-only. Raises PlanError for n outside 0..MAX_TRIALS."""
    if not 0 <= n <= MAX_TRIALS:
        raise PlanError(f"a count lies between 0 and {MAX_TRIALS}, not {n}")
    return _table(1 << max(4, n.bit_length()))[: n + 1]


def binomial_pmf(n: int, log_p: float, log_q: float) -> Floats:
    """P(Bin(n, p) = i) for i = 0..n, with log p and log(1 - p) both finite; given as logs so that p may be next to 0 or 1."""
    logs = log_factorials(n)
    i = np.arange(n + 1)
    return np.asarray(np.exp(logs[n] - logs[i] - logs[n - i] + i * log_p + (n - i) * log_q), dtype=np.float64)


def binomial_sf(k: int, n: int, p: float) -> float:
    """P(Bin(n, p) >= k)."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0:
        return 0.0
    return 1.0 if p >= 1 else min(1.0, float(binomial_pmf(n, math.log(p), math.log1p(-p))[k:].sum()))


def beta_quantile(k: int, n: int, probability: float) -> float:
    """x with P(U_(k) <= x) = probability, for the k-th smallest of n uniforms: Beta(k, n + 1 - k), 1 <= k <= n."""
    if k == 1:
        return -math.expm1(math.log1p(-probability) / n)
    if k == n:
        return math.exp(math.log(probability) / n)
    low, high = 0.0, 1.0
    for _ in range(64):
        middle = (low + high) / 2
        if binomial_sf(k, n, middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@functools.lru_cache(maxsize=1 << 16)
def clopper_pearson_lower(successes: int, trials: int, level: float) -> float:
    """One-sided: the proportion is at least this, with confidence 1 - level. 0 without successes."""
    check_count(successes, trials)
    return 0.0 if successes == 0 else beta_quantile(successes, trials, check_level(level))


@functools.lru_cache(maxsize=1 << 16)
def clopper_pearson_upper(successes: int, trials: int, level: float) -> float:
    """One-sided: the proportion is at most this, with confidence 1 - level. 1 where every trial succeeded."""
    check_count(successes, trials)
    return 1.0 if successes == trials else beta_quantile(successes + 1, trials, 1 - check_level(level))


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval of a proportion; (0, 1) without trials. Raises PlanError."""
    tail = (1 - check_level(confidence, "confidence")) / 2
    return clopper_pearson_lower(successes, trials, tail), clopper_pearson_upper(successes, trials, tail)


def fisher_p_value(hits: int, trials: int, decoy_hits: int, decoy_trials: int) -> float:
    """One-sided Fisher exact test that the target is hit more often than decoys asked with the same templates.

    P(X >= hits), X hypergeometric given the margins. Exact when all answers are independent and, under the null, alike.
    """
    check_count(hits, trials)
    check_count(decoy_hits, decoy_trials)
    total, marked = trials + decoy_trials, hits + decoy_hits
    logs = log_factorials(total)
    x = np.arange(hits, min(trials, marked) + 1)

    def choose(n: int, k: npt.NDArray[np.int64] | int) -> Floats:
        return np.asarray(logs[n] - logs[k] - logs[n - np.asarray(k)])

    terms = choose(trials, x) + choose(decoy_trials, marked - x) - choose(total, marked)
    return min(1.0, float(np.exp(terms).sum()))


def check_count(successes: int, trials: int) -> None:
    """Raises PlanError unless 0 <= successes <= trials <= MAX_TRIALS."""
    if not 0 <= successes <= trials <= MAX_TRIALS:
        raise PlanError(f"{successes} of {trials} is no count of successes among at most {MAX_TRIALS} trials")


def check_level(value: float, name: str = "level") -> float:
    """A probability strictly between 0 and 1. Raises PlanError."""
    if not 0 < value < 1:
        raise PlanError(f"{name} must lie strictly between 0 and 1, not {value:g}")
    return float(value)
