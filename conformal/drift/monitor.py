"""The monitor: fed one labelled output at a time, it says "alarm" or "no alarm", never "no shift".

P(an alarm is ever raised | stream exchangeable with the calibration set) <= level, at whatever time one looks. A shift that
leaves the conformity scores alike is invisible to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from conformal.drift.adaptive import DEFAULT_STEP, AdaptiveLevel, fails
from conformal.drift.betting import open_bet
from conformal.drift.error_process import ErrorProcess
from conformal.drift.ranks import RankMartingale, ScorePool, tie_break
from conformal.errors import LedgerError, LevelError
from conformal.levels import marginal_rank
from conformal.losses import Comparator

TESTS = ("ranks", "errors")
MAX_FED = 1_000_000
NO_ALARM_NOTE = "no alarm means that these outputs gave no evidence of a shift, not that there is none"
Scored = tuple[str, float]


@dataclass(frozen=True)
class Settings:
    """What is fixed before the stream begins. `level` is the chance of a false alarm, shared evenly by the `tests`.

    `described` names what the scores mean (score, loss, label policy, ...): a resumed monitor must have the same.
    """

    alpha: Fraction = Fraction(1, 10)
    level: Fraction = Fraction(1, 20)
    tests: tuple[str, ...] = ("ranks",)
    bet: str = "jumper"
    step: Fraction = DEFAULT_STEP
    comparator: Comparator = ">"
    seed: int = 0
    described: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.tests or len(set(self.tests)) != len(self.tests) or set(self.tests) - set(TESTS):
            raise LevelError(f"the tests of a monitor are some of {', '.join(TESTS)}, each at most once")
        if any(not 0 < value < 1 for value in (self.alpha, self.level, self.step)):
            raise LevelError("alpha, the false-alarm level and the step must lie strictly between 0 and 1")
        if type(self.seed) is not int or not 0 <= self.seed < 1 << 63:
            raise LevelError("the seed of the tie-breaks is a whole number from 0 to 2^63 - 1")
        if self.comparator not in (">", ">="):
            raise LevelError("the filter keeps scores > or >= the threshold")
        open_bet(self.bet)


@dataclass(frozen=True)
class Reading:
    """What one output did: its p-value, whether the fixed and the adaptive threshold failed on it, and where the tests stand.

    `evidence` is log wealth by test; `alarm` stays True once raised.
    """

    index: int
    id: str
    p: float
    error: bool
    adaptive_error: bool
    adaptive_alpha: float
    evidence: dict[str, float]
    alarm: bool

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


class DriftMonitor:
    """Calibration scores, then a stream. `readings` has every output fed; `alarm_index` is that of the first alarm or None."""

    def __init__(self, settings: Settings, calibration: Sequence[Scored]) -> None:
        """Raises LedgerError for no calibration output, a repeated id or a score that is no conformity score."""
        if not calibration:
            raise LedgerError("a monitor needs calibration outputs to compare with")
        self.settings, self.calibration = settings, tuple(calibration)
        self._seen: set[str] = set()
        for identity, score in self.calibration:
            self._take(identity, score)
        self.pool = ScorePool(score for _, score in self.calibration)
        rank = marginal_rank(len(self.calibration), settings.alpha)
        self.threshold = math.inf if rank is None else self.pool.smallest(rank)
        self.adaptive = AdaptiveLevel(settings.alpha, settings.step)
        share = float(settings.level / len(settings.tests))
        self._ranks = RankMartingale(settings.bet, share)
        self._errors = ErrorProcess(len(self.calibration), rank, share)
        self.fed: list[Scored] = []
        self.readings: list[Reading] = []
        self.alarm_index: int | None = None

    def feed(self, identity: str, conformity: float) -> Reading:
        """Take the next output, by its conformity score r. Raises LedgerError, before anything has changed, for an id that was
        seen before (in the calibration set or the stream) or a score that is NaN or +Infinity."""
        if len(self.fed) >= MAX_FED:
            raise LedgerError(f"a monitor takes at most {MAX_FED} outputs; start a new one on a new calibration set")
        self._take(identity, conformity)
        index, comparator = len(self.fed), self.settings.comparator
        p = self.pool.smoothed_p(conformity, tie_break(self.settings.seed, index))
        error = fails(conformity, self.threshold, comparator)
        adaptive_error = fails(conformity, self.adaptive.threshold(self.pool), comparator)
        adaptive_alpha = float(self.adaptive.current)
        self._ranks.feed(p)
        self._errors.feed(error)
        self.adaptive.feed(adaptive_error)
        self.pool.add(conformity)
        self.fed.append((identity, conformity))
        if self.alarm_index is None and any(
            self._test(name).log_wealth >= self._test(name).alarm_at for name in self.settings.tests
        ):
            self.alarm_index = index
        evidence = {name: self._test(name).log_wealth for name in TESTS}
        reading = Reading(index, identity, p, error, adaptive_error, adaptive_alpha, evidence, self.alarm_index is not None)
        self.readings.append(reading)
        return reading

    def has_seen(self, identity: str) -> bool:
        return identity in self._seen

    @property
    def next_threshold(self) -> float:
        """The adaptive threshold for the next output."""
        return self.adaptive.threshold(self.pool)

    def summary(self) -> dict[str, Any]:
        """Where the monitor stands, as JSON values. An infinite threshold is the text "Infinity" or "-Infinity"."""
        outputs = len(self.fed)
        return {
            "verdict": "no-alarm" if self.alarm_index is None else "alarm",
            "alarm_index": self.alarm_index,
            "outputs": outputs,
            "calibrated_on": len(self.calibration),
            "alpha": str(self.settings.alpha),
            "level": str(self.settings.level),
            "tests": {
                name: {"log_wealth": self._test(name).log_wealth, "alarm_at": self._test(name).alarm_at}
                for name in self.settings.tests
            },
            "threshold": number_to_json(self.threshold),
            "errors": sum(reading.error for reading in self.readings),
            "adaptive": {
                "alpha": str(self.adaptive.current),
                "next_threshold": number_to_json(self.next_threshold),
                "errors": self.adaptive.errors,
                "error_share_at_most": self.adaptive.bound,
            },
            "note": NO_ALARM_NOTE if self.alarm_index is None else "the certificate no longer speaks for these outputs",
        }

    def _test(self, name: str) -> RankMartingale | ErrorProcess:
        return self._ranks if name == "ranks" else self._errors

    def _take(self, identity: str, conformity: float) -> None:
        if not isinstance(identity, str) or not identity:
            raise LedgerError("an output needs a non-empty id")
        if isinstance(conformity, bool) or not isinstance(conformity, int | float) or not conformity < math.inf:
            raise LedgerError(
                f"{identity[:80]!r}: a conformity score is a finite number or -Infinity, not {str(conformity)[:40]}"
            )
        if identity in self._seen:
            raise LedgerError(f"{identity[:80]!r} was seen before; calibration and stream are different outputs, each fed once")
        self._seen.add(identity)


def number_to_json(value: float) -> float | str:
    """The number, or the text "Infinity" or "-Infinity"."""
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
