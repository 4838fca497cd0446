"""Two models compared on one metric, by entity: equivalent within a stated margin, different beyond it, or neither shown.

Public, and all that anything said rests on: the number of entities, the rounded mean and deviation of their differences, and
for a metric between 0 and 1 how many differences lie in each hundredth. No entity's own value is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.errors import ScoreError
from privacy.statistics.betting import above_p_value, below_p_value, needed_without_difference
from privacy.statistics.equivalence import MIN_ENTITIES, Outcome, summary_equivalence
from privacy.statistics.scores import Floats, as_scores
from privacy.unlearning.metrics import BOUNDED

BINS = 100
DIGITS, DIGITS_UNBOUNDED = 3, 2
POWER = 0.8
_ZERO = 1e-6
"""Differences of a probability below this are rounding."""


@dataclass(frozen=True)
class Differences:
    """Paired differences (model minus reference) of one metric, one an entity. `bins`: place k > 0 counts those in
    ((k - 1)/100, k/100], -k those of the other sign, 0 those that are 0; None for a metric without bounds.

    Below MIN_ENTITIES nothing but the number is told (`told`): with both models at hand, the difference of one entity tells its
    value from others. For the same reason mean and deviation are rounded, always away from equivalence.
    """

    n: int
    mean: float
    deviation: float
    bins: Mapping[int, int] | None

    @classmethod
    def measure(cls, model: npt.ArrayLike, reference: npt.ArrayLike, bounded: bool) -> Differences:
        """From one value an entity, the same entities in the same order. Raises ScoreError."""
        ours, theirs = as_scores(model, "metric of the model"), as_scores(reference, "metric of the reference")
        if ours.shape != theirs.shape:
            raise ScoreError("paired metrics need the same entities in both models")
        found = ours - theirs
        if bounded and (np.abs(found) > 1 + 1e-9).any():
            raise ScoreError("differences of a metric between 0 and 1 lie between -1 and 1")
        if found.size < MIN_ENTITIES:
            return cls(found.size, 0.0, 0.0, None)
        digits = DIGITS if bounded else DIGITS_UNBOUNDED
        mean, deviation = _round_up(float(found.mean()), digits), _round_up(float(found.std(ddof=1)), digits)
        if not bounded:
            return cls(found.size, mean, deviation, None)
        places = np.where(np.abs(found) < _ZERO, 0, np.sign(found) * np.ceil(np.abs(found) * BINS - 1e-9)).astype(int)
        places = np.clip(places, -BINS, BINS)
        bins = {int(place): int(count) for place, count in zip(*np.unique(places, return_counts=True))}
        return cls(found.size, mean, deviation, bins)

    @property
    def told(self) -> bool:
        """Whether there are enough entities for more than their number to be told."""
        return self.n >= MIN_ENTITIES

    @property
    def upper(self) -> Floats:
        """The largest differences that fit the bins: what a statement "below" rests on."""
        return self._edges(0)

    @property
    def lower(self) -> Floats:
        return self._edges(-1)

    def _edges(self, side: int) -> Floats:
        rows = [(k + (side if k > 0 else side + 1 if k < 0 else 0)) / BINS for k in self.bins or () for _ in range(self.bins[k])]  # type: ignore[index]
        return np.asarray(rows, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        if not self.told:
            return {"n": self.n, "mean": None, "deviation": None, "bins": None}
        bins = None if self.bins is None else {str(k): self.bins[k] for k in sorted(self.bins)}
        return {"n": self.n, "mean": self.mean, "deviation": self.deviation, "bins": bins}


def _round_up(value: float, digits: int) -> float:
    """Away from 0; what is less than a billionth off a round number is that number."""
    step = 10.0**-digits
    return round(math.copysign(math.ceil(abs(value) / step - 1e-9 / step) * step, value), digits) + 0.0


@dataclass(frozen=True)
class Comparison:
    """What the differences of one metric show at level alpha.

    `interval`: the 1 - 2 alpha t interval of the mean (None below MIN_ENTITIES). `p_equivalent`, for bounded metrics: the larger
    of two p-values, of a mean at or beyond either margin, valid for any law. Equivalent needs both: the interval within the
    margin, and that p at most alpha. `p_different`: of a mean within the margin, doubled for its two sides; for unbounded metrics
    from the t law. `needed`: about how many entities would do with this deviation and no difference of the means (power 80 %).
    """

    metric: str
    margin: float
    alpha: float
    differences: Differences
    outcome: Outcome
    interval: tuple[float, float] | None
    p_equivalent: float | None
    p_different: float
    needed: int

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "margin": self.margin,
            **self.differences.to_json(),
            "outcome": self.outcome.value,
            "interval": None if self.interval is None else list(self.interval),
            "p_equivalent": self.p_equivalent,
            "p_different": self.p_different,
            "needed": self.needed,
        }


def compare(metric: str, differences: Differences, margin: float, alpha: float = 0.05) -> Comparison:
    """Raises PlanError for a margin or level out of range."""
    found = summary_equivalence(differences.mean, differences.deviation, differences.n, margin, alpha)
    needed = entities_needed(differences.deviation, margin, alpha, metric in BOUNDED)
    exact, p_different = None, 0.5
    if not differences.told:
        pass
    elif differences.bins is None:
        p_different = _t_p_different(differences, margin)
    else:
        exact = max(below_p_value(differences.upper, margin), above_p_value(differences.lower, -margin))
        p_different = min(above_p_value(differences.lower, margin), below_p_value(differences.upper, -margin))
    p_different = min(1.0, 2 * p_different)
    if found.interval is None:
        outcome = Outcome.INCONCLUSIVE
    elif found.outcome is Outcome.EQUIVALENT and (exact is None or exact <= alpha):
        outcome = Outcome.EQUIVALENT
    elif p_different <= alpha:
        outcome = Outcome.DIFFERENT
    else:
        outcome = Outcome.INCONCLUSIVE
    return Comparison(metric, margin, alpha, differences, outcome, found.interval, exact, p_different, needed)


def _t_p_different(differences: Differences, margin: float) -> float:
    """One-sided: of a mean at the nearer margin."""
    beyond = abs(differences.mean) - 10.0**-DIGITS_UNBOUNDED - margin  # the mean was rounded up
    if beyond <= 0:
        return 1.0
    from scipy.special import stdtr

    error = differences.deviation / differences.n**0.5
    return float(stdtr(differences.n - 1, -beyond / error)) if error > 0 else 0.0


def entities_needed(deviation: float, margin: float, alpha: float, bounded: bool) -> int:
    """About how many entities show equivalence with power 80 % where the means do not differ (Chow, Shao & Wang 2008, 3.1), and
    at least as many as show it where no entity differs."""
    normal = NormalDist()
    spread = (normal.inv_cdf(1 - alpha) + normal.inv_cdf((1 + POWER) / 2)) * deviation / margin
    least = needed_without_difference(margin, alpha) if bounded and margin < 1 else MIN_ENTITIES
    return max(MIN_ENTITIES, least, math.ceil(min(spread**2, 1e9)) + 1)
