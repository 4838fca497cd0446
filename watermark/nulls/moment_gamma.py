"""The Gamma approximation that vLLM's dual-key detector prints: real shape, matched mean and variance. Not a valid p-value."""

from __future__ import annotations

import math

_MAX_STEPS = 100_000
_EPS = 2.0**-52
_TINY = 1e-300


def moment_matched_p_value(weights: tuple[float, ...], count: int, score: float) -> float:
    """Q(count / v, score / v) with v = sum of squared weights (which sum to one)."""
    variance = sum(weight**2 for weight in weights)
    return math.exp(log_q_real(count / variance, score / variance))


def log_q_real(shape: float, x: float) -> float:
    """log Q(shape, x) for real shape > 0, to 1e-9 relative in Q: series below shape + 1, Lentz's continued fraction above."""
    if x <= 0:
        return 0.0
    scale = shape * math.log(x) - x - math.lgamma(shape)
    if x < shape + 1:
        term = total = 1 / shape
        divisor = shape
        for _ in range(_MAX_STEPS):
            divisor += 1
            term *= x / divisor
            total += term
            if term < total * _EPS:
                break
        return math.log1p(-min(math.exp(scale + math.log(total)), 1 - _EPS))
    b = x + 1 - shape
    c, d = 1 / _TINY, 1 / b
    value = d
    for i in range(1, _MAX_STEPS):
        a = -i * (i - shape)
        b += 2
        d = 1 / (_nonzero(a * d + b))
        c = _nonzero(b + a / c)
        value *= c * d
        if abs(c * d - 1) < _EPS:
            break
    return scale + math.log(value)


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
