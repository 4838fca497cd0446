"""What a soft prompt adds: paired differences of rank percentiles over held-out subjects, with an exact test and an interval.

A subject's percentile under a condition is rank / (N + 1), the mean over its items; both conditions rank it among the same N
same-format nulls, so a prompt that only teaches the format lifts value and nulls alike and moves no rank. The difference
d = percentile(other) - percentile(prompt) is positive where the prompt places the true value higher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError, ScoreError
from privacy.statistics.binomial import check_level
from privacy.statistics.scores import Floats, as_scores

GRID = 1000
"""Differences are tested in units of 1/GRID: a test of rounded differences is as exact as one of the others."""
MAX_STEPS = 20_000_000_000
_BISECTIONS = 14
_BET_LIMIT = 0.75


@dataclass(frozen=True)
class Gain:
    """The mean difference over subjects and what it is worth.

    `p_value`: one-sided sign-flip test, exact (every pattern of signs counts), of the null "within a subject, exchanging the
    two conditions changes no law" (differences symmetric about 0). `interval`: all mean shifts which the two-sided test at
    level alpha does not reject; it needs differences symmetric about their mean. `p_any_law` needs no symmetry: a test by
    betting of "the expected difference of every subject is at most 0" (Waudby-Smith & Ramdas, arXiv 2010.09686, section 4);
    where nothing is memorised every rank is uniform, so that this null holds whatever the prompts are.
    """

    over: str
    subjects: int
    mean: float
    interval: tuple[float, float]
    alpha: float
    p_value: float
    p_any_law: float
    better: int
    worse: int

    @property
    def significant(self) -> bool:
        return self.p_value <= self.alpha

    def to_json(self) -> dict[str, Any]:
        return {
            "over": self.over,
            "subjects": self.subjects,
            "mean": round(self.mean, 9),
            "interval": [round(self.interval[0], 4), round(self.interval[1], 4)],
            "alpha": self.alpha,
            "p_value": float(f"{self.p_value:.6g}"),
            "p_any_law": float(f"{self.p_any_law:.6g}"),
            "better": self.better,
            "worse": self.worse,
            "significant": self.significant,
        }


def percentile(ranks: Sequence[int], nulls: int) -> float:
    """The mean of rank / (N + 1) over one subject's items. Raises ScoreError."""
    if not ranks or nulls < 1 or any(not 1 <= rank <= nulls + 1 for rank in ranks):
        raise ScoreError("a subject needs at least one rank, each between 1 and N + 1")
    return sum(ranks) / (len(ranks) * (nulls + 1))


def measure_gain(
    prompted: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]], nulls: int, over: str, alpha: float = 0.05
) -> Gain:
    """The gain of `prompted` over `other`: ranks by subject and item, the same subjects and items in both. Raises ScoreError.

    The subjects' order decides `p_any_law`; it must not depend on the scores.
    """
    check_level(alpha, "alpha")
    if list(prompted) != list(other) or any(len(prompted[name]) != len(other[name]) for name in prompted):
        raise ScoreError("both conditions need ranks of the same subjects and items, in the same order")
    differences = as_scores([percentile(other[n], nulls) - percentile(prompted[n], nulls) for n in prompted], "rank differences")
    return Gain(
        over=over,
        subjects=differences.size,
        mean=float(differences.mean()),
        interval=shift_interval(differences, alpha),
        alpha=alpha,
        p_value=sign_flip_p_value(differences),
        p_any_law=betting_p_value(differences),
        better=int((differences > 0).sum()),
        worse=int((differences < 0).sum()),
    )


def sign_flip_p_value(differences: npt.ArrayLike) -> float:
    """P(sum of +-|d| >= sum of d) over all 2^n patterns of signs, d in [-1, 1] rounded to 1/GRID. Raises ScoreError, PlanError.

    The law of the sum is built one subject at a time; the probability is exact up to the rounding of floating-point sums.
    """
    steps = _on_grid(as_scores(differences, "rank differences"))
    sizes = np.abs(steps)
    total = int(sizes.sum())
    if total * sizes.size > MAX_STEPS:
        raise PlanError(f"{sizes.size} subjects are too many for an exact sign-flip test")
    law = np.zeros(2 * total + 1)
    law[total] = 1.0
    reach = 0
    for size in map(int, sizes[sizes > 0]):
        old = law[total - reach : total + reach + 1] / 2
        reach += size
        law[total - reach : total + reach + 1] = 0.0
        law[total - reach : total - reach + old.size] += old
        law[total + reach + 1 - old.size : total + reach + 1] += old
    return float(min(1.0, law[total + int(steps.sum()) :].sum()))


def shift_interval(differences: npt.ArrayLike, alpha: float = 0.05) -> tuple[float, float]:
    """Every shift t in [-1, 1] for which d - t passes the two-sided sign-flip test: p rises with t (Hartigan 1969)."""
    values, level = as_scores(differences, "rank differences"), check_level(alpha, "alpha") / 2
    low = _find_shift(lambda t: sign_flip_p_value(values - t) > level)
    high = -_find_shift(lambda t: sign_flip_p_value(-values - t) > level)
    return low, high


def _find_shift(passes: Any) -> float:
    """The smallest t in [-1, 1] that passes, a hair below it."""
    low, high = -1.0, 1.0
    if passes(low):
        return low
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if passes(middle):
            high = middle
        else:
            low = middle
    return low


def betting_p_value(differences: npt.ArrayLike) -> float:
    """min(1, 1 / max wealth) of a bettor who stakes a share of the wealth, set from earlier subjects alone, on d > 0.

    Each factor 1 + share d is positive with mean at most 1 where the subject's expected difference is at most 0 (Ville).
    """
    values = as_scores(differences, "rank differences")
    if (np.abs(values) > 1 + 1e-9).any():
        raise ScoreError("rank differences lie between -1 and 1")
    log_wealth = best = 0.0
    sums, squares = 0.0, 0.25  # a prior of one subject with difference 0
    for seen, value in enumerate(values, start=1):
        mean = sums / seen
        share = min(_BET_LIMIT, max(0.0, mean / (squares / seen)))
        log_wealth += float(np.log1p(share * value))
        best = max(best, log_wealth)
        sums, squares = sums + float(value), squares + float(value) ** 2
    return float(np.exp(-best))


def _on_grid(values: Floats) -> npt.NDArray[np.int64]:
    if (np.abs(values) > 2 + 1e-9).any():
        raise ScoreError("rank differences lie between -1 and 1")
    return np.rint(values * GRID).astype(np.int64)
