"""E-process on errors: whether a threshold fails more often than its calibration allows for.

Given the calibration set, the error rate of the k-th smallest of n scores is 1 - Beta(k, n + 1 - k) or, with ties, less. With
probability 1 - s it is at most p0, the upper s-quantile; then every bet 1 + b (error - p0) has mean at most 1.
"""

from __future__ import annotations

import math

from conformal.laws import beta_quantile

BETS_ON_ERRORS = (0.25, 0.5, 1.0, 2.0, 4.0)
SLACK_SHARE = 0.2


class ErrorProcess:
    """Mean wealth of BETS_ON_ERRORS (those below 1 / p0), for a threshold of rank `rank` among `n`, None if it abstains always.

    The bound p0 is missed with probability s = level / 5, so the alarm is at 1 / (level - s): the chance of a false alarm is at
    most `level` over calibration and stream together. (The reference takes 1 / level and lets the two add up.)
    """

    def __init__(self, n: int, rank: int | None, level: float) -> None:
        slack = SLACK_SHARE * level
        self.base_rate = 0.0 if rank is None else 1 - beta_quantile(rank, n, slack)
        self.alarm_at = -math.log(level - slack)
        usable = [b for b in BETS_ON_ERRORS if b * self.base_rate < 1]
        self._bets = dict.fromkeys(usable, 0.0)
        self.log_wealth = 0.0

    def feed(self, error: bool) -> float:
        """The logarithm of the mean wealth after this output."""
        for bet in self._bets:
            self._bets[bet] += math.log1p(bet * (error - self.base_rate))
        top = max(self._bets.values())
        self.log_wealth = top + math.log(sum(math.exp(w - top) for w in self._bets.values()) / len(self._bets))
        return self.log_wealth
