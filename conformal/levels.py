"""Levels and ranks in exact rational arithmetic: which order statistic of the conformity scores is the threshold.

In floating point 10 * (1 - 0.7) is 3.0000000000000004 and its ceiling is 4, one rank off; hence no float takes part here.
Source: Mohri & Hashimoto, arXiv 2402.10978, section 3; Vovk, arXiv 1209.2673 (the law given the calibration set).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

from conformal.errors import LevelError
from conformal.laws import beta_cdf

MAX_LEVEL_CHARS = 40
MAX_CALIBRATION = 10_000_000


def parse_level(value: str | float | Fraction | Decimal, name: str = "alpha") -> Fraction:
    """A level strictly between 0 and 1 as an exact fraction: "0.1", "1/3", 0.1 (read as its shortest decimal).

    Raises LevelError.
    """
    try:
        if isinstance(value, Fraction | Decimal):
            level = Fraction(value)
        else:
            text = str(value).strip()
            if len(text) > MAX_LEVEL_CHARS or "e" in text.lower().lstrip("+-0123456789."):
                raise ValueError
            level = Fraction(text) if "/" in text else Fraction(Decimal(text))
    except (ValueError, InvalidOperation, ZeroDivisionError, OverflowError):
        raise LevelError(f"{name} must be a number between 0 and 1 such as 0.1 or 1/3, not {str(value)[:60]!r}") from None
    if not 0 < level < 1:
        raise LevelError(f"{name} must lie strictly between 0 and 1, not {str(value)[:60]}")
    return level


def marginal_rank(n: int, alpha: Fraction) -> int | None:
    """k = ceil((n + 1)(1 - alpha)): the k-th smallest conformity score is the threshold. None when k > n: always abstain."""
    _check_size(n)
    k = -((-(n + 1) * (1 - alpha)) // 1)
    return int(k) if k <= n else None


def pac_rank(n: int, alpha: Fraction, delta: Fraction) -> int | None:
    """The smallest k with P(coverage < 1 - alpha) <= delta, where coverage ~ Beta(k, n + 1 - k). None: always abstain."""
    _check_size(n)
    low, high = 1, n + 1
    while low < high:
        middle = (low + high) // 2
        if beta_cdf(middle, n, float(1 - alpha)) <= float(delta):
            high = middle
        else:
            low = middle + 1
    return low if low <= n else None


def _check_size(n: int) -> None:
    if not 0 <= n <= MAX_CALIBRATION:
        raise LevelError(f"a calibration set has 0 to {MAX_CALIBRATION} outputs, not {n}")
