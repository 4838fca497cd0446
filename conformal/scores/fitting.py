"""Fitting a score on outputs set aside for it: a blend by likelihood, or the boosted one, chosen by held-out retention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable
from conformal.errors import LedgerError
from conformal.labels import PUBLISHED_POLICY, LabelPolicy
from conformal.losses import ALL_TRUE, Loss
from conformal.scores.boosting import Goal, Objective, climb, smallest_fit
from conformal.scores.features import FEATURE_SETS, SIZE, FeatureMap, FeatureSet
from conformal.scores.fitted import FittedScore, fit_digests
from conformal.scores.likelihood import fit_isotonic, fit_logistic

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Method = Literal["logistic", "isotonic", "boosted"]
METHODS: tuple[Method, ...] = ("logistic", "isotonic", "boosted")
FOLDS = 4
SIZE_PRICES = (0.0, 0.3, 0.6, 0.9)
# Both in units of the spread of a share, about 0.5 / sqrt(outputs): what one input, or features of context, must gain over the
# blends between them; and how much more a better blend counts in the average.
MARGIN = 0.5
SHARPNESS = 2.0
CLIMBS = ((0.3, 1.0), (0.3, 0.3), (0.6, 0.3))  # price of a long output to start from, pull towards the start


@dataclass(frozen=True)
class Candidate:
    """A way to set the weights: `single` input alone, or a logistic start with a price on long outputs, climbed with `pull`
    (None: not climbed)."""

    kind: FeatureSet
    price: float = 0.0
    pull: float | None = None
    single: str | None = None

    @property
    def name(self) -> str:
        if self.single is not None:
            return f"{self.single} alone"
        return f"{self.kind}, price {self.price:g}, " + ("not climbed" if self.pull is None else f"pull {self.pull:g}")


def fit_score(
    table: ClaimTable,
    inputs: Sequence[str],
    method: Method = "boosted",
    alpha: Fraction = Fraction(1, 10),
    loss: Loss = ALL_TRUE,
    objective: Objective = "balanced",
    policy: LabelPolicy = PUBLISHED_POLICY,
    seed: int = 0,
) -> FittedScore:
    """A score fitted on all outputs of `table`, which must not be calibrated on afterwards (the score refuses them).

    "boosted" averages blends that differ in how much a long output costs and how far they were climbed, by what each keeps on
    held-out folds of `table`; it is one input alone where that keeps clearly more. Deterministic given the table and `seed`,
    which only draws the folds. Raises LedgerError for too few outputs, labels of one kind only, or an input that is missing
    or not finite.
    """
    truth = table.truth(policy)
    if truth.all() or not truth.any():
        raise LedgerError("the outputs to fit a score on need true and false claims; these have one kind only")
    goal = Goal(loss, alpha, objective)
    if method == "boosted":
        return _boost(table, tuple(inputs), truth, goal, seed)
    features = FeatureMap.fit(table, inputs, "inputs")
    digests = fit_digests(table, features.inputs)
    if method == "logistic":
        return FittedScore(method, features, fit_logistic(features(table), truth), digests, {})
    curves = tuple(fit_isotonic(column, truth) for column in features(table).T)
    return FittedScore(method, features, np.ones(len(curves)), digests, {}, curves)


def _boost(table: ClaimTable, inputs: tuple[str, ...], truth: Bools, goal: Goal, seed: int) -> FittedScore:
    least = max(2 * FOLDS, smallest_fit(goal.alpha))
    if table.n_outputs < least:
        raise LedgerError(f"boosting at alpha {goal.alpha} needs at least {least} outputs to fit on, not {table.n_outputs}")
    maps = {kind: FeatureMap.fit(table, inputs, kind) for kind in FEATURE_SETS}
    seen = {kind: found(table) for kind, found in maps.items()}
    folds = np.random.default_rng(seed).permutation(table.n_outputs) % FOLDS
    candidates = _candidates(inputs)
    held_out = {
        c: goal.kept(table, truth, _held_out_scores(table, seen[c.kind], truth, goal, c, maps, folds)) for c in candidates
    }
    best = _choose(held_out, MARGIN / table.n_outputs**0.5)
    members = [best] if best.single is not None else [c for c in candidates if c.kind == best.kind]
    weights = np.zeros(len(maps[best.kind].names))
    for member in members:
        own = _weights(table, seen[best.kind], truth, goal, member, maps[best.kind])
        spread = float((seen[best.kind] @ own).std())
        influence = np.exp(SHARPNESS * table.n_outputs**0.5 * (held_out[member] - held_out[best]))
        weights += influence * own / (spread if spread > 0 else 1.0)
    settings = {
        "alpha": str(goal.alpha),
        "loss": goal.loss.name,
        "objective": goal.objective,
        "seed": seed,
        "chosen": best.name,
        "averaged": len(members),
        "held_out": {candidate.name: share for candidate, share in held_out.items()},
    }
    return FittedScore("boosted", maps[best.kind], weights, fit_digests(table, inputs), settings)


def _candidates(inputs: tuple[str, ...]) -> list[Candidate]:
    alone = [Candidate("inputs", single=name) for name in inputs]
    kinds: tuple[FeatureSet, ...] = ("sized", "context")
    plain = [Candidate(kind, price) for kind in kinds for price in SIZE_PRICES]
    return alone + plain + [Candidate(kind, price, pull) for kind in kinds for price, pull in CLIMBS]


def _choose(held_out: dict[Candidate, float], margin: float) -> Candidate:
    """The best of the sized blends, unless a single input or a blend with context keeps more by `margin`."""
    kinds: tuple[FeatureSet, ...] = ("sized", "inputs", "context")
    best = [max((c for c in held_out if c.kind == kind), key=lambda c: held_out[c]) for kind in kinds]  # the first of equals
    return max(best, key=lambda c: held_out[c] - (0.0 if c.kind == "sized" else margin))


def _weights(
    table: ClaimTable, features: Floats, truth: Bools, goal: Goal, candidate: Candidate, described: FeatureMap
) -> Floats:
    if candidate.single is not None:
        return np.array([1.0 if name == candidate.single else 0.0 for name in described.names])
    start = fit_logistic(features, truth)
    spread = described.scale[described.names.index(SIZE)]
    start[described.names.index(SIZE)] -= candidate.price * spread if np.isfinite(spread) else 0.0
    return start if candidate.pull is None else climb(table, features, truth, goal, start, candidate.pull)


def _held_out_scores(
    table: ClaimTable,
    features: Floats,
    truth: Bools,
    goal: Goal,
    candidate: Candidate,
    maps: dict[FeatureSet, FeatureMap],
    folds: npt.NDArray[np.int64],
) -> Floats:
    """Every claim scored by weights fitted without its fold, on the scale of those weights' own spread."""
    out = np.empty(table.n_claims)
    for fold in range(FOLDS):
        train = np.flatnonzero(folds != fold)
        inside, rest = (folds != fold)[table.owners], (folds == fold)[table.owners]
        part = table.select(train)
        weights = _weights(part, features[inside], truth[inside], goal, candidate, maps[candidate.kind])
        spread = float((features[inside] @ weights).std())
        out[rest] = features[rest] @ weights / (spread if spread > 0 else 1.0)
    return out
