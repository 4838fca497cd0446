"""How well a membership score separates: true-positive rate at a low false-positive rate, and AUC, each with its interval.

Reading the rate off the ROC curve of the same non-members picks the luckiest threshold: with 300 of them the first point past
0.1 % is 0.33 %. Here non-members that serve for nothing else fix the threshold, and members are counted above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError
from privacy.statistics.binomial import binomial_pmf, check_level, clopper_pearson, clopper_pearson_upper
from privacy.statistics.scores import Floats, as_scores


@dataclass(frozen=True)
class Threshold:
    """Members are those with a score above `value`.

    `rank`: how many calibration scores are at or above it. A fresh non-member is above it with probability at most
    `rank / (n + 1)` on average over calibration sets, and with this set at most `fpr_below` at 95 % confidence.
    """

    value: float
    rank: int
    calibration: int
    fpr: float

    @property
    def fpr_below(self) -> float:
        return clopper_pearson_upper(self.rank - 1, self.calibration, 0.05)


def check_resolution(non_members: int, fpr: float, whose: str = "the non-members") -> None:
    """Raises PlanError where so many non-members can fix no threshold at this rate: fewer than 1/fpr - 1."""
    needed = math.ceil(1 / Fraction(Decimal(repr(float(check_level(fpr, "fpr")))))) - 1
    if non_members < needed:
        raise PlanError(
            f"{whose} ({non_members}) cannot fix a threshold at a false-positive rate of {fpr:g}; at least {needed} are needed"
        )


def conformal_threshold(non_members: npt.ArrayLike, fpr: float, confidence: float | None = None) -> Threshold:
    """The k-th largest held-out non-member score, k = floor(fpr (n + 1)): P(fresh non-member above it) <= fpr, marginally.

    With `confidence`, the largest k for which the rate given this calibration set is at most fpr with that confidence. Ties
    count as not above. Raises PlanError where n is too small for any threshold.
    """
    scores = np.sort(as_scores(non_members, "scores of non-members"))[::-1]
    check_level(fpr, "fpr")
    n = scores.size
    exact = Fraction(Decimal(repr(float(fpr))))
    if confidence is None:
        rank, needed = int(exact * (n + 1)), math.ceil(1 / exact) - 1
    else:
        tail = 1 - check_level(confidence, "confidence")
        # The rate above the k-th largest is at most Beta(k, n + 1 - k): it exceeds fpr with probability P(Bin(n, fpr) < k).
        rank = int((np.cumsum(binomial_pmf(n, math.log(fpr), math.log1p(-fpr))) <= tail).sum())
        needed = math.ceil(math.log(tail) / math.log1p(-fpr))
    if rank < 1:
        raise PlanError(
            f"{n} non-members cannot fix a threshold at a false-positive rate of {fpr:g}; at least {needed} are needed"
        )
    return Threshold(float(scores[rank - 1]), rank, n, fpr)


@dataclass(frozen=True)
class RateAtThreshold:
    """Members above a threshold that was fixed without them: exact interval."""

    threshold: Threshold
    above: int
    members: int
    interval: tuple[float, float]

    @property
    def tpr(self) -> float:
        return self.above / self.members


def tpr_at_fpr(
    members: npt.ArrayLike, non_members: npt.ArrayLike, fpr: float, confidence: float = 0.95, *, guaranteed: bool = False
) -> RateAtThreshold:
    """TPR at a threshold from held-out non-members. `guaranteed`: the FPR holds given these non-members, at 95 %."""
    scores = as_scores(members, "scores of members")
    threshold = conformal_threshold(non_members, fpr, 0.95 if guaranteed else None)
    above = int((scores > threshold.value).sum())
    return RateAtThreshold(threshold, above, scores.size, clopper_pearson(above, scores.size, confidence))


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve, ties counted half. `interval`: DeLong's on the logit scale, an approximation for large samples;
    `certain`: an interval for any sample size and law (Clopper-Pearson on disjoint pairs, wider)."""

    value: float
    interval: tuple[float, float]
    certain: tuple[float, float]
    members: int
    non_members: int


def compute_auc(members: npt.ArrayLike, non_members: npt.ArrayLike, confidence: float = 0.95, seed: int = 0) -> Auc:
    """P(member > non-member) + P(equal) / 2. DeLong, DeLong & Clarke-Pearson 1988, by mid-ranks. Raises PlanError below 2 each.

    The certain interval pairs members with non-members at random (seeded), each used once, and breaks ties by coins.
    """
    inside, outside = as_scores(members, "scores of members"), as_scores(non_members, "scores of non-members")
    check_level(confidence, "confidence")
    if min(inside.size, outside.size) < 2:
        raise PlanError("an AUC needs at least two members and two non-members")
    won = _share_below(outside, inside)
    lost = _share_below(inside, outside)
    value = float(won.mean())
    error = math.sqrt(float(won.var(ddof=1)) / inside.size + float(lost.var(ddof=1)) / outside.size)
    rng = np.random.default_rng(seed)
    pairs = min(inside.size, outside.size)
    difference = rng.permutation(inside)[:pairs] - rng.permutation(outside)[:pairs]
    wins = int(((difference > 0) | ((difference == 0) & (rng.random(pairs) < 0.5))).sum())
    certain = clopper_pearson(wins, pairs, confidence)
    interval = _logit_interval(value, error, confidence) if 0 < value < 1 and error > 0 else certain
    return Auc(value, interval, certain, inside.size, outside.size)


def _share_below(others: Floats, scores: Floats) -> Floats:
    """For each score, the share of others below it, those equal counted half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return np.asarray(below / (2 * ordered.size), dtype=np.float64)


def _logit_interval(value: float, error: float, confidence: float) -> tuple[float, float]:
    from statistics import NormalDist

    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error / (value * (1 - value))
    middle = math.log(value / (1 - value))
    low, high = (1 / (1 + math.exp(-max(-700.0, min(700.0, middle + sign * reach)))) for sign in (-1, 1))
    return low, high
