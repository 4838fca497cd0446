"""The exact law of a betting audit: the wealth depends on the counts alone, so paths are summed over counts."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaln

from conformal.betting import SHORTFALLS


def log_wealth(n: int, rank: int, t: int) -> np.ndarray:
    """log W after t labels of which s = 0..t are right, written apart from the code under test."""
    s, b, mean = np.arange(t + 1), n + 1 - rank, rank / (n + 1)
    worse = [rank * (1 - c) / c for c in (mean - short for short in SHORTFALLS) if c > 0] or [rank * (1 - mean / 2) / (mean / 2)]
    null = betaln(rank + s, b + t - s) - betaln(rank, b)
    return np.logaddexp.reduce([betaln(rank + s, w + t - s) - betaln(rank, w) - null for w in worse]) - math.log(len(worse))


def crossing_probability(n: int, rank: int, horizon: int, level: float, coverage: float | None = None) -> float:
    """P(W >= 1/level at some t <= horizon), under the honest law or at a fixed coverage."""
    alive, crossed = np.ones(1), 0.0
    for t in range(horizon):
        s = np.arange(t + 1)
        right = (rank + s) / (n + 1 + t) if coverage is None else np.full(t + 1, coverage)
        moved = np.zeros(t + 2)
        moved[1:] += alive * right
        moved[:-1] += alive * (1 - right)
        over = log_wealth(n, rank, t + 1) >= -math.log(level)
        crossed += float(moved[over].sum())
        moved[over] = 0.0
        alive = moved
    return crossed
