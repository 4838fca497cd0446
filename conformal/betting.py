"""Anytime-valid audits: e-processes that may be watched after every label and stopped at will.

Against an honest vendor. Its certificate rests on a random calibration set, so the null is no fixed coverage: given rank k among
n, the true coverage C is drawn once from Beta(k, n + 1 - k) (from a law that lies above it where scores are tied), and labels are
Bernoulli(C) given C. Under it the next label is right with probability (k + s) / (n + 1 + t) after s right ones in t. The wealth

    W = mean over b' of  B(k + s, b' + f) B(k, b) / (B(k, b') B(k + s, b + f)),     b = n + 1 - k, f = t - s, b' > b

is the likelihood ratio of a mixture of worse laws Beta(k, b') to that null: a martingale with mean 1, so that sup W >= 1/level
has probability at most `level` (Ville). Each density ratio is proportional to (1 - c)^(b' - b) and falls in c; W therefore grows
with the number of wrong labels, and a vendor whose coverage lies stochastically above the Beta law is refuted no more often.

For the vendor. V bets that C exceeds `target`: V <- V (1 + l (x - target)), l >= 0 chosen before x, a supermartingale whenever
C <= target; V >= 1/level accepts "coverage above target".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from conformal.errors import LevelError

SHORTFALLS = (0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.4)
BettingVerdict = Literal["consistent", "refuted", "not-enough-data"]


@dataclass(frozen=True)
class BettingState:
    """Where a sequential audit stands. `stopped_at`: labels after which it was decided; p-values hold at every time."""

    labels: int
    right: int
    verdict: BettingVerdict
    stopped_at: int | None
    p_value: float
    wealth_against: float
    wealth_for: float
    target: float

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


class BettingAudit:
    """Fed with labels one at a time, in an order that does not depend on them."""

    def __init__(self, n: int, rank: int, level: float = 0.05, shortfall: float = 0.05) -> None:
        """`shortfall`: how far below rank / (n + 1) coverage may lie and still be accepted. Raises LevelError."""
        if not 1 <= rank <= n or not 0 < level < 1 or not 0 < shortfall < 1:
            raise LevelError("a betting audit needs 1 <= rank <= n, and a level and a shortfall between 0 and 1")
        self._k, self._b, self._n = rank, n + 1 - rank, n
        self._level, self._target = level, rank / (n + 1) - shortfall
        honest = rank / (n + 1)
        means = [honest - s for s in SHORTFALLS if honest - s > 0] or [honest / 2]
        self._worse = [rank * (1 - mean) / mean for mean in means]
        self._t = self._s = 0
        self._log_for = self._best_against = 0.0
        self._stopped: int | None = None
        self._verdict: BettingVerdict = "not-enough-data"

    def add(self, right: bool) -> BettingVerdict:
        """One more label. The verdict is final once it is reached; later labels are counted and change nothing."""
        self._log_for += self._gain(right)
        self._t += 1
        self._s += right
        against = self.log_wealth_against()
        self._best_against = max(self._best_against, against)
        if self._stopped is None:
            bar = -math.log(self._level)
            if against >= bar:
                self._verdict, self._stopped = "refuted", self._t
            elif self._log_for >= bar:
                self._verdict, self._stopped = "consistent", self._t
        return self._verdict

    def log_wealth_against(self) -> float:
        """log W."""
        k, b, s, f = self._k, self._b, self._s, self._t - self._s
        null = _log_beta(k + s, b + f) - _log_beta(k, b)
        logs = [_log_beta(k + s, worse + f) - _log_beta(k, worse) - null for worse in self._worse]
        top = max(logs)
        return top + math.log(sum(math.exp(x - top) for x in logs) / len(logs))

    def state(self) -> BettingState:
        return BettingState(
            labels=self._t,
            right=self._s,
            verdict=self._verdict,
            stopped_at=self._stopped,
            p_value=math.exp(-self._best_against),
            wealth_against=_bounded_exp(self.log_wealth_against()),
            wealth_for=_bounded_exp(self._log_for),
            target=self._target,
        )

    def _gain(self, right: bool) -> float:
        """log of the factor of V: the likelihood ratio of the predicted coverage to the target, or 0 where that is no better."""
        predicted = (self._k + self._s) / (self._n + 1 + self._t)
        if self._target <= 0 or predicted <= self._target:
            return 0.0
        return math.log(predicted / self._target) if right else math.log((1 - predicted) / (1 - self._target))


def bet(labels: Iterable[bool], n: int, rank: int, level: float = 0.05, shortfall: float = 0.05) -> BettingState:
    """A whole sequence of labels at once."""
    audit = BettingAudit(n, rank, level, shortfall)
    for right in labels:
        audit.add(bool(right))
    return audit.state()


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _bounded_exp(value: float) -> float:
    return math.exp(min(value, 700.0))
