"""Unlearning: equivalence with a stated margin (two one-sided tests), never "no difference was found"."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError, ScoreError
from privacy.statistics.binomial import check_level
from privacy.statistics.scores import as_scores

Floats = npt.NDArray[np.float64]
# Below this many entities a t interval rests on hope, and a defect of few of them may have no entity in the sample.
MIN_ENTITIES = 10


class Outcome(StrEnum):
    EQUIVALENT = "equivalent"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Equivalence:
    """The difference of means, its 1 - 2 alpha interval, the margin, and what they say together."""

    outcome: Outcome
    difference: float
    interval: tuple[float, float] | None
    margin: float
    alpha: float
    n: tuple[int, int]


def entity_means(values: npt.ArrayLike, entities: Sequence[Hashable]) -> dict[Hashable, float]:
    """One mean an entity: its questions are answered by one memory and are no independent evidence."""
    scores = as_scores(values, "metric values")
    if len(entities) != scores.size:
        raise ScoreError(f"{scores.size} metric values, but {len(entities)} entities")
    rows: dict[Hashable, list[float]] = {}
    for entity, value in zip(entities, scores):
        rows.setdefault(entity, []).append(float(value))
    return {entity: float(np.mean(row)) for entity, row in rows.items()}


def paired_equivalence(model: npt.ArrayLike, reference: npt.ArrayLike, margin: float, alpha: float = 0.05) -> Equivalence:
    """The same entities asked of two models, in the same order. t interval of the mean difference (Schuirmann 1987)."""
    ours, theirs = as_scores(model, "metric of the model"), as_scores(reference, "metric of the reference")
    if ours.shape != theirs.shape:
        raise ScoreError("paired metrics need the same entities in both models")
    difference = ours - theirs
    error = float(difference.std(ddof=1)) / difference.size**0.5 if difference.size > 1 else 0.0
    return _decide(float(difference.mean()), error, difference.size - 1, margin, alpha, (ours.size, theirs.size))


def summary_equivalence(mean: float, deviation: float, n: int, margin: float, alpha: float = 0.05) -> Equivalence:
    """The same from mean, standard deviation (n - 1) and number of the paired differences. Raises PlanError and ScoreError."""
    mean, deviation = map(float, as_scores([mean, deviation], "mean and deviation of the differences"))
    if n < 1 or deviation < 0:
        raise ScoreError("differences have a deviation of at least 0, and there is at least one")
    return _decide(mean, deviation / n**0.5, n - 1, margin, alpha, (n, n))


def unpaired_equivalence(model: npt.ArrayLike, reference: npt.ArrayLike, margin: float, alpha: float = 0.05) -> Equivalence:
    """Different entities in the two groups: Welch's interval."""
    a, b = as_scores(model, "metric of the model"), as_scores(reference, "metric of the reference")
    if min(a.size, b.size) < 2:
        return _decide(float(a.mean() - b.mean()), 0.0, 0, margin, alpha, (a.size, b.size))
    va, vb = float(a.var(ddof=1)) / a.size, float(b.var(ddof=1)) / b.size
    freedom = (va + vb) ** 2 / (va**2 / (a.size - 1) + vb**2 / (b.size - 1)) if va + vb > 0 else a.size + b.size - 2
    return _decide(float(a.mean() - b.mean()), (va + vb) ** 0.5, freedom, margin, alpha, (a.size, b.size))


def _decide(
    difference: float, error: float, freedom: float, margin: float, alpha: float, n: tuple[int, int]
) -> Equivalence:  # fmt: skip
    check_level(2 * alpha, "twice alpha")
    if not 0 < margin < float("inf"):
        raise PlanError("the margin is a positive number, stated before the metric is seen")
    if min(n) < MIN_ENTITIES:
        return Equivalence(Outcome.INCONCLUSIVE, difference, None, margin, alpha, n)
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, 1 - alpha)) * error
    low, high = difference - reach, difference + reach
    if -margin < low and high < margin:
        outcome = Outcome.EQUIVALENT
    elif low >= margin or high <= -margin:
        outcome = Outcome.DIFFERENT
    else:
        outcome = Outcome.INCONCLUSIVE
    return Equivalence(outcome, difference, (low, high), margin, alpha, n)
