"""Documents of this room: canonical JSON bytes, a strict bounded reader, and exact numbers as text.

No JSON number with a fraction occurs in them: floats are written as the shortest decimal text that reads back to the same
float ("Infinity" and "-Infinity" among them), levels as fractions ("1/10"), rates with nine decimals. Equal documents are
equal bytes on every machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from math import comb
from typing import Any

from conformal.errors import CertificateError

MAX_DEPTH = 16
MAX_FRACTION_CHARS = 40
GRID = 10**9
_DIGITS = 60
_NEGLIGIBLE = Decimal(10) ** -45
_FRACTION = re.compile(r"[0-9]+/[0-9]+")  # no exponents: ten characters of them are numbers of a gigabyte


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value: members sorted, no white space, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical bytes."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse_canonical(data: bytes, what: str, max_bytes: int) -> Any:
    """The value of canonical bytes; any other spelling of it is refused. Raises CertificateError."""
    if len(data) > max_bytes:
        raise CertificateError(f"{what} has {len(data)} bytes; at most {max_bytes} are read")
    try:
        value = json.loads(data.decode("ascii"))
        again = canonical(value)
    except (ValueError, RecursionError):
        raise CertificateError(f"{what} is not valid JSON") from None
    if again != data:
        raise CertificateError(f"{what} is not in canonical form: it was written or changed by something else")
    return value


def float_text(value: float) -> str:
    """Shortest decimal text that reads back to this float."""
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(float(value) + 0.0)  # + 0.0 turns -0.0 into 0.0


def parse_float(text: Any, what: str) -> float:
    """Inverse of `float_text`; no other spelling. Raises CertificateError."""
    try:
        value = float(text) if isinstance(text, str) and len(text) <= MAX_FRACTION_CHARS else float("nan")
    except ValueError:
        value = float("nan")
    if value != value or float_text(value) != text:
        raise CertificateError(f"{what} must be a number as text, as it was issued, not {str(text)[:60]!r}")
    return value


def parse_fraction(text: Any, what: str) -> Fraction:
    """An exact fraction "p/q" in lowest terms, strictly between 0 and 1. Raises CertificateError."""
    try:
        shaped = isinstance(text, str) and len(text) <= MAX_FRACTION_CHARS and _FRACTION.fullmatch(text)
        value = Fraction(text) if shaped else None
    except ZeroDivisionError:
        value = None
    if value is None or str(value) != text or not 0 < value < 1:
        raise CertificateError(f'{what} must be a fraction in lowest terms such as "1/10", not {str(text)[:60]!r}')
    return value


def rate_text(value: Fraction) -> str:
    """Nine decimals, rounded half to even from the exact value."""
    return _grid_text(round(value * GRID))


def _grid_text(steps: int) -> str:
    return f"{steps // GRID}.{steps % GRID:09d}"


@lru_cache(maxsize=256)
def coverage_interval(rank: int, n: int, confidence: Fraction = Fraction(19, 20)) -> tuple[str, str]:
    """Equal-tailed interval of Beta(rank, n + 1 - rank), rounded outwards to nine decimals.

    Summed with sixty decimal digits: the text is the same on every machine, which logarithms of a processor are not.
    """
    tail = (1 - confidence) / 2
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = _DIGITS, -(10**15), 10**15
        low_tail, high_tail = (Decimal(p.numerator) / Decimal(p.denominator) for p in (tail, 1 - tail))
        below = _first_step(rank, n, low_tail) - 1
        return _grid_text(max(below, 0)), _grid_text(_first_step(rank, n, high_tail))


def _first_step(rank: int, n: int, probability: Decimal) -> int:
    """The least grid point x with P(Beta(rank, n + 1 - rank) <= x) >= probability."""
    low, high = 0, GRID
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _beta_cdf(rank, n, middle) >= probability else (middle + 1, high)
    return low


def _beta_cdf(rank: int, n: int, steps: int) -> Decimal:
    """P(Bin(n, x) >= rank), from the shorter side of the sum."""
    if steps in (0, GRID):
        return Decimal(steps // GRID)
    x = Decimal(steps) / GRID
    odds = x / (1 - x)
    upper = rank > n * x
    i = rank if upper else rank - 1
    term = _choose(n, i) * x**i * (1 - x) ** (n - i)
    total = Decimal(0)
    while 0 <= i <= n and term > _NEGLIGIBLE * total:
        total += term
        term, i = (term * (n - i) / (i + 1) * odds, i + 1) if upper else (term * i / (n - i + 1) / odds, i - 1)
    return total if upper else 1 - total


@lru_cache(maxsize=8)
def _choose(n: int, i: int) -> Decimal:
    return +Decimal(comb(n, i))


def smallest_sample(alpha: Fraction, delta: Fraction | None) -> int:
    """The least n that does not abstain always: 1/alpha - 1, in PAC mode the n with (1 - alpha)^n <= delta."""
    if delta is None:
        return -((-(1 - alpha) / alpha) // 1)
    with localcontext() as context:
        context.prec = _DIGITS
        logs = [(Decimal(p.numerator) / Decimal(p.denominator)).ln() for p in (delta, 1 - alpha)]
        return int((logs[0] / logs[1] - _NEGLIGIBLE).to_integral_value(rounding="ROUND_CEILING"))


def smallest_level(n: int, delta: Fraction | None) -> str:
    """The least alpha that n outputs can certify: 1/(n + 1) exactly, in PAC mode 1 - delta^(1/n) rounded up."""
    if delta is None:
        return str(Fraction(1, n + 1))
    if n == 0:
        return _grid_text(GRID)
    with localcontext() as context:
        context.prec = _DIGITS
        root = ((Decimal(delta.numerator) / Decimal(delta.denominator)).ln() / n).exp()
        return _grid_text(int(((1 - root) * GRID).to_integral_value(rounding="ROUND_CEILING")))
