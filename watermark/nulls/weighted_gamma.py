"""The exact upper tail of a X + b Y for independent X, Y ~ Gamma(shape, 1), in log form and deep into the tail.

With X + Y = R ~ Gamma(2 shape) independent of W = X / R ~ Beta(shape, shape),

    P(a X + b Y > s) = E_W Q(2 shape, s / (b + (a - b) W)),

an integral over [0, 1] with a smooth positive integrand. In t = log(W / (1 - W)) it decays exponentially on both sides and
has one peak, so the trapezoid rule converges geometrically; nothing cancels, hence relative accuracy in the tail too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Below exp(-DROP) of its peak the integrand is left out; NODES points across what remains.
_DROP = 42.0
_NODES = 161
_EPS = 2.0**-54


def weighted_log_q(shape: int, a: float, b: float, s: float) -> float:
    """log P(aX + bY > s); shape >= 1, weights a, b >= 0 not both 0. Within 1e-9 of the tail's logarithm, wherever it lies.

    Raises ValueError for other arguments.
    """
    if shape < 1 or not (a >= 0 and b >= 0 and a + b > 0):
        raise ValueError("weighted_log_q wants shape >= 1 and non-negative weights that are not both zero")
    if s <= 0:
        return 0.0
    low, high = sorted((a, b))
    if low == 0 or low == high:
        return float(log_q_nodes(shape if low == 0 else 2 * shape, np.array([s / high]))[0])

    def log_integrand(t: Array) -> Array:
        # log density of t is shape (log W + log(1 - W)) up to the constant added at the end
        w = 1 / (1 + np.exp(-t))
        scale = low + (high - low) * w
        return -shape * (np.logaddexp(0, -t) + np.logaddexp(0, t)) + log_q_nodes(2 * shape, s / scale)

    start, end = _support(log_integrand)
    t = np.linspace(start, end, _NODES)
    logs = log_integrand(t)
    top = float(logs.max())
    log_beta = 2 * math.lgamma(shape) - math.lgamma(2 * shape)
    # 1 where the true value is: rounding may pass it by a hair
    return min(0.0, top + math.log(float(np.exp(logs - top).sum()) * float(t[1] - t[0])) - log_beta)


def _support(log_integrand: Callable[[Array], Array]) -> tuple[float, float]:
    """The stretch around the one peak outside of which the integrand is below exp(-_DROP) of it."""
    start, end = -1.0, 64.0  # the mode has W >= 1/2; W so close to 1 that t > 64 cannot be told from 1
    for _ in range(7):
        t = np.linspace(start, end, 25)
        best = int(np.argmax(log_integrand(t)))
        start, end = float(t[max(best - 1, 0)]), float(t[min(best + 1, t.size - 1)])
    mode = (start + end) / 2
    steps: Array = np.power(1.3, np.arange(-55, 19))  # 5e-7 .. 110
    peak = log_integrand(np.array([mode]))[0]
    left = log_integrand(mode - steps) < peak - _DROP
    right = log_integrand(mode + steps) < peak - _DROP
    return mode - float(steps[np.argmax(left)]), mode + float(steps[np.argmax(right)])


def log_q_nodes(shape: int, x: Array) -> Array:
    """log Q(shape, x) for an integer shape >= 1 and an array of x > 0: series of positive terms on both sides of the mean."""
    out = np.empty_like(x)
    above = x >= shape
    for side, series in ((above, _upper), (~above, _lower)):
        if side.any():
            out[side] = series(shape, x[side])
    return out


def _log_term(shape: int, x: Array) -> Array:
    """log of x^shape exp(-x) / shape!, without cancellation for large shapes."""
    if shape < 32:
        return shape * np.log(x) - x - math.lgamma(shape + 1)
    gap = (x - shape) / shape
    stirling = 1 / (12 * shape) - 1 / (360 * shape**3) + 1 / (1260 * shape**5)
    return shape * (np.log1p(gap) - gap) - 0.5 * math.log(2 * math.pi * shape) - stirling


def _upper(shape: int, x: Array) -> Array:
    """x >= shape: Q = (x^shape e^-x / shape!) * (shape / x) * (1 + (shape-1)/x + (shape-1)(shape-2)/x^2 + ...)."""
    term, total = np.ones_like(x), np.ones_like(x)
    for j in range(shape - 1, 0, -1):
        term *= j / x
        total += term
        if term.max() < _EPS:
            break
    return _log_term(shape, x) + np.log(shape / x) + np.log(total)


def _lower(shape: int, x: Array) -> Array:
    """x < shape: Q = 1 - P, P = (x^shape e^-x / shape!) * (1 + x/(shape+1) + x^2/((shape+1)(shape+2)) + ...)."""
    term, total, j = np.ones_like(x), np.ones_like(x), shape
    while term.max() >= _EPS:
        j += 1
        term *= x / j
        total += term
    return np.log1p(-np.exp(_log_term(shape, x) + np.log(total)))
