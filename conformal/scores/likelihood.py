"""Blends fitted to the labels alone: ridge logistic regression, and isotonic log-odds.

Both estimate how likely a claim is true. That is not what a filter is paid for: it keeps few claims when a handful of false
ones stand high in many outputs, hence `boosting`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from conformal.scores.features import KNOTS, Curve

Floats = npt.NDArray[np.float64]
RIDGE = 10.0
NEWTON_STEPS = 50


def fit_logistic(features: Floats, truth: npt.NDArray[np.bool_], ridge: float = RIDGE) -> Floats:
    """Weights (p) that minimise the log loss of `truth` plus ridge / 2 |w|^2, with a free intercept that is dropped: it moves
    no ranking. Newton's method with halved steps."""
    m, p = features.shape
    design = np.column_stack([features, np.ones(m)])
    penalty = np.append(np.full(p, ridge), 1e-6)
    weights = np.zeros(p + 1)
    share = np.clip(truth.mean(), 1 / (m + 2), 1 - 1 / (m + 2))
    weights[-1] = np.log(share / (1 - share))
    value = _penalised_loss(design, truth, weights, penalty)
    for _ in range(NEWTON_STEPS):
        chance = sigmoid(design @ weights)
        gradient = design.T @ (truth - chance) - penalty * weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        while (lower := _penalised_loss(design, truth, weights + step, penalty)) > value and np.abs(step).max() > 1e-9:
            step /= 2
        if np.abs(step).max() <= 1e-9:
            break
        weights, value = weights + step, lower
    return weights[:-1]


def _penalised_loss(design: Floats, truth: npt.NDArray[np.bool_], weights: Floats, penalty: Floats) -> float:
    odds = design @ weights
    return float((np.logaddexp(0.0, odds) - truth * odds).sum() + (penalty * weights**2).sum() / 2)


def fit_isotonic(values: Floats, truth: npt.NDArray[np.bool_]) -> Curve:
    """Log-odds that a claim is true given its score, never falling: pool adjacent violators, then linear between the middles of
    the blocks, so that claims inside one block stay ordered."""
    distinct, place = np.unique(values, return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    blocks: list[list[float]] = []  # count, true, sum of value * count
    for value, count, true in zip(distinct, counts, np.bincount(place, weights=truth)):
        blocks.append([count, true, value * count])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][0] >= blocks[-1][1] * blocks[-2][0]:
            top = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], top)]
    table = np.array(blocks)
    share = (table[:, 1] + 0.5) / (table[:, 0] + 1)
    middle, odds = table[:, 2] / table[:, 0], np.maximum.accumulate(np.log(share) - np.log1p(-share))
    if len(middle) > 4 * KNOTS:
        kept = np.unique(np.linspace(0, len(middle) - 1, 4 * KNOTS).round().astype(np.int64))
        middle, odds = middle[kept], odds[kept]
    return Curve(middle, odds)


def sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))
