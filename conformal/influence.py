"""How much one label matters: the threshold and the retention when a single label is flipped, for every label in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from conformal.calibration import Calibrator, Summary
from conformal.claims import ClaimTable

POINTS = 0.05


@dataclass(frozen=True)
class Influence:
    """Over all single flips at one level: range of threshold and of the share removed (leave-one-out), and how many flips
    move that share by more than POINTS."""

    threshold_range: tuple[float, float]
    removed: float
    removed_range: tuple[float, float]
    share_moving: float
    worst: tuple[str, int]

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "threshold_range": [str(v) if np.isinf(v) else v for v in self.threshold_range]}


def label_influence(calibrator: Calibrator, alpha: Fraction) -> Influence:
    """Flip every label once. Only the flipped output's conformity score changes, so the cost is one sort a flip."""
    table = calibrator.table
    base = 1 - calibrator.leave_one_out(alpha).retention
    removed, thresholds = np.empty(table.n_claims), np.empty(table.n_claims)
    for claim in range(table.n_claims):
        flipped = _flip(calibrator, claim)
        removed[claim] = 1 - flipped.leave_one_out(alpha).retention
        thresholds[claim] = flipped.threshold(alpha).value
    worst = int(np.abs(removed - base).argmax()) if table.n_claims else 0
    owner = int(np.searchsorted(table.offsets, worst, side="right") - 1)
    return Influence(
        threshold_range=(float(thresholds.min()), float(thresholds.max())),
        removed=base,
        removed_range=(float(removed.min()), float(removed.max())),
        share_moving=float((np.abs(removed - base) > POINTS).mean()),
        worst=(table.ids[owner], worst - int(table.offsets[owner])),
    )


def _flip(calibrator: Calibrator, claim: int) -> Calibrator:
    truth = calibrator.truth.copy()
    truth[claim] = not truth[claim]
    owner = int(np.searchsorted(calibrator.table.offsets, claim, side="right") - 1)
    low, high = calibrator.table.offsets[owner], calibrator.table.offsets[owner + 1]
    alone = ClaimTable((calibrator.table.ids[owner],), np.array([0, high - low]), {}, None, (None,))
    conformity = calibrator.conformity.copy()
    conformity[owner] = calibrator.loss.conformity(alone, calibrator.scores[low:high], truth[low:high])[0]
    return replace(calibrator, truth=truth, conformity=conformity)


def noise_influence(calibrator: Calibrator, alpha: Fraction, rate: float, draws: int = 200, seed: int = 0) -> tuple[float, float]:
    """The 5 % and 95 % quantiles of the share removed (leave-one-out) when every label is wrong with probability `rate`."""
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(draws):
        truth = calibrator.truth ^ (rng.random(len(calibrator.truth)) < rate)
        conformity = calibrator.loss.conformity(calibrator.table, calibrator.scores, truth)
        found: Summary = replace(calibrator, truth=truth, conformity=conformity).leave_one_out(alpha)
        shares.append(1 - found.retention)
    return float(np.quantile(shares, 0.05)), float(np.quantile(shares, 0.95))
