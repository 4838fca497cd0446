"""The exact upper tail of a binomial, in logarithms, without SciPy."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

# Terms below the largest one by this factor cannot change the sum in double precision.
_NEGLIGIBLE = -45.0


@lru_cache(maxsize=65536)
def log_tail(green: int, count: int, fraction: float) -> float:
    """log P(Bin(count, fraction) >= green): 0.0 for green <= 0, -Infinity for green > count. 0 < fraction < 1."""
    if green <= 0:
        return 0.0
    if green > count:
        return -math.inf
    if green <= count * fraction:  # below the mean: sum the shorter, smaller side
        below = _log_sum(0, green - 1, count, fraction)
        return math.log1p(-min(math.exp(below), 1.0 - 1e-16))
    return min(0.0, _log_sum(green, count, count, fraction))


def _log_sum(first: int, last: int, count: int, fraction: float) -> float:
    """log of the sum of the probabilities of first .. last, all on one side of the mode."""
    nearest = first if first > count * fraction else last
    top = _log_probability(nearest, count, fraction)
    step = 1 if nearest == first else -1
    ratio_base = math.log(fraction) - math.log1p(-fraction)
    width = abs(last - first) + 1
    k = nearest + step * np.arange(width, dtype=np.float64)
    if step > 0:
        ratios = np.log((count - k[:-1]) / (k[:-1] + 1)) + ratio_base
    else:
        ratios = np.log(k[:-1] / (count - k[:-1] + 1)) - ratio_base
    relative = np.concatenate([[0.0], np.cumsum(ratios)])
    return top + math.log(math.fsum(np.exp(relative[relative > _NEGLIGIBLE]).tolist()))


def _log_probability(k: int, count: int, fraction: float) -> float:
    """log P(Bin = k) through Loader's deviance form: differences of large logarithms would cost digits (saddle-point, 2000)."""
    if k == 0:
        return count * math.log1p(-fraction)
    if k == count:
        return count * math.log(fraction)
    deviance = _deviance(k, count * fraction) + _deviance(count - k, count * (1 - fraction))
    correction = _stirling(count) - _stirling(k) - _stirling(count - k)
    return correction - deviance + 0.5 * math.log(count / (2 * math.pi * k * (count - k)))


def _stirling(n: int) -> float:
    """log n! - log(sqrt(2 pi n) (n / e)^n)."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680) / square) / square) / square) / n


def _deviance(x: float, mean: float) -> float:
    """x log(x / mean) + mean - x, without cancellation near x = mean."""
    if abs(x - mean) >= 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    v = (x - mean) / (x + mean)
    total, term, j = (x - mean) * v, 2 * x * v, 1
    square = v * v
    while True:
        term *= square
        new = total + term / (2 * j + 1)
        if new == total:
            return total
        total, j = new, j + 1
