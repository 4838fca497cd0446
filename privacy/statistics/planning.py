"""How many nulls, decoys and queries a statement needs, before anything is run. Too few is a refusal, never a weaker test."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from privacy.errors import PlanError
from privacy.statistics.binomial import MAX_TRIALS, check_level

MAX_TESTS = 10_000_000


def nulls_needed(tests: int, alpha: float = 0.05) -> int:
    """The smallest N with 1/(N + 1) <= alpha / T: ceil(T / alpha) - 1, in exact arithmetic. Raises PlanError."""
    if not 1 <= tests <= MAX_TESTS:
        raise PlanError(f"the number of tests lies between 1 and {MAX_TESTS}, not {tests}")
    return math.ceil(tests / Fraction(Decimal(repr(check_level(alpha, "alpha"))))) - 1


def check_nulls(nulls: int, tests: int, alpha: float = 0.05) -> None:
    """Raises PlanError where `nulls` values could not show anything among `tests` tests at level alpha."""
    needed = nulls_needed(tests, alpha)
    if nulls < needed:
        raise PlanError(
            f"{nulls} nulls cannot decide {tests} tests at level {alpha:g}: the smallest p is 1/{nulls + 1}; at least {needed}"
            " nulls a target are needed"
        )


def check_smallest_p(smallest: float, tests: int, alpha: float = 0.05) -> None:
    """The same for a statistic whose smallest p-value is known. Raises PlanError."""
    if smallest > check_level(alpha, "alpha") / tests:
        raise PlanError(
            f"the smallest p-value that can occur is {smallest:.3g}, above {alpha:g}/{tests}; more facts or candidates are needed"
        )


def decoys_needed(alpha: float = 0.05, confidence: float = 0.95) -> int:
    """Decoys that show, with none rejected, a false-positive rate of at most alpha: 59 for 5 %, 299 for 1 %."""
    return zero_hit_trials(alpha, confidence)


def zero_hit_trials(leak: float, confidence: float = 0.95) -> int:
    """n with (1 - leak)^n <= 1 - confidence: so many trials without a hit show a rate below `leak`."""
    tail = math.log(1 - check_level(confidence, "confidence"))
    n = math.ceil(tail / math.log1p(-check_level(leak, "leak")) - 1e-9)
    if n > MAX_TRIALS:
        raise PlanError(f"{n} trials would be needed; at most {MAX_TRIALS} are taken")
    return n
