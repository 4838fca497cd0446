"""Adaptive conformal inference: the level follows the errors, so that their long-run share keeps to the target under any shift.

Gibbs & Candes, arXiv 2106.00170. After T labelled outputs, whatever the stream: share of errors <= alpha + (alpha + gamma) /
(gamma T). It needs the label of every output, and says nothing about one output by itself.
"""

from __future__ import annotations

from fractions import Fraction

from conformal.drift.ranks import ScorePool
from conformal.levels import marginal_rank
from conformal.losses import Comparator

ZERO, ONE = Fraction(0), Fraction(1)
DEFAULT_STEP = Fraction(1, 50)


def fails(conformity: float, threshold: float, comparator: Comparator) -> bool:
    """Whether the filter at `threshold` breaks the statement on an output of that conformity score."""
    if conformity == float("-inf"):
        return False
    return conformity > threshold or (comparator == ">=" and conformity == threshold)


class AdaptiveLevel:
    """The working level, exact: alpha_(t+1) = min(1, alpha_t + step (alpha - error_t)).

    The reference leaves it unbounded; the cap at 1 keeps the bound (it only lowers the level) and lets the level come down at
    once when a stream that was always right stops being so.
    """

    def __init__(self, alpha: Fraction, step: Fraction = DEFAULT_STEP) -> None:
        self.alpha, self.step, self.current = alpha, step, alpha
        self.errors = self.outputs = 0

    def threshold(self, pool: ScorePool) -> float:
        """The threshold for the next output: +Infinity (abstain) from level 0 down, -Infinity (keep all) at level 1."""
        if self.current <= ZERO:
            return float("inf")
        if self.current >= ONE:
            return float("-inf")
        rank = marginal_rank(len(pool), self.current)
        return float("inf") if rank is None else pool.smallest(rank)

    def feed(self, error: bool) -> None:
        self.outputs += 1
        self.errors += error
        self.current = min(ONE, self.current + self.step * (self.alpha - (ONE if error else ZERO)))

    @property
    def bound(self) -> float:
        """What the share of errors cannot exceed after the outputs so far."""
        if not self.outputs:
            return 1.0
        return float(min(ONE, self.alpha + (self.alpha + self.step) / (self.step * self.outputs)))
