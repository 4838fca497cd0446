"""Judging shares against a bound, several at once: exact intervals at a level that holds for all of them together."""

from __future__ import annotations

from dataclasses import dataclass

LEVEL = 0.05


@dataclass(frozen=True)
class Judged:
    """The interval of one share, and where it lies: `above` or `below` the bound as a whole, neither when it holds the bound."""

    low: float
    high: float
    above: bool
    below: bool

    @property
    def shown(self) -> str:
        return f"{self.low:.3f} to {self.high:.3f}"


def judge_share(hits: int, trials: int, bound: float, together: int) -> Judged:
    """The Clopper-Pearson interval of `hits` of `trials`, one of `together` that shall all hold with 95 %. NumPy on use."""
    from watermark.robustness.intervals import clopper_pearson

    low, high = clopper_pearson(hits, trials, 1 - LEVEL / max(1, together))
    return Judged(low, high, low > bound, high < bound)
