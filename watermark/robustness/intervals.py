"""Clopper-Pearson intervals without scipy."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

MAX_TRIALS = 1_000_000
_BISECTIONS = 60


@functools.lru_cache(maxsize=4096)
def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a proportion, `hits` of `trials` seen (Clopper & Pearson, Biometrika 26, 1934).

    Raises ValueError unless 0 <= hits <= trials, 1 <= trials <= MAX_TRIALS and 0 < confidence < 1.
    """
    if not (0 <= hits <= trials and 1 <= trials <= MAX_TRIALS and 0 < confidence < 1):
        raise ValueError("clopper_pearson wants 0 <= hits <= trials, trials >= 1 and a confidence between 0 and 1")
    half = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: _upper_tail(hits, trials, p) < half)
    # P(X <= hits) under p is the upper tail of the misses under 1 - p
    high = 1.0 if hits == trials else 1 - _solve(lambda q: _upper_tail(trials - hits, trials, q) < half)
    return low, high


def _solve(too_low: Callable[[float], bool]) -> float:
    """The p in (0, 1) where `too_low` turns false."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return (low + high) / 2


def _upper_tail(least: int, trials: int, p: float) -> float:
    """P(Bin(trials, p) >= least) for 0 < p < 1."""
    k = np.arange(least, trials + 1)
    return float(np.exp(_log_choose(trials)[least:] + k * math.log(p) + (trials - k) * math.log1p(-p)).sum())


@functools.lru_cache(maxsize=16)
def _log_choose(trials: int) -> npt.NDArray[np.float64]:
    """log of the binomial coefficients (trials over 0 .. trials)."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    return np.asarray(logs[-1] - logs - logs[::-1])
