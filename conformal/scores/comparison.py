"""Every score under the same guarantee: one part of the outputs fits, one calibrates, one is filtered and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from conformal.calibration import find_threshold
from conformal.claims import ClaimTable
from conformal.errors import LedgerError
from conformal.labels import PUBLISHED_POLICY, LabelPolicy
from conformal.losses import ALL_TRUE, Loss, kept_claims
from conformal.scores.boosting import Objective
from conformal.scores.features import finite_score
from conformal.scores.fitted import FittedScore
from conformal.scores.fitting import METHODS, Method, fit_score

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
FIT_SHARE = 0.1
CALIBRATION_SHARE = 0.63


@dataclass(frozen=True)
class Split:
    """Indices of outputs, disjoint."""

    fit: Rows
    calibrate: Rows
    test: Rows

    @classmethod
    def draw(cls, n: int, seed: int, fit: float = FIT_SHARE, calibrate: float = CALIBRATION_SHARE) -> Split:
        """A random split of n outputs; the rest is the test part. Raises LedgerError when a part would be empty."""
        if not (0 < fit < 1 and 0 < calibrate < 1 and fit + calibrate < 1):
            raise LedgerError(
                f"the shares to fit and to calibrate must be positive and leave outputs to test, not {fit}, {calibrate}"
            )
        order = np.random.default_rng(seed).permutation(n)
        first, second = int(n * fit), int(n * (fit + calibrate))
        if not 0 < first < second < n:
            raise LedgerError(f"{n} outputs are too few to be split into parts that fit, calibrate and test")
        return cls(np.sort(order[:first]), np.sort(order[first:second]), np.sort(order[second:]))


@dataclass(frozen=True)
class Kept:
    """One score at one level on the test part, means over the splits. `retention`: mean share of claims kept an output;
    `claims`: share of all claims kept; `empty`: share of outputs left without a claim; `holds`: share on which the statement
    held (at least 1 - alpha in expectation for every score). `each` has the retention of every split."""

    score: str
    alpha: Fraction
    retention: float
    claims: float
    empty: float
    holds: float
    each: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "alpha": str(self.alpha), "each": list(self.each)}


def compare_scores(
    table: ClaimTable,
    scores: Sequence[str],
    alphas: Sequence[Fraction],
    methods: Sequence[Method] = METHODS,
    loss: Loss = ALL_TRUE,
    policy: LabelPolicy = PUBLISHED_POLICY,
    splits: int = 1,
    seed: int = 0,
    shares: tuple[float, float] = (FIT_SHARE, CALIBRATION_SHARE),
    objective: Objective = "balanced",
    inputs: Sequence[str] | None = None,
) -> list[Kept]:
    """Named scores and blends of `inputs` (default: `scores`) at every level, calibrated and tested on the same outputs.

    Blends are fitted anew in every split, at the first of the levels, on the fitting part alone. Raises LedgerError, and
    GuaranteeError where an output of the fitting part comes back in another part.
    """
    truth = table.truth(policy)
    named = {name: finite_score(table, name) for name in scores}
    conformity = {name: loss.conformity(table, values, truth) for name, values in named.items()}
    found: dict[tuple[str, Fraction], list[tuple[float, float, float, float]]] = {}
    for number in range(splits):
        split = Split.draw(table.n_outputs, seed + number, *shares)
        part = table.select(split.fit)
        used = dict(named)
        for method in methods:
            fitted = fit_score(part, inputs or scores, method, alphas[0], loss, objective, policy, seed + number)
            used[method] = _fresh_scores(fitted, table, split)
            conformity[method] = loss.conformity(table, used[method], truth)
        for name, values in used.items():
            for alpha in alphas:
                q = find_threshold(conformity[name][split.calibrate], alpha).value
                kept = kept_claims(values, q, ">")
                found.setdefault((name, alpha), []).append(_count(table, kept, loss.holds(table, kept, truth), split.test))
    return [_mean(name, alpha, rows) for (name, alpha), rows in found.items()]


def _mean(name: str, alpha: Fraction, rows: list[tuple[float, float, float, float]]) -> Kept:
    retention, claims, empty, holds = np.mean(rows, axis=0).tolist()
    return Kept(name, alpha, retention, claims, empty, holds, tuple(row[0] for row in rows))


def _fresh_scores(fitted: FittedScore, table: ClaimTable, split: Split) -> Floats:
    fitted.check_fresh(table.select(np.concatenate([split.calibrate, split.test])))
    return fitted(table)


def _count(
    table: ClaimTable, kept: npt.NDArray[np.bool_], holds: npt.NDArray[np.bool_], rows: Rows
) -> tuple[float, float, float, float]:
    counts = np.bincount(table.owners, weights=kept, minlength=table.n_outputs)[rows]
    sizes = np.diff(table.offsets)[rows]
    shares = np.where(sizes > 0, counts / np.maximum(sizes, 1), 1.0)
    empty = float(((counts == 0) & (sizes > 0)).mean())
    return float(shares.mean()), float(counts.sum() / max(sizes.sum(), 1)), empty, float(holds[rows].mean())
