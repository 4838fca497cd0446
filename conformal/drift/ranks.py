"""Conformal martingale on conformity scores: ranks of new scores among all earlier ones, and a bet that they are not uniform.

Ranks see a shift that error flags miss: errors are rare by design, while r moves with every output (design 5.5: 99 % of shifts
found against 22 %). Source: Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", chapter 8; arXiv 2102.10439.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from conformal.drift.betting import open_bet

_DOMAIN = "assay drift tie-break"


def tie_break(seed: int, index: int) -> float:
    """The uniform number in [0, 1) that places output `index` among its ties: a hash, so that anyone can replay it."""
    digest = hashlib.sha256(f"{_DOMAIN}|{seed}|{index}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


class ScorePool:
    """Conformity scores in ascending order, growing. `smoothed_p` is uniform for a score exchangeable with the pool."""

    def __init__(self, scores: Iterable[float]) -> None:
        self._ordered = sorted(scores)

    def __len__(self) -> int:
        return len(self._ordered)

    def smallest(self, rank: int) -> float:
        """The rank-th smallest score, 1 to len."""
        return self._ordered[rank - 1]

    def smoothed_p(self, score: float, uniform: float) -> float:
        """(#{pool > score} + U (#{pool = score} + 1)) / (N + 1): small where the score is higher than usual."""
        above = len(self._ordered) - bisect_right(self._ordered, score)
        equal = len(self._ordered) - above - bisect_left(self._ordered, score)
        return (above + uniform * (equal + 1)) / (len(self._ordered) + 1)

    def add(self, score: float) -> None:
        insort(self._ordered, score)


class RankMartingale:
    """Wealth (as a logarithm) of a bet against p-values. `alarm_at` is log(1 / level); Ville's inequality holds at any time."""

    def __init__(self, bet: str, level: float) -> None:
        self._bet = open_bet(bet)
        self.alarm_at = -math.log(level)
        self.log_wealth = 0.0

    def feed(self, p: float) -> float:
        """The logarithm of the wealth after this p-value."""
        self.log_wealth += math.log(self._bet.factor(p))
        return self.log_wealth
