"""Planning and third-party audits with exact laws: how many labels for which statement, and is a vendor's rate consistent.

A vendor whose certificate is honest, calibrated on n outputs with rank k, is right on BetaBinomial(m, k, n + 1 - k) of m fresh
outputs: far more spread than a binomial when n is small. "83 % < 90 %" speaks against nobody who calibrated on 50 outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from conformal.errors import LevelError
from conformal.laws import beta_binomial_pmf, beta_cdf
from conformal.levels import marginal_rank, pac_rank

MAX_PLANNED = 200_000
SAWTOOTH = 40
AuditVerdict = Literal["consistent", "refuted", "not-enough-data"]


@dataclass(frozen=True)
class AuditTest:
    """The exact fixed-m test. `floor` is the least count of right outputs that is not rejected at `level`."""

    m: int
    covered: int
    p_value: float
    floor: int
    interval: tuple[int, int]
    verdict: AuditVerdict
    power: float

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "interval": list(self.interval)}


def audit_certificate(covered: int, m: int, n: int, rank: int, level: float = 0.05, shortfall: float = 0.05) -> AuditTest:
    """Test "right on at least 1 - alpha" from `covered` right ones among `m` fresh outputs, one-sided at `level`.

    `power` is the chance to refute a vendor whose true coverage is `shortfall` below k / (n + 1); below 0.5, an acceptance is
    called not-enough-data. Raises LevelError for counts that do not fit.
    """
    if not 0 <= covered <= m or m < 1 or not 1 <= rank <= n:
        raise LevelError(f"an audit needs 0 <= covered <= m and 1 <= rank <= n, not {covered} of {m} and rank {rank} of {n}")
    law = np.cumsum(beta_binomial_pmf(m, rank, n))
    p_value = float(min(1.0, law[covered]))
    floor = int(np.searchsorted(law, level, side="right"))
    low, high = int(np.searchsorted(law, 0.025)), int(np.searchsorted(law, 0.975))
    power = _binomial_cdf(floor - 1, m, max(0.0, rank / (n + 1) - shortfall))
    verdict: AuditVerdict = "refuted" if p_value <= level else "consistent" if power >= 0.5 else "not-enough-data"
    return AuditTest(m, covered, p_value, floor, (low, high), verdict, power)


def acceptance_interval(m: int, n: int, alpha: Fraction) -> dict[str, Any]:
    """The 95 % range of the covered share of m fresh outputs for an honest vendor, and the one-sided 5 % floor."""
    rank = marginal_rank(n, alpha)
    if rank is None:
        raise LevelError(f"a vendor calibrated on {n} outputs abstains always at alpha {alpha}; there is nothing to audit")
    law = np.cumsum(beta_binomial_pmf(m, rank, n))
    low, high, floor = (int(np.searchsorted(law, q)) for q in (0.025, 0.975, 0.05))
    return {"k": rank, "interval95": [low / m, high / m], "one_sided_5_percent_floor": floor / m}


def smallest_pac_size(alpha: Fraction, delta: Fraction) -> int:
    """The smallest n with (1 - alpha)^n <= delta: below it, PAC mode always abstains."""
    n = max(1, math.ceil(math.log(float(delta)) / math.log1p(-float(alpha))) - 1)
    while (1 - alpha) ** n > delta:
        n += 1
    return n


def size_for_shortfall(alpha: Fraction, epsilon: float, confidence: float = 0.95) -> int:
    """The smallest n with P(true coverage >= 1 - alpha - epsilon) >= confidence for it and the next SAWTOOTH - 1 sizes."""
    good = 0
    target = float(1 - alpha) - epsilon
    for n in range(1, MAX_PLANNED):
        rank = marginal_rank(n, alpha)
        coverage_low = 0.0 if rank is None else beta_cdf(rank, n, target)
        good = good + 1 if coverage_low <= 1 - confidence else 0
        if good == SAWTOOTH:
            return n - SAWTOOTH + 1
    raise LevelError(f"more than {MAX_PLANNED} labels would be needed; allow a larger shortfall")


def audit_size(n: int, alpha: Fraction, shortfall: float, level: float = 0.05, power: float = 0.8) -> int:
    """How many fresh labels detect a vendor whose coverage is `shortfall` below what it calibrated, with that power."""
    rank = marginal_rank(n, alpha)
    if rank is None:
        raise LevelError(f"a vendor calibrated on {n} outputs abstains always at alpha {alpha}; there is nothing to audit")
    low, high = 1, 16
    while _power(high, n, rank, shortfall, level) < power:
        low, high = high, high * 2
        if high > MAX_PLANNED:
            raise LevelError(
                f"no number of labels detects a shortfall of {shortfall} against a vendor calibrated on {n} outputs with power"
                f" {power}: its own calibration is less certain than that"
            )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(middle, n, rank, shortfall, level) >= power else (middle + 1, high)
    return low


def describe_rank(n: int, alpha: Fraction, delta: Fraction | None = None) -> int | None:
    """The rank of either mode: marginal without `delta`, PAC with it."""
    return marginal_rank(n, alpha) if delta is None else pac_rank(n, alpha, delta)


def _power(m: int, n: int, rank: int, shortfall: float, level: float) -> float:
    law = np.cumsum(beta_binomial_pmf(m, rank, n))
    floor = int(np.searchsorted(law, level, side="right"))
    return _binomial_cdf(floor - 1, m, max(0.0, rank / (n + 1) - shortfall))


def _binomial_cdf(k: int, m: int, p: float) -> float:
    from conformal.laws import binomial_sf

    return 1.0 - binomial_sf(k + 1, m, p)
