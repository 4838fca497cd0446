"""The standard normal's upper tail, its logarithm without underflow, and its quantile."""

from __future__ import annotations

import math


def upper_tail(z: float) -> float:
    """P(Z > z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def log_upper_tail(z: float) -> float:
    """log P(Z > z), also where the tail itself underflows (Mills' ratio, 1e-12 relative from z = 30 on)."""
    if z < 30:
        return math.log(upper_tail(z))
    inverse = 1 / (z * z)
    series = 1 - inverse * (1 - 3 * inverse * (1 - 5 * inverse * (1 - 7 * inverse)))
    return -z * z / 2 - math.log(z) - 0.5 * math.log(2 * math.pi) + math.log(series)


def quantile(upper: float) -> float:
    """z with P(Z > z) = upper, by bisection; upper in (0, 1)."""
    low, high = -40.0, 40.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if upper_tail(middle) > upper else (low, middle)
    return (low + high) / 2
