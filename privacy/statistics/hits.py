"""Models that answer in text only: hits in n samples, certificates from zero hits, and tests that may stop at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from privacy.errors import PlanError
from privacy.statistics.binomial import check_count, check_level, clopper_pearson_upper


def certified_below(hits: int, samples: int, leak: float, confidence: float = 0.95) -> bool:
    """Whether "clean below `leak`" may be said: no hit at all, and enough samples. One hit is a leak, whatever its rate."""
    check_count(hits, samples)
    return hits == 0 and samples > 0 and zero_hit_bound(samples, confidence) <= check_level(leak, "leak") * (1 + 1e-12)


def zero_hit_bound(samples: int, confidence: float = 0.95) -> float:
    """Upper bound of the hit rate after no hit in n samples: 1 - (1 - confidence)^(1/n)."""
    if samples < 1:
        raise PlanError("at least one sample is needed")
    return clopper_pearson_upper(0, samples, 1 - check_level(confidence, "confidence"))


@dataclass
class HitMonitor:
    """An anytime-valid test of one hit rate: look after every sample, stop when `rejected`, at no cost in level.

    E_n = prod (q / x0)^X (( 1 - q) / (1 - x0))^(1 - X). With q > x0 the null is "rate <= x0" (a leak is shown), with q < x0 it
    is "rate >= x0" (cleanness is shown). Under the null each factor has mean at most 1 given the past, so P(E_n >= 1/alpha for
    any n) <= alpha (Ville). x0 and q are fixed before the first sample.
    """

    null_rate: float
    alternative: float
    alpha: float = 0.05
    samples: int = 0
    hits: int = 0
    log_e: float = 0.0
    largest_log_e: float = 0.0

    def __post_init__(self) -> None:
        for name in ("null_rate", "alternative", "alpha"):
            check_level(getattr(self, name), name)
        if self.null_rate == self.alternative:
            raise PlanError("the alternative rate must differ from the null rate")

    def update(self, hit: bool) -> bool:
        """One more sample; whether the null is rejected by now."""
        if hit:
            self.log_e += math.log(self.alternative / self.null_rate)
        else:
            self.log_e += math.log1p(-self.alternative) - math.log1p(-self.null_rate)
        self.samples += 1
        self.hits += bool(hit)
        self.largest_log_e = max(self.largest_log_e, self.log_e)
        return self.rejected

    @property
    def rejected(self) -> bool:
        return self.largest_log_e >= -math.log(self.alpha)

    @property
    def p_value(self) -> float:
        """min(1, 1 / max E): valid whenever one stops."""
        return min(1.0, math.exp(-self.largest_log_e))
