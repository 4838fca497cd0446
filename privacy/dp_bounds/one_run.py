"""A lower bound on epsilon from one training run (Steinke, Nasr & Jagielski, arXiv 2305.08846, Theorem 5.2, Corollary 5.4).

m canaries go in or out by fair coins; of r guesses v are right. Valid only if r, and which canaries are guessed, follow from
cut-offs that were fixed before these coins were seen; `privacy.dp_bounds.cut_offs` finds cut-offs without breaking that.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.dp_bounds.canaries import Canaries
from privacy.errors import PlanError
from privacy.statistics.binomial import binomial_pmf, check_level

_STEPS = 60


@dataclass(frozen=True)
class CutOffs:
    """How many canaries are guessed: the k_minus lowest scores as out, the k_plus highest as in, the others not at all."""

    k_minus: int
    k_plus: int

    def check(self, m: int) -> None:
        if self.k_minus < 0 or self.k_plus < 0 or not 1 <= self.k_minus + self.k_plus <= m:
            raise PlanError(f"cut-offs (k-, k+) = ({self.k_minus}, {self.k_plus}) do not fit {m} canaries")


@dataclass(frozen=True)
class OneRun:
    """A lower bound on epsilon that holds with probability 1 - alpha, and the guesses it rests on."""

    epsilon: float
    alpha: float
    delta: float
    canaries: int
    guesses: int
    correct: int
    cut_offs: CutOffs


def compute_p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float = 0.0) -> float:
    """p(eps): an upper bound of P(at least v of r guesses are right) under (eps, delta)-DP. Raises PlanError."""
    check_delta(delta)
    if not 0 <= correct <= guesses <= canaries or not 0 <= epsilon < math.inf:
        raise PlanError(f"{correct} of {guesses} guesses among {canaries} canaries, epsilon {epsilon:g}: out of range")
    if correct == 0:
        return 1.0
    log_wrong = math.log1p(math.exp(-epsilon))
    pmf = binomial_pmf(guesses, -log_wrong, -epsilon - log_wrong)
    p = float(pmf[correct:].sum())
    if delta > 0:
        below = np.cumsum(pmf[correct - 1 :: -1]) / np.arange(1, correct + 1)
        p += 2 * canaries * delta * float(below.max())
    return min(1.0, p)


@functools.lru_cache(maxsize=1 << 16)
def epsilon_lower(canaries: int, guesses: int, correct: int, alpha: float = 0.05, delta: float = 0.0) -> float:
    """sup{ eps >= 0 : p(eps) < alpha }, 0 where there is none: bracketed, then bisected. Raises PlanError."""
    check_level(alpha, "alpha")
    if guesses == 0 or compute_p_value(canaries, guesses, correct, 0.0, delta) >= alpha:
        return 0.0
    low, high = 0.0, 1.0
    while compute_p_value(canaries, guesses, correct, high, delta) < alpha:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if compute_p_value(canaries, guesses, correct, middle, delta) < alpha:
            low = middle
        else:
            high = middle
    return low


def order_coins(canaries: Canaries, seed: int) -> npt.NDArray[np.bool_]:
    """The coins by rising score, ties in random order."""
    mixed = canaries.shuffle(seed)
    return np.asarray(mixed.included[np.argsort(mixed.scores, kind="stable")])


def count_correct(ordered: npt.NDArray[np.bool_], cut_offs: CutOffs) -> int:
    """Right guesses, given the coins by rising score."""
    out = int((~ordered[: cut_offs.k_minus]).sum())
    return out + int(ordered[ordered.size - cut_offs.k_plus :].sum())


def bound_one_run(canaries: Canaries, cut_offs: CutOffs, alpha: float = 0.05, delta: float = 0.0, seed: int = 0) -> OneRun:
    """The bound at cut-offs that were fixed before the scores were seen. Raises PlanError."""
    return bound_ordered(order_coins(canaries, seed), cut_offs, alpha, delta)


def bound_ordered(ordered: npt.NDArray[np.bool_], cut_offs: CutOffs, alpha: float, delta: float) -> OneRun:
    """The same from the coins by rising score."""
    cut_offs.check(ordered.size)
    check_delta(delta)
    correct = count_correct(ordered, cut_offs)
    guesses = cut_offs.k_minus + cut_offs.k_plus
    epsilon = epsilon_lower(ordered.size, guesses, correct, alpha, delta)
    return OneRun(epsilon, alpha, delta, ordered.size, guesses, correct, cut_offs)


def check_delta(delta: float) -> None:
    """Raises PlanError unless 0 <= delta < 1."""
    if not 0 <= delta < 1:
        raise PlanError(f"delta lies between 0 and 1, not {delta:g}")
