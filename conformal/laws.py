"""The three laws everything here rests on, for whole-number parameters: binomial, Beta(k, n + 1 - k), beta-binomial.

Given a calibration set of n outputs without ties, the true coverage of the k-th smallest conformity score is
Beta(k, n + 1 - k), and the number of covered outputs among m fresh ones is BetaBinomial(m, k, n + 1 - k) (Vovk, arXiv
1209.2673; Angelopoulos & Bates, arXiv 2107.07511, section 3.2). Sums over whole numbers need no special functions.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def _log_factorials(n: int) -> Floats:
    """log 0! .. log n!"""
    out = np.zeros(n + 1)
    if n > 1:
        out[2:] = np.cumsum(np.log(np.arange(2, n + 1)))
    return out


@lru_cache(maxsize=8)
def _log_choose(n: int) -> Floats:
    """log of n over i for i = 0..n; read-only. A quantile asks for the same n sixty times."""
    logs = _log_factorials(n)
    out = logs[n] - logs - logs[::-1]
    out.flags.writeable = False
    return np.asarray(out)


def log_binomial_pmf(n: int, p: float, start: int = 0) -> Floats:
    """log P(Bin(n, p) = i) for i = start..n, for 0 < p < 1."""
    i = np.arange(start, n + 1)
    return np.asarray(_log_choose(n)[start:] + i * math.log(p) + (n - i) * math.log1p(-p))


def binomial_sf(k: int, n: int, p: float) -> float:
    """P(Bin(n, p) >= k)."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0:
        return 0.0
    return 1.0 if p >= 1 else min(1.0, float(np.exp(log_binomial_pmf(n, p, k)).sum()))


def beta_cdf(k: int, n: int, x: float) -> float:
    """P(Beta(k, n + 1 - k) <= x) = P(Bin(n, x) >= k), for 1 <= k <= n. k = n + 1 stands for coverage 1: returns 0 below 1."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    return binomial_sf(k, n, x)


def beta_quantile(k: int, n: int, probability: float) -> float:
    """x with P(Beta(k, n + 1 - k) <= x) = probability, by bisection to the last bits."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if beta_cdf(k, n, middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Equal-tailed interval of the true coverage given the calibration set."""
    tail = (1 - confidence) / 2
    return beta_quantile(k, n, tail), beta_quantile(k, n, 1 - tail)


def beta_binomial_pmf(m: int, k: int, n: int) -> Floats:
    """P(covered = s) for s = 0..m among m fresh outputs: BetaBinomial(m, k, n + 1 - k)."""
    a, b = k, n + 1 - k
    logs = _log_factorials(m + n + 1)
    s = np.arange(m + 1)

    def log_beta(x: npt.NDArray[np.int64] | int, y: npt.NDArray[np.int64] | int) -> Floats:
        return logs[np.asarray(x) - 1] + logs[np.asarray(y) - 1] - logs[np.asarray(x) + y - 1]

    choose = logs[m] - logs[s] - logs[m - s]
    return np.asarray(np.exp(choose + log_beta(s + a, m - s + b) - log_beta(a, b)), dtype=np.float64)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a proportion; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else beta_quantile(successes, trials, tail)
    high = 1.0 if successes == trials else beta_quantile(successes + 1, trials, 1 - tail)
    return low, high
