"""Levels chosen after the fact. The plain threshold holds for a level fixed beforehand; picked off the retention curve, it does
not. Two ways keep a guarantee:

- e-values, for levels out of a menu declared before calibration: E[1{failure} / alpha~] <= 1 for any rule that picks alpha~,
  even from the answer in hand (Gauthier, Bach & Jordan, arXiv 2503.13050; Grunwald, arXiv 2205.00901);
- a simultaneous band: with probability 1 - delta over the calibration set, the coverage of every threshold is at least its
  bound, so any level may be read off later (Dvoretzky-Kiefer-Wolfowitz with Massart's constant, or order statistics).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from conformal.errors import GuaranteeError, LedgerError, LevelError
from conformal.posthoc_band import berk_jones_bounds, never_below

Floats = npt.NDArray[np.float64]
Band = Literal["order-statistics", "dkw"]
MAX_LEVELS = 1000
MAX_ORDER_STATISTICS = 3000
_SEARCH_STEPS = 14


@dataclass(frozen=True)
class EValueThresholds:
    """A threshold for every level of the menu. `price` = 1 + sum of (a_l - a_(l-1)) / a_l over the levels after the first: each
    level pays with a threshold about as strict as that of a plain guarantee at alpha / price."""

    thresholds: Mapping[Fraction, float]
    price: Fraction
    n: int

    def threshold(self, alpha: Fraction) -> float:
        """Raises GuaranteeError for a level that is not in the menu."""
        if alpha not in self.thresholds:
            menu = ", ".join(str(level) for level in self.thresholds)
            raise GuaranteeError(f"the level {alpha} was not declared before calibration; the menu is {menu}")
        return self.thresholds[alpha]


def calibrate_menu(conformity: Floats, menu: Sequence[Fraction]) -> EValueThresholds:
    """Thresholds (keep score > threshold) that stay valid whichever level of the menu is picked, when and why ever.

    Let j be 1 plus the number of calibration scores at least as high as the fresh one. The e-value is 1 / a_l for
    J_(l-1) < j <= J_l and 0 beyond, with the J_l of `menu_places`: over the n + 1 equally likely places its mean is at most 1,
    and ties only lower it. The threshold of a_l is the J_l-th largest score: failing there means j <= J_l, hence an e-value of
    at least 1 / a_l. With one level this is the plain conformal threshold. Raises LevelError for a bad menu, LedgerError for no
    scores.
    """
    levels = sorted(set(menu))
    if not 0 < len(levels) <= MAX_LEVELS or len(levels) != len(menu) or not all(0 < level < 1 for level in levels):
        raise LevelError(f"a menu holds 1 to {MAX_LEVELS} different levels, each strictly between 0 and 1")
    _check_scores(conformity)
    n, descending = len(conformity), np.sort(conformity)[::-1]
    price = 1 + sum(((high - low) / high for low, high in pairwise(levels)), Fraction(0))
    places = menu_places(n, levels, price)
    thresholds = {a: math.inf if place == 0 else float(descending[place - 1]) for a, place in zip(levels, places)}
    return EValueThresholds(thresholds, price, n)


def menu_places(n: int, levels: Sequence[Fraction], price: Fraction) -> list[int]:
    """J_l for ascending levels: floor((n + 1) a_l / price), then whatever the rounding left over, one place at a time from the
    highest level down. sum of (J_l - J_(l-1)) / a_l <= n + 1 throughout; a function of n and the menu alone."""
    places = [math.floor((n + 1) * level / price) for level in levels]
    most = [math.floor((n + 1) * level) for level in levels]
    left = n + 1 - sum(((here - below) / level for level, below, here in zip(levels, [0, *places], places)), Fraction(0))
    raised = True
    while raised:
        raised = False
        for i in reversed(range(len(levels))):
            last = i == len(levels) - 1
            cost = 1 / levels[i] - (0 if last else 1 / levels[i + 1])
            if cost <= left and places[i] < most[i] and (last or places[i] < places[i + 1]):
                places[i], left, raised = places[i] + 1, left - cost, True
    return places


@dataclass(frozen=True)
class SimultaneousBand:
    """`bounds[k - 1]`: the coverage of the k-th smallest conformity score is at least that, for all k at once, with probability
    1 - delta over the calibration set."""

    kind: Band
    delta: Fraction
    ordered: Floats
    bounds: Floats

    def threshold(self, alpha: Fraction) -> float:
        """The lowest calibrated threshold (keep score > threshold) whose coverage is at least 1 - alpha; +Infinity if none.

        Any number of levels may be asked for, after seeing anything. Raises LevelError outside (0, 1).
        """
        if not 0 < alpha < 1:
            raise LevelError(f"alpha must lie strictly between 0 and 1, not {alpha}")
        enough = np.flatnonzero(self.bounds >= float(1 - alpha))
        return float(self.ordered[enough[0]]) if len(enough) else math.inf

    def coverage_at(self, threshold: float) -> float:
        """The guaranteed coverage of any threshold, whoever chose it."""
        below = int(np.searchsorted(self.ordered, threshold, side="right"))
        return float(self.bounds[below - 1]) if below else 0.0


def calibrate_band(conformity: Floats, delta: Fraction, kind: Band = "order-statistics") -> SimultaneousBand:
    """`dkw`: k / n - sqrt(log(1 / delta) / 2n), equally wide everywhere. `order-statistics`: bounds
    under each that are equally unlikely to fail by Chernoff's bound (Berk & Jones 1979), as high as they can be for all to hold
    with probability 1 - delta, computed exactly; much tighter near coverage 1; up to MAX_ORDER_STATISTICS outputs.

    Raises LevelError, LedgerError.
    """
    if not 0 < delta <= Fraction(1, 2):
        raise LevelError(f"delta lies above 0, up to 1/2, not {delta}")
    _check_scores(conformity)
    n = len(conformity)
    if kind == "dkw":
        bounds = np.maximum(0.0, np.arange(1, n + 1) / n - math.sqrt(-math.log(float(delta)) / (2 * n)))
    elif kind == "order-statistics":
        if n > MAX_ORDER_STATISTICS:
            raise LevelError(f"order statistics are for up to {MAX_ORDER_STATISTICS} outputs, not {n}; take the band dkw")
        bounds = _exact_bounds(n, float(delta))
    else:
        raise LevelError(f"a band is order-statistics or dkw, not {str(kind)[:40]!r}")
    return SimultaneousBand(kind, delta, np.sort(conformity), bounds)


def require_post_hoc(guarantee: EValueThresholds | SimultaneousBand | None) -> EValueThresholds | SimultaneousBand:
    """For a level that was chosen after the curve was seen. Raises GuaranteeError when no guarantee allows it."""
    if guarantee is None:
        raise GuaranteeError(
            "this level was chosen after its retention was seen; the plain threshold guarantees nothing then. Declare a menu of"
            " levels before calibration (e-values), or calibrate a simultaneous band"
        )
    return guarantee


def _exact_bounds(n: int, delta: float) -> Floats:
    """Berk-Jones bounds that all hold at once with probability 1 - delta; by the union bound a divergence of log(n / delta) is
    enough, so the search starts from bounds that are valid and keeps to such."""
    low, high = 0.0, math.log(n / delta)
    bounds = berk_jones_bounds(n, high)
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        found = berk_jones_bounds(n, middle)
        if never_below(found) >= 1 - delta:
            high, bounds = middle, found
        else:
            low = middle
    return bounds


def _check_scores(conformity: Floats) -> None:
    if not len(conformity):
        raise LedgerError("there is no output to calibrate on")
    if np.isnan(conformity).any() or np.isposinf(conformity).any():
        raise LedgerError("a conformity score is a finite number or -Infinity")
