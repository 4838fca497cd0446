"""Many keys on one text: which of them marked it, with p-values that hold for the whole search (Holm's step-down).

Over several texts the caller controls what it wants controlled: the adjusted p-value of the best key of each text is a valid
p-value of "no key of the list marked this text", ready for Holm or Benjamini-Hochberg over texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from watermark.detection import Detection, DetectOptions, Span
from watermark.errors import CancelledError, ConfigError
from watermark.families import Scheme

MAX_KEYS = 10_000
MAX_RUNS = 1_000_000


@dataclass(frozen=True)
class KeyResult:
    """One key: `detection` carries the adjusted `log_p` and spans, `log_p` what this key gave taken alone."""

    name: str
    detection: Detection
    log_p: float | None


@dataclass(frozen=True)
class KeySearch:
    """All keys, the most significant first; keys that could not score the text come last."""

    results: tuple[KeyResult, ...]

    @property
    def best(self) -> KeyResult:
        return self.results[0]

    @property
    def found(self) -> tuple[KeyResult, ...]:
        """The keys whose mark the text carries; with probability 1 - alpha or more none of them is wrong."""
        return tuple(result for result in self.results if result.detection.decision == "watermarked")


def search_keys(
    keys: Sequence[tuple[str, Scheme]],
    tokens: npt.NDArray[np.int64],
    options: DetectOptions,
    cancelled: Callable[[], bool] | None = None,
) -> KeySearch:
    """Test one text under every (name, scheme). `tokens` as `as_tokens` gives them.

    Every key is one hypothesis, scorable or not. Monte-Carlo tests get as many draws as an adjusted p-value of alpha needs (up to
    MAX_RUNS). Tokens are given for the best key only. Raises ConfigError for no or too many keys, CancelledError.
    """
    if not 1 <= len(keys) <= MAX_KEYS:
        raise ConfigError(f"a key search takes 1 to {MAX_KEYS} keys, not {len(keys)}")
    count = len(keys)
    runs = max(options.runs, min(MAX_RUNS, math.ceil(count / options.alpha)))
    each = replace(options, alpha=options.alpha / count, runs=runs, tokens=False)
    found = []
    for _, scheme in keys:
        if cancelled is not None and cancelled():
            raise CancelledError("the key search was stopped")
        found.append(scheme.detect(tokens, each))
    if options.tokens:
        best = min(range(count), key=lambda i: _order(found[i].log_p))
        evidence = keys[best][1].detect(tokens, replace(each, tokens=True, spans=False, runs=1))
        found[best] = replace(found[best], tokens=evidence.tokens)
    adjusted = holm([detection.log_p for detection in found])
    results = [
        KeyResult(name, _adjust(detection, log_p, count, options.alpha), detection.log_p)
        for (name, _), detection, log_p in zip(keys, found, adjusted)
    ]
    return KeySearch(tuple(sorted(results, key=lambda result: _order(result.log_p))))


def holm(log_ps: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted log p-values, in the given order. None stays None and still counts as a hypothesis."""
    order = sorted(range(len(log_ps)), key=lambda i: _order(log_ps[i]))
    adjusted: list[float | None] = [None] * len(log_ps)
    worst = -math.inf
    for rank, index in enumerate(order):
        log_p = log_ps[index]
        if log_p is None:
            break
        worst = max(worst, log_p + math.log(len(log_ps) - rank))
        adjusted[index] = min(0.0, worst)
    return adjusted


def _order(log_p: float | None) -> float:
    return math.inf if log_p is None else log_p


def _adjust(detection: Detection, log_p: float | None, count: int, alpha: float) -> Detection:
    alone = None if detection.log_p is None else detection.log_p / math.log(10)
    test = {**detection.test, "adjustment": "holm", "keys": count, "log10_p_value_of_this_key": alone}
    spans = tuple(Span(span.start, span.end, min(1.0, span.p_value * count)) for span in detection.spans)
    least_p = min(1.0, detection.least_p * count)
    return replace(detection, log_p=log_p, alpha=alpha, test=test, spans=spans, least_p=least_p)
