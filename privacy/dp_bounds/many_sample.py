"""A lower bound on epsilon from independent scores of canaries in and out, simultaneous over all thresholds and directions.

At any threshold t, (eps, delta)-differential privacy allows TPR <= e^eps FPR + delta, and the same for TNR/FNR, FPR/TPR and
FNR/TNR. The best of all thresholds is a bound only if the intervals of the rates hold at all of them at once: here by bands
around the two distribution functions. Each score needs a training run of its own; scores of one run are not independent.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.dp_bounds.canaries import Canaries
from privacy.dp_bounds.one_run import check_delta
from privacy.errors import PlanError
from privacy.statistics.binomial import beta_quantile, check_level
from privacy.statistics.scores import Floats

DIRECTIONS = ("TPR/FPR", "TNR/FNR", "FPR/TPR", "FNR/TNR")
_GROWTH = 1.3


@dataclass(frozen=True)
class ManySample:
    """A lower bound on epsilon that holds with probability 1 - alpha, and where it was found."""

    epsilon: float
    alpha: float
    delta: float
    included: int
    excluded: int
    threshold: float
    direction: str


def band_ranks(n: int) -> tuple[int, ...]:
    """The order statistics at which the band is anchored: geometric from both ends, a function of n alone."""
    ranks, rank = set(), 1
    while rank <= (n + 1) // 2:
        ranks |= {rank, n + 1 - rank}
        rank = max(rank + 1, math.ceil(rank * _GROWTH))
    return tuple(sorted(ranks))


@functools.lru_cache(maxsize=256)
def band(n: int, alpha: float) -> tuple[Floats, Floats]:
    """Lower and upper bounds of F(t), indexed by the count c = #{x <= t} = 0..n.

    Each of the two is valid for all t together with probability 1 - alpha, for any law, atoms included: F at the i-th smallest
    of n is at least U_(i), and F just below it at most U_(i), stochastically; each of G anchors has its Beta quantile at
    alpha/G, and F is monotone between anchors.
    """
    ranks = band_ranks(n)
    level = alpha / len(ranks)
    low, high = np.zeros(n + 1), np.ones(n + 1)
    for rank in ranks:
        low[rank:] = np.maximum(low[rank:], beta_quantile(rank, n, level))
    for rank in ranks[::-1]:
        high[:rank] = np.minimum(high[:rank], beta_quantile(rank, n, 1 - level))
    low.flags.writeable = high.flags.writeable = False
    return low, high


def bound_many_sample(canaries: Canaries, alpha: float = 0.05, delta: float = 0.0) -> ManySample:
    """eps >= ln((TPR_low - delta) / FPR_high), the best of all thresholds and four directions; level alpha over all of it.

    Four one-sided bands at alpha/4 each: both sides of both distribution functions. Raises PlanError without canaries of both
    kinds.
    """
    check_level(alpha, "alpha")
    check_delta(delta)
    inside, outside = np.sort(canaries.scores[canaries.included]), np.sort(canaries.scores[~canaries.included])
    if inside.size == 0 or outside.size == 0:
        raise PlanError("canaries of both kinds, in and out, are needed")
    thresholds = np.unique(canaries.scores)
    in_low, in_high = _band_at(inside, thresholds, alpha / 4)
    out_low, out_high = _band_at(outside, thresholds, alpha / 4)
    # Above the threshold: 1 - F. What is positive is the rate of scores above it.
    pairs = ((1 - in_high, 1 - out_low), (out_low, in_high), (1 - out_high, 1 - in_low), (in_low, out_high))
    best, at, direction = 0.0, float(thresholds[0]), DIRECTIONS[0]
    for name, (upper, lower) in zip(DIRECTIONS, pairs):
        ratio = (upper - delta) / np.maximum(lower, np.finfo(np.float64).tiny)
        where = int(np.argmax(ratio))
        if ratio[where] > 0 and math.log(ratio[where]) > best:
            best, at, direction = math.log(ratio[where]), float(thresholds[where]), name
    return ManySample(best, alpha, delta, inside.size, outside.size, at, direction)


def _band_at(ordered: Floats, thresholds: npt.NDArray[np.float64], alpha: float) -> tuple[Floats, Floats]:
    low, high = band(ordered.size, alpha)
    counts = np.searchsorted(ordered, thresholds, side="right")
    return low[counts], high[counts]
