"""Weights that keep as many claims as possible at the guarantee, instead of predicting labels as well as possible.

The share of claims above the conformal threshold is smoothed and climbed: the threshold becomes a kernel-weighted mean of the
conformity scores around the wanted rank, "above" a logistic step. Idea of boosting through the conformal procedure: Cherian,
Gibbs and Candes, arXiv 2406.09714, section 4; here without inner splits, for any loss of `losses`, at several levels at once, and
pulled towards the weights it starts from, since a tenth of the outputs decides where the threshold lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable
from conformal.errors import LedgerError
from conformal.levels import marginal_rank
from conformal.losses import Loss

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Objective = Literal["outputs", "claims", "balanced"]
OBJECTIVES: tuple[Objective, ...] = ("balanced", "outputs", "claims")
STEPS = 80
LEARNING_RATE = 0.03
RANK_BANDWIDTH = 0.02
STEP_WIDTH = 0.3
# Levels beside the wanted one, as factors: where to climb, and where to count when choosing. The wanted level alone hangs on a
# handful of outputs.
CLIMBED = (Fraction(3, 5), Fraction(1), Fraction(7, 5))
COUNTED = tuple(Fraction(tenths, 10) for tenths in (4, 6, 8, 10, 12, 14, 16, 20))


@dataclass(frozen=True)
class Goal:
    """What is to be large: the share of claims kept at levels around `alpha` under `loss`.

    `objective`: "outputs" counts every output alike (the retention that is reported everywhere), "claims" every claim alike,
    "balanced" is the mean of the two, so that long outputs are not given up for short ones.
    """

    loss: Loss
    alpha: Fraction
    objective: Objective = "balanced"

    def levels(self, factors: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        return tuple(min(self.alpha * factor, (1 + self.alpha) / 2) for factor in factors)

    def claim_weights(self, table: ClaimTable) -> Floats:
        """What keeping each claim is worth (m); keeping all is worth 1."""
        sizes = np.diff(table.offsets)
        by_output = 1 / (np.maximum(sizes, 1)[table.owners] * max(int((sizes > 0).sum()), 1))
        by_claim = np.full(table.n_claims, 1 / max(table.n_claims, 1))
        if self.objective == "outputs":
            return np.asarray(by_output)
        return by_claim if self.objective == "claims" else np.asarray((by_output + by_claim) / 2)

    def kept(self, table: ClaimTable, truth: Bools, scores: Floats) -> float:
        """The share kept on these outputs at the thresholds of these outputs, mean over the levels: for choosing, not proof."""
        conformity, worth = np.sort(self.loss.conformity(table, scores, truth)), self.claim_weights(table)
        ranks = [marginal_rank(table.n_outputs, alpha) for alpha in self.levels(COUNTED)]
        return float(np.mean([0.0 if k is None else worth[scores > conformity[k - 1]].sum() for k in ranks]))


def climb(
    table: ClaimTable, features: Floats, truth: Bools, goal: Goal, start: Floats, pull: float, steps: int = STEPS
) -> Floats:
    """Weights (p) that raise the smoothed goal from `start`, minus pull / 2 |w - start|^2 (both scaled to length 1).

    Raises LedgerError where every output satisfies the loss with all its claims: nothing is left to gain.
    """
    length = float(np.linalg.norm(start))
    if length == 0:
        return start
    start = start / length
    weights, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    worth, targets = goal.claim_weights(table), [float(1 - alpha) for alpha in goal.levels(CLIMBED)]
    for step in range(1, steps + 1):
        slope = _slope(table, features, truth, goal.loss, weights, worth, targets) - pull * (weights - start)
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        rate = LEARNING_RATE * (1 - (step - 1) / steps)
        weights = weights + rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-6)
    return weights


def _slope(
    table: ClaimTable, features: Floats, truth: Bools, loss: Loss, weights: Floats, worth: Floats, targets: list[float]
) -> Floats:
    scores = features @ weights
    conformity = loss.conformity(table, scores, truth)
    deciding = _deciding_claims(table, scores, conformity)
    if not len(deciding):
        raise LedgerError("no output to fit on breaks the statement when all its claims are kept; there is nothing to learn")
    deciding = deciding[np.argsort(scores[deciding], kind="stable")]
    ordered, n = scores[deciding], table.n_outputs
    width = max(STEP_WIDTH * float(scores.std()), 1e-12)
    total = np.zeros_like(weights)
    for target in targets:
        place = (n + 1) * target - 1 - (n - len(ordered))
        near = np.exp(-0.5 * ((np.arange(len(ordered)) - place) / max(RANK_BANDWIDTH * n, 1.0)) ** 2)
        if near.sum() < 1e-12:  # the level lies below the base rate: everything is kept already
            continue
        near /= near.sum()
        above = _logistic((scores - near @ ordered) / width)
        lever = above * (1 - above) / width * worth
        total += features.T @ lever - lever.sum() * (near @ features[deciding])
    return total / len(targets)


def _deciding_claims(table: ClaimTable, scores: Floats, conformity: Floats) -> npt.NDArray[np.int64]:
    """One claim for every output whose conformity score is finite: the first whose score it is."""
    hits = np.flatnonzero(scores == conformity[table.owners])
    _, first = np.unique(table.owners[hits], return_index=True)
    return np.asarray(hits[first], dtype=np.int64)


def _logistic(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))


def smallest_fit(alpha: Fraction) -> int:
    """Fewest outputs with a finite threshold at the lowest of the levels that are climbed."""
    return math.ceil(1 / (alpha * min(COUNTED))) - 1
