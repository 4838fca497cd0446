"""How long a text must be before "no green-list mark found" means something."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from watermark.detection import MIN_SCORED, SUFFICIENT_POWER, TYPICAL_ENTROPY_NATS
from watermark.nulls.normal import quantile

DEFAULT_DELTA = 2.0
# No length suffices.
NEVER = 1 << 30
_CANDIDATES, _LISTS = 64, 2000


@lru_cache(maxsize=64)
def expected_green(gamma: float, delta: float, entropy: float = TYPICAL_ENTROPY_NATS) -> float:
    """Expected chance that a marked token is green, at a geometric next-token distribution of that entropy (nats).

    Averaged over random lists: sum of green p e^delta over the sum of green p e^delta and red p (arXiv 2301.10226, section 4).
    """
    weights = _geometric(entropy)
    green = np.random.default_rng(0).random((_LISTS, _CANDIDATES)) < gamma
    mass = (green * weights).sum(axis=1)
    boost = math.exp(min(delta, 50.0))
    # the drawn lists' own mass as control variate: without a bias the answer is gamma exactly
    return float(gamma + (mass * boost / (mass * boost + 1 - mass) - mass).mean())


@lru_cache(maxsize=256)
def sufficient_tokens(gamma: float, delta: float | None, alpha: float) -> int:
    """Distinct scored tokens for power SUFFICIENT_POWER at `alpha`, by the normal approximation of both binomials."""
    marked = expected_green(gamma, DEFAULT_DELTA if delta is None else delta)
    gain = marked - gamma
    if gain <= 1e-3:
        return NEVER
    spread = quantile(alpha) * math.sqrt(gamma * (1 - gamma)) + quantile(1 - SUFFICIENT_POWER) * math.sqrt(marked * (1 - marked))
    return max(MIN_SCORED, math.ceil((spread / gain) ** 2))


def _geometric(entropy: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A geometric distribution over _CANDIDATES tokens of that entropy, by bisection on its ratio."""
    low, high = 1e-6, 1.0
    for _ in range(60):
        ratio = (low + high) / 2
        weights = ratio ** np.arange(_CANDIDATES)
        weights /= weights.sum()
        found = float(-(weights * np.log(np.maximum(weights, 1e-300))).sum())
        low, high = (ratio, high) if found < entropy else (low, ratio)
    return np.asarray(weights)
