"""Tests of a bounded mean for any law, by betting (Waudby-Smith & Ramdas, arXiv 2010.09686), here with bets fixed beforehand.

A t interval of differences that are mostly 0 is as narrow as one likes: if one entity in ten is remembered, ten entities show
nothing with a chance of a third, and the interval is a point. A bettor who stakes on every difference in the same way holds a
wealth whose mean is at most 1 under the null, whatever the law; more than 1/alpha of it has a chance of at most alpha (Markov).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError, ScoreError
from privacy.statistics.binomial import MAX_TRIALS, check_level
from privacy.statistics.scores import Floats, as_scores

STAKES = (0.1, 0.25, 0.5, 0.75, 0.95)
"""Shares of the largest stake that cannot lose everything; the wealth is spread evenly over them."""


def below_p_value(values: npt.ArrayLike, bound: float) -> float:
    """p of the null "the mean is at least `bound`", values in [-1, 1] and independent. Raises ScoreError, PlanError."""
    found = as_scores(values, "differences")
    if (np.abs(found) > 1 + 1e-9).any():
        raise ScoreError("differences of a metric between 0 and 1 lie between -1 and 1")
    if not -1 < bound < 1:
        raise PlanError("a bound on the mean of such differences lies strictly between -1 and 1")
    return math.exp(-max(0.0, _log_wealth(np.clip(found, -1.0, 1.0), bound)))


def above_p_value(values: npt.ArrayLike, bound: float) -> float:
    """p of the null "the mean is at most `bound`"."""
    return below_p_value(-as_scores(values, "differences"), -bound)


def _log_wealth(values: Floats, bound: float) -> float:
    stakes = np.array(STAKES) / (1 - bound)
    logs = np.log1p(stakes[:, None] * (bound - values)[None, :]).sum(axis=1)
    return min(700.0, float(np.logaddexp.reduce(logs)) - math.log(len(STAKES)))


def needed_without_difference(margin: float, alpha: float) -> int:
    """The number of differences, all of them 0, that shows a mean below `margin` at level alpha. Raises PlanError."""
    check_level(margin, "a margin of differences between -1 and 1")
    wanted = math.log(len(STAKES) / check_level(alpha, "alpha"))
    gains = np.log1p(np.array(STAKES) * margin / (1 - margin))
    # Between what the largest stake alone needs, and what it would need if it held all the wealth.
    low, high = math.ceil((wanted - math.log(len(STAKES))) / gains[-1]), math.ceil(wanted / gains[-1])
    if high > MAX_TRIALS:
        raise PlanError("this margin is too small to be shown by any number of entities that a run could take")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if np.logaddexp.reduce(middle * gains) >= wanted else (middle + 1, high)
    return max(1, high)
