"""What a detector returns, and the one rule that turns it into a decision.

Two sets of figures stand side by side. The *reference figures* (`num_tokens_scored`, `num_green`, `z_score`, `statistic`,
`reference_p_value`) are what the named reference implementation prints for the same tokens and configuration. The *test
figures* (`log_p`, `test`) are Assay's: a p-value that is valid under H0 "the text was written independently of the key",
whatever the text. Only the test figures decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Decision = Literal["watermarked", "not_detected", "inconclusive"]
DEFAULT_ALPHA = 0.001
# Below so many independently scored tokens there is no verdict, however small the p-value.
MIN_SCORED = 16
# Lengths that suffice are stated for this power and, unless the caller knows better, this entropy (nats a token).
SUFFICIENT_POWER = 0.8
TYPICAL_ENTROPY_NATS = 1.5


@dataclass(frozen=True)
class Span:
    """A stretch of the given tokens, [start, end), that carries the mark, with its own valid (corrected) p-value."""

    start: int
    end: int
    p_value: float

    def to_json(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "p_value": self.p_value}


@dataclass(frozen=True)
class TokenScore:
    """Evidence of one given token: `score` is the scheme's own (1/0 for green/red, -log(1-u) for Gumbel and EXP, ...).

    `counted` is False for repeats, which the valid test leaves out. `green` is None outside the green-list family.
    """

    position: int
    score: float
    green: bool | None
    counted: bool


@dataclass(frozen=True)
class Detection:
    """The result for one text and one key. `log_p` is the natural logarithm of the valid p-value, None when not scorable.

    `test` says how the p-value was computed, in JSON values (always `method`, and the counts that let anyone recompute it).
    `sufficient_tokens` is the length from which on a text of typical entropy is detected with power SUFFICIENT_POWER at
    `alpha`. `warnings` are sentences for people: hazards of the key, defects of the dialect, drift of the tokenisation.
    """

    scheme: str
    dialect: str
    num_tokens: int
    num_tokens_scored: int
    alpha: float
    log_p: float | None
    test: Mapping[str, Any]
    num_distinct: int
    sufficient_tokens: int
    num_green: int | None = None
    z_score: float | None = None
    statistic: float | None = None
    reference_p_value: float | None = None
    reference_decision: bool | None = None
    warnings: tuple[str, ...] = ()
    tokens: tuple[TokenScore, ...] = ()
    spans: tuple[Span, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    # The smallest p-value this test could have given: 1 / (runs + 1) for Monte Carlo. Above alpha it decides nothing.
    least_p: float = 0.0

    @property
    def p_value(self) -> float | None:
        """The valid p-value; 0.0 only where exp(log_p) underflows (then `log_p` says how small it is)."""
        return None if self.log_p is None else min(1.0, math.exp(self.log_p))

    @property
    def decision(self) -> Decision:
        """`watermarked` when p <= alpha on at least MIN_SCORED independent tokens; `not_detected` only where the text was
        long enough for that to mean something; otherwise `inconclusive`."""
        if self.log_p is None or self.num_distinct < MIN_SCORED:
            return "inconclusive"
        if self.log_p <= math.log(self.alpha):
            return "watermarked"
        if self.least_p > self.alpha:
            return "inconclusive"
        return "not_detected" if self.num_distinct >= self.sufficient_tokens else "inconclusive"

    def with_warnings(self, *sentences: str) -> Detection:
        return replace(self, warnings=(*self.warnings, *sentences))

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values; infinite ones are the strings "Infinity" and "-Infinity". Without tokens and spans."""
        return {
            "scheme": self.scheme,
            "dialect": self.dialect,
            "num_tokens": self.num_tokens,
            "num_tokens_scored": self.num_tokens_scored,
            "num_green": self.num_green,
            "z_score": json_float(self.z_score),
            "statistic": json_float(self.statistic),
            "p_value": self.p_value,
            "log10_p_value": None if self.log_p is None else json_float(self.log_p / math.log(10)),
            "reference_p_value": self.reference_p_value,
            "reference_decision": self.reference_decision,
            "alpha": self.alpha,
            "decision": self.decision,
            "num_distinct": self.num_distinct,
            "sufficient_tokens": self.sufficient_tokens,
            "test": dict(self.test),
            "warnings": list(self.warnings),
        }


def json_float(value: float | None) -> float | str | None:
    """A float as JSON can hold it. NaN never leaves the room: it raises ValueError."""
    if value is None or math.isfinite(value):
        return value
    if math.isnan(value):
        raise ValueError("a figure is not a number")
    return "Infinity" if value > 0 else "-Infinity"


@dataclass(frozen=True)
class DetectOptions:
    """How to test. `runs` bounds the Monte-Carlo draws of the tests that need them; `seed` makes them repeatable (None:
    fresh entropy). `tokens` asks for per-token evidence, `spans` for the marked stretches. `cancelled` stops a long Monte-Carlo
    test, which then raises CancelledError."""

    alpha: float = DEFAULT_ALPHA
    runs: int = 999
    seed: int | None = None
    tokens: bool = False
    spans: bool = False
    threads: int = 1
    cancelled: Callable[[], bool] | None = field(default=None, repr=False, compare=False)
