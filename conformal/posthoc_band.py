"""Bounds under all order statistics of n uniform numbers, and the exact chance that none falls below its own."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_NEGLIGIBLE = 1e-18


def never_below(bounds: Floats) -> float:
    """P(U_(k) >= bounds[k - 1] for k = 1 .. n), bounds ascending in [0, 1].

    The counts of uniforms are those of a Poisson process of rate n given n points in all: walk over the bounds, keeping the law
    of the number of points so far, which may be at most k - 1 before bound k. (Khmaladze & Shinjikashvili 2001, section 2.)
    """
    n = len(bounds)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    law = np.zeros(n + 1)
    law[0] = 1.0
    place = 0.0
    for k, bound in enumerate(bounds.tolist(), 1):
        law = _advance(law, n * (bound - place), logs)
        law[k:] = 0.0
        place = bound
    law = _advance(law, n * (1.0 - place), logs)
    # P(exactly n points) of the unconditioned process
    log_total = n * math.log(n) - n - math.lgamma(n + 1)
    return float(min(1.0, law[n] / math.exp(log_total)))


def berk_jones_bounds(n: int, distance: float) -> Floats:
    """For k = 1 .. n the x <= k / n whose binomial divergence n KL(k / n, x) is `distance`: P(U_(k) < x) <= exp(-distance)."""
    share = np.arange(1, n + 1) / n
    low, high = np.zeros(n), share.copy()
    for _ in range(60):
        middle = (low + high) / 2
        far = n * _divergence(share, middle) > distance
        low, high = np.where(far, middle, low), np.where(far, high, middle)
    return low


def _divergence(share: Floats, x: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - x)), 0.0)
        return np.asarray(share * np.log(share / x) + rest)


def _advance(law: Floats, rate: float, logs: Floats) -> Floats:
    """The law after an interval with a Poisson(rate) number of further points. `logs` are log factorials."""
    if rate <= 0:
        return law
    terms = min(len(logs), int(rate + 12 * math.sqrt(rate)) + 40)
    steps = np.exp(np.arange(terms) * math.log(rate) - rate - logs[:terms])
    steps = steps[: int(np.flatnonzero(steps > _NEGLIGIBLE)[-1]) + 1]
    used = np.flatnonzero(law > _NEGLIGIBLE)
    first, last = int(used[0]), int(used[-1]) + 1
    out = np.zeros_like(law)
    found = np.convolve(law[first:last], steps)[: len(law) - first]
    out[first : first + len(found)] = found
    return out
