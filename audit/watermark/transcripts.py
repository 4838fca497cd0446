"""The transcript of one tested document: what the detector found, in figures that others can check without the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import EvidenceError
from audit.watermark.recomputation import MAX_COUNT, agrees, belongs, counted_tokens, least_log10_p, recompute_log10_p
from watermark.detection import MIN_SCORED

DECISIONS = ("watermarked", "not_detected", "inconclusive")
# A text so many times as long as power 0.8 needs shows a mark of typical strength in more than 99 of 100 cases.
CLEAR_LENGTHS = 2
MAX_WARNINGS, MAX_WARNING_CHARS = 16, 500
_MIN_LOG10 = -1e7


@dataclass(frozen=True)
class Transcript:
    """A checked transcript. `log10_p` is None where the text cannot be scored; `recomputed` whether its counts give it.

    `least_log10_p` is the least that the test could have given, for all its counts say: above alpha it decides nothing.
    """

    id: str
    log10_p: float | None
    recomputed: bool
    method: str
    scheme: str
    dialect: str
    num_tokens: int
    num_distinct: int
    sufficient_tokens: int
    warnings: tuple[str, ...]
    error: str | None = None
    least_log10_p: float = -math.inf

    @property
    def scorable(self) -> bool:
        """Whether there are enough independent tokens for a verdict."""
        return self.log10_p is not None and self.num_distinct >= MIN_SCORED

    @property
    def clear_length(self) -> bool:
        """Whether the text is so long that a mark of typical strength would almost surely have shown."""
        return self.num_distinct >= CLEAR_LENGTHS * self.sufficient_tokens


def read_transcript(entry: Any, name: str, alpha: float) -> Transcript:
    """Check the transcript of document `name`, tested at level `alpha`, against its own counts. Raises EvidenceError."""
    where = f"the transcript of document {name!r}"
    if not isinstance(entry, Mapping):
        raise EvidenceError(f"{where} is no object")
    if "error" in entry:
        if not isinstance(entry["error"], str) or "detection" in entry:
            raise EvidenceError(f"{where} has both an error and a detection, or an error that is no text")
        return Transcript(name, None, True, "none", "", "", 0, 0, MIN_SCORED, (), entry["error"][:MAX_WARNING_CHARS])
    found = entry.get("detection")
    if not isinstance(found, Mapping) or not isinstance(found.get("test"), Mapping):
        raise EvidenceError(f"{where} holds no detection with its test")
    if found.get("alpha") != alpha:
        raise EvidenceError(f"{where} was tested at another level than the request asks for")
    log10_p = _log10_p(found, where)
    test = found["test"]
    scheme = _word(found, "scheme", where)
    if not belongs(test, scheme):
        raise EvidenceError(f"{where} states a test that its scheme does not have")
    recomputed, own = recompute_log10_p(test)
    if recomputed and not agrees(log10_p, own):
        raise EvidenceError(f"{where} states a p-value that its counts do not give")
    least = least_log10_p(test)
    if log10_p is not None and log10_p < least - 1e-6:
        raise EvidenceError(f"{where} states a p-value below any that its counts can give")
    distinct = _integer(found, "num_distinct", where)
    counted = counted_tokens(test)
    if (
        test.get("method") in ("binomial", "window-scan", "gamma", "weighted-gamma", "gamma-union", "key-shift")
        and counted != distinct
    ):
        raise EvidenceError(f"{where} counts {counted} tokens in its test and {distinct} in its result")
    if distinct > _integer(found, "num_tokens", where):
        raise EvidenceError(f"{where} counts more independent tokens than the text has")
    _check_tokens(entry.get("tokens"), found, where)
    return Transcript(
        id=name,
        log10_p=log10_p,
        recomputed=recomputed,
        method=str(test.get("method"))[:40],
        scheme=scheme,
        dialect=_word(found, "dialect", where),
        num_tokens=_integer(found, "num_tokens", where),
        num_distinct=distinct,
        sufficient_tokens=max(MIN_SCORED, _integer(found, "sufficient_tokens", where)),
        warnings=_warnings(found, where),
        least_log10_p=least,
    )


def _log10_p(found: Mapping[str, Any], where: str) -> float | None:
    value = found.get("log10_p_value")
    if value is None:
        return None
    if type(value) not in (int, float) or not _MIN_LOG10 <= value <= 0:
        raise EvidenceError(f"{where} states no logarithm of a p-value")
    return float(value)


def _check_tokens(tokens: Any, found: Mapping[str, Any], where: str) -> None:
    """Evidence token by token, where it is given, must add up to the counts."""
    if tokens is None:
        return
    test: Mapping[str, Any] = found["test"]
    rows: list[Any] = tokens if isinstance(tokens, list) else [None]
    if len(rows) > MAX_COUNT or any(not _is_token(row) for row in rows):
        raise EvidenceError(f"{where}: tokens must be rows of position, score, green and counted")
    counted = [row for row in rows if row[3]]
    sums = len(counted), sum(row[2] is True for row in counted)
    if test.get("method") == "binomial" and sums != (test.get("distinct"), test.get("green")):
        raise EvidenceError(f"{where}: the tokens do not add up to the counts of the test")
    if test.get("method") in ("gamma", "weighted-gamma"):
        total = math.fsum(row[1] for row in counted)
        if len(counted) != test.get("shape") or not math.isclose(total, test["score"], rel_tol=1e-6, abs_tol=1e-6):
            raise EvidenceError(f"{where}: the tokens do not add up to the score of the test")


def _is_token(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 4
        and type(row[0]) is int
        and type(row[1]) in (int, float)
        and row[2] in (True, False, None)
        and isinstance(row[3], bool)
    )


def _integer(found: Mapping[str, Any], name: str, where: str) -> int:
    value = found.get(name)
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise EvidenceError(f"{where}: {name} must be a count")
    return value


def _word(found: Mapping[str, Any], name: str, where: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or len(value) > 100:
        raise EvidenceError(f"{where}: {name} must be a short text")
    return value


def _warnings(found: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = found.get("warnings")
    if not isinstance(value, list) or len(value) > MAX_WARNINGS or any(not isinstance(text, str) for text in value):
        raise EvidenceError(f"{where}: warnings must be at most {MAX_WARNINGS} sentences")
    return tuple(text[:MAX_WARNING_CHARS] for text in value)
