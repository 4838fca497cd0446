"""Back ends that list only the k best tokens: bounds on a log-likelihood, and from them bounds on a p-value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.errors import ScoreError
from privacy.statistics.scores import as_scores

# Listed probabilities are rounded by the back ends; more than this above 1 is no distribution.
_SLACK = 1e-3


def missing_token_bound(listed: npt.ArrayLike) -> float:
    """Upper bound of the log-probability of a token that is not among the listed ones: min(smallest listed, 1 - sum listed).

    -inf where the listed ones hold all the probability. Raises ScoreError where they sum to more than 1.
    """
    values = as_scores(listed, "listed log-probabilities")
    total = float(np.exp(values).sum())
    if (values > _SLACK).any() or total > 1 + _SLACK:
        raise ScoreError("listed log-probabilities sum to more than 1")
    left = 1 - total
    return min(float(values.min()), math.log(left)) if left > 0 else -math.inf


@dataclass(frozen=True)
class PInterval:
    """p_min <= p <= p_max whatever the unlisted probabilities are. A verdict uses p_max."""

    p_min: float
    p_max: float


def censored_p_value(target: tuple[float, float], lows: npt.ArrayLike, highs: npt.ArrayLike) -> PInterval:
    """Bounds of (1 + #{null >= target}) / (N + 1) from bounds of every score. A low may be -inf (a token was not listed)."""
    low, high = float(target[0]), float(target[1])
    lower, upper = np.asarray(lows, dtype=np.float64), np.asarray(highs, dtype=np.float64)
    if lower.ndim != 1 or lower.shape != upper.shape or lower.size == 0:
        raise ScoreError("null bounds need one low and one high for each of at least one null")
    every_low, every_high = np.append(lower, low), np.append(upper, high)
    if np.isnan(every_low).any() or np.isnan(every_high).any() or np.isposinf(every_high).any():
        raise ScoreError("bounds of scores hold NaN or infinity")
    if (every_low > every_high).any():
        raise ScoreError("a lower bound of a score is above its upper bound")
    n = lower.size
    return PInterval((1 + int((lower >= high).sum())) / (n + 1), (1 + int((upper >= low).sum())) / (n + 1))
