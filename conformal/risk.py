"""Conformal risk control: the lowest threshold whose expected loss on a fresh output is at most alpha.

Angelopoulos et al., arXiv 2208.02814, theorem 1: for exchangeable losses that fall as the threshold rises, bounded by B, the
lowest threshold with (n R + B) / (n + 1) <= alpha, R the mean calibration loss, has E[loss] <= alpha over calibration set and
output together. The condition is evaluated in exact rational arithmetic. Claims are kept when score > threshold. A loss that
does not fall is replaced by its upper envelope over all higher thresholds, as the paper's section 2.4 suggests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable
from conformal.errors import LedgerError, LevelError
from conformal.risk_losses import BoundedLoss, Floats, Ints, Prefixes

EXACT_BELOW = 1 << 26
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Feasibility:
    """Whether n labels can carry a level at all: below `smallest_n` everything is withheld, whatever the labels say."""

    feasible: bool
    smallest_n: int
    reason: str


def check_feasibility(n: int, alpha: Fraction, loss: BoundedLoss) -> Feasibility:
    """To be asked before labels are paid for: B / (n + 1) > alpha means that every output is withheld. Raises LevelError for
    an alpha that even keeping nothing can break."""
    if n < 0 or alpha <= 0:
        raise LevelError(f"risk control needs n >= 0 and alpha > 0, not {n} and {alpha}")
    if loss.abstention > alpha:
        raise LevelError(
            f"{loss.name}: keeping nothing costs up to {loss.abstention}, above the level {alpha}; no threshold can promise it"
        )
    smallest = max(0, math.ceil(loss.bound / alpha) - 1)
    if n < smallest:
        return Feasibility(False, smallest, f"{loss.bound} / ({n} + 1) exceeds {alpha}: every output would be withheld")
    return Feasibility(True, smallest, f"{loss.bound} / ({n} + 1) is at most {alpha}")


def least_withheld(base_risk: Fraction, alpha: Fraction) -> Fraction:
    """The share of outputs that any method must withhold when it can only keep or withhold whole ones, of mean loss `base_risk`
    (bound 1), and those kept shall have mean loss alpha: (base_risk - alpha) / (1 - alpha). arXiv 2606.29054."""
    if not 0 <= base_risk <= 1 or not 0 < alpha < 1:
        raise LevelError("the base risk lies in 0 .. 1 and alpha strictly between")
    return max(Fraction(0), (base_risk - alpha) / (1 - alpha))


@dataclass(frozen=True)
class RiskThreshold:
    """Keep score > `value`. `empirical` is the mean (envelope) loss on the calibration set there, `controlled` the corrected
    (n R + B) / (n + 1) <= alpha. `abstains_always`: n too small, `value` is +Infinity."""

    alpha: Fraction
    loss: str
    bound: Fraction
    n: int
    value: float
    empirical: Fraction
    controlled: Fraction
    abstains_always: bool

    def to_json(self) -> dict[str, Any]:
        """Ratios as text, exact; an infinite threshold as "Infinity" or "-Infinity"."""
        value = self.value if math.isfinite(self.value) else ("Infinity" if self.value > 0 else "-Infinity")
        exact = {name: str(getattr(self, name)) for name in ("alpha", "bound", "empirical", "controlled")}
        return {**self.__dict__, **exact, "value": value}


class LossCurves:
    """The loss of every output at every threshold, computed once, exact. `envelope`: its maximum over all higher thresholds."""

    def __init__(self, loss: BoundedLoss, table: ClaimTable, scores: Floats, truth: Bools, envelope: bool = True) -> None:
        """Raises LedgerError without outputs, or for a loss that leaves its bounds."""
        if table.n_outputs == 0:
            raise LedgerError("there is no output to control the risk on")
        self._prefixes = prefixes = Prefixes.build(table, scores, truth)
        numerators, denominators = loss.ratios(prefixes)
        if denominators.min() < 1 or numerators.min() < 0 or max(numerators.max(), denominators.max()) >= EXACT_BELOW:
            raise LedgerError(f"{loss.name}: a loss is a ratio of whole numbers from 0 (below the line: 1) to {EXACT_BELOW - 1}")
        # Quotients of whole numbers below 2^26 round to different floats where they differ at all, so floats may order them.
        values, first, codes = np.unique(numerators / denominators, return_index=True, return_inverse=True)
        if values[-1] > float(loss.bound):
            raise LedgerError(f"{loss.name} exceeds its bound {loss.bound}: {values[-1]}")
        if envelope:
            shifted = np.where(prefixes.cuts, codes, -1) + 1 + prefixes.owners * (len(values) + 1)
            codes = np.maximum.accumulate(shifted) - 1 - prefixes.owners * (len(values) + 1)
        self._codes: Ints = np.asarray(codes, dtype=np.int64)
        self._numerators, self._denominators = numerators[first], denominators[first]
        self._ordered = np.sort(scores)
        self.n = table.n_outputs

    @property
    def candidates(self) -> Floats:
        """The thresholds at which anything changes, ascending: -Infinity and every score."""
        return np.concatenate([[-np.inf], np.unique(self._ordered)])

    def total(self, threshold: float) -> Fraction:
        """The sum of the losses at a threshold."""
        table, kept = self._prefixes.table, self._prefixes.scores > threshold
        counts = np.bincount(table.owners, weights=kept, minlength=self.n).astype(np.int64)
        chosen = np.bincount(self._codes[self._prefixes.starts[:-1] + counts], minlength=len(self._numerators))
        total = Fraction(0)
        for denominator in np.unique(self._denominators[chosen > 0]).tolist():
            same = self._denominators == denominator
            total += Fraction(int((chosen[same] * self._numerators[same]).sum()), denominator)
        return total


def control_risk(loss: BoundedLoss, table: ClaimTable, scores: Floats, truth: Bools, alpha: Fraction) -> RiskThreshold:
    """The threshold of one level. Raises LevelError for a level that keeping nothing can break, LedgerError for bad tables."""
    curves = LossCurves(loss, table, scores, truth)
    return find_risk_threshold(curves, loss, alpha)


def find_risk_threshold(curves: LossCurves, loss: BoundedLoss, alpha: Fraction) -> RiskThreshold:
    """The same from curves made once for many levels."""
    n = curves.n
    if not check_feasibility(n, alpha, loss).feasible:
        return RiskThreshold(alpha, loss.name, loss.bound, n, math.inf, loss.abstention, loss.abstention, True)
    candidates = curves.candidates
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if curves.total(float(candidates[middle])) + loss.bound <= alpha * (n + 1):
            high = middle
        else:
            low = middle + 1
    total = curves.total(float(candidates[low]))
    if total + loss.bound > alpha * (n + 1):
        return RiskThreshold(alpha, loss.name, loss.bound, n, math.inf, total / n, (total + loss.bound) / (n + 1), True)
    return RiskThreshold(
        alpha, loss.name, loss.bound, n, float(candidates[low]), total / n, (total + loss.bound) / (n + 1), False
    )


def measure_risk(loss: BoundedLoss, table: ClaimTable, scores: Floats, truth: Bools, threshold: float) -> Fraction:
    """The mean loss itself, no envelope, of filtering these outputs at a threshold."""
    curves = LossCurves(loss, table, scores, truth, envelope=False)
    return curves.total(threshold) / curves.n
