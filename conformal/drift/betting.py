"""Bets against uniform p-values: each multiplies the wealth by a factor whose mean under uniformity is 1.

Under exchangeability the conformal p-values of a stream are independent and uniform, so the wealth is a martingale that starts
at 1, and by Ville's inequality it ever reaches 1 / level with probability at most `level`, whatever the bet learnt on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from conformal.errors import LevelError

SLOPES = (-1.0, -0.5, 0.0, 0.5, 1.0)
JUMP = 0.01
BINS = 10
PRIOR = 5.0
FORGET = 0.995


class Bet(Protocol):
    """A betting strategy; what it does next depends only on p-values it has seen."""

    def factor(self, p: float) -> float:
        """The factor of this p-value (0 to 1), after which the strategy has learnt it."""
        ...


class SimpleJumper:
    """Slopes 1 + e (p - 1/2), e in SLOPES, whose capital moves: a share JUMP of all is dealt out evenly before every bet.

    Vovk et al., "Retrain or not retrain: conformal test martingales for change-point detection" (arXiv 2102.10439), section 4.
    """

    def __init__(self) -> None:
        self._capital = [1.0 / len(SLOPES)] * len(SLOPES)

    def factor(self, p: float) -> float:
        even = JUMP / len(SLOPES)
        capital = [((1 - JUMP) * c + even) * (1 + e * (p - 0.5)) for c, e in zip(self._capital, SLOPES)]
        total = sum(capital)
        self._capital = [c / total for c in capital]
        return total


class Histogram:
    """Plug-in bet: the density of the p-values so far, BINS wide steps with PRIOR pseudo-counts a step, older ones fading.

    Finds changes of shape that leave the mean of p where it is. Fedorova et al., arXiv 1204.3251, with a histogram in place of
    their kernel estimate: it integrates to 1 exactly.
    """

    def __init__(self) -> None:
        self._counts = [PRIOR] * BINS

    def factor(self, p: float) -> float:
        place = min(BINS - 1, int(p * BINS))
        found = BINS * self._counts[place] / sum(self._counts)
        self._counts = [PRIOR + FORGET * (c - PRIOR) for c in self._counts]
        self._counts[place] += 1
        return found


class Mixture:
    """Half of the capital on each of the other two, never rebalanced: at most log 2 behind the better one."""

    def __init__(self) -> None:
        self._bets: tuple[Bet, ...] = (SimpleJumper(), Histogram())
        self._shares = [1.0 / len(self._bets)] * len(self._bets)

    def factor(self, p: float) -> float:
        grown = [share * bet.factor(p) for share, bet in zip(self._shares, self._bets)]
        total = sum(grown)
        self._shares = [share / total for share in grown]
        return total


_BETS: dict[str, Callable[[], Bet]] = {"jumper": SimpleJumper, "histogram": Histogram, "mixture": Mixture}
BETS = tuple(_BETS)


def open_bet(name: str) -> Bet:
    """A fresh strategy of that name. Raises LevelError for an unknown one."""
    if name not in _BETS:
        raise LevelError(f"a betting strategy is one of {', '.join(BETS)}, not {name[:40]!r}")
    return _BETS[name]()
