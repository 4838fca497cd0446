"""Recomputing p-values from the counts that a transcript states, without the key. NumPy is imported on use.

Closed forms are recomputed from their statistic, Monte-Carlo p-values from their number of exceedances. Two tests cannot be
recomputed from counts: the window scan, whose best window is not among them, and the key shifts of SynthID. For those the counts
give a bound that no p-value falls below. Every test belongs to some schemes, and no other is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from audit.errors import EvidenceError

MAX_COUNT = 4_000_000
MAX_LOOKED = 1 << 40
MAX_SCORE = 1e9
TOLERANCE = 1e-8
_LN10 = math.log(10)


_GREEN, _MONTE_CARLO = ("green-list", "unigram"), ("exp-edit", "its", "its-edit")
_SCHEMES: dict[str, tuple[str, ...]] = {
    "binomial": _GREEN,
    "window-scan": _GREEN,
    "gamma": ("gumbel",),
    "weighted-gamma": ("dual_key_gumbel",),
    "gamma-union": ("exp",),
    "permutation": _MONTE_CARLO,
    "key-shift": ("synthid",),
}
# SynthID's keys have at most 24 bits a depth.
_LOG10_TABLE = 24 * math.log10(2)


def belongs(test: Mapping[str, Any], scheme: Any) -> bool:
    """Whether the scheme is tested in this way."""
    method = test.get("method")
    return method == "none" or (isinstance(method, str) and scheme in _SCHEMES.get(method, ()))


def least_log10_p(test: Mapping[str, Any]) -> float:
    """A bound below every p-value that a test with these counts can give, as far as they tell. Raises EvidenceError."""
    method = test.get("method")
    if method == "window-scan":
        fraction = _number(test, "fraction", 0.0, 1.0)
        if not 0 < fraction < 1:
            raise EvidenceError("a transcript states a green share that leaves nothing to test")
        return _count(test, "green") * math.log10(fraction)
    if method == "key-shift":
        depths = test.get("depths")
        if not isinstance(depths, list) or not _count(test, "ngrams"):
            raise EvidenceError("a transcript states a test of no depths or no n-grams")
        return -_LOG10_TABLE * len(depths)
    if method == "permutation" and test.get("stopped") is False:
        return -math.log10(_count(test, "draws") + 1)
    return -math.inf


def recompute_log10_p(test: Mapping[str, Any]) -> tuple[bool, float | None]:
    """Whether the counts decide the p-value, and its decimal logarithm (None: the text cannot be scored).

    Raises EvidenceError for counts that cannot be.
    """
    method = test.get("method")
    if method == "none":
        return True, None
    recompute = _METHODS.get(method) if isinstance(method, str) else None
    if recompute is None:
        return False, None
    return True, recompute(test)


def counted_tokens(test: Mapping[str, Any]) -> int | None:
    """How many independent tokens the counts speak of, where they say so."""
    for name in ("distinct", "shape", "ngrams"):
        if name in test:
            return _count(test, name)
    return None


def agrees(stated: float | None, found: float | None) -> bool:
    """Whether two logarithms are the same but for rounding on another machine."""
    if stated is None or found is None:
        return stated is found
    return math.isclose(stated, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _binomial(test: Mapping[str, Any]) -> float | None:
    from watermark.nulls.binomial import log_tail

    count, green = _count(test, "distinct"), _count(test, "green")
    if green > count:
        raise EvidenceError("a transcript counts more green tokens than tokens")
    fraction = _number(test, "fraction", 0.0, 1.0)
    if not 0 < fraction < 1:
        raise EvidenceError("a transcript states a green share that leaves nothing to test")
    return log_tail(green, count, fraction) / _LN10 if count else None


def _gamma(test: Mapping[str, Any]) -> float | None:
    from watermark.schemes.vllm_gumbel import log_tail

    shape, score, weights = _count(test, "shape"), _number(test, "score", 0.0, MAX_SCORE), test.get("weights")
    known = isinstance(weights, list) and 1 <= len(weights) <= 2
    if not known or any(type(weight) not in (int, float) or not 0 <= weight <= 1 for weight in weights or ()):
        raise EvidenceError("a transcript states weights that no such test has")
    assert isinstance(weights, list)
    if not math.isclose(sum(weights), 1.0, abs_tol=1e-9) or (test.get("method") == "gamma") != (
        weights == [1.0] or weights == [1]
    ):
        raise EvidenceError("a transcript states weights that do not belong to its method")
    return log_tail(tuple(float(weight) for weight in weights), shape, score) / _LN10 if shape else None


def _gamma_union(test: Mapping[str, Any]) -> float | None:
    import numpy as np

    from watermark.nulls.weighted_gamma import log_q_nodes

    shape, score, looked = _count(test, "shape"), _number(test, "score", 0.0, MAX_SCORE), _count(test, "looked", MAX_LOOKED)
    if not shape or not looked:
        raise EvidenceError("a transcript states an alignment of nothing")
    if score <= 0:
        return 0.0
    return min(0.0, float(log_q_nodes(shape, np.array([score]))[0]) + math.log(looked)) / _LN10


def _permutation(test: Mapping[str, Any]) -> float | None:
    from watermark.nulls.permutation import EXCEEDANCES

    draws, found, stopped = _count(test, "draws"), _count(test, "exceedances"), test.get("stopped")
    if found > draws or not isinstance(stopped, bool) or (stopped and found != EXCEEDANCES):
        raise EvidenceError(f"a transcript states more exceedances than draws, or stopped at another number than {EXCEEDANCES}")
    return math.log10(found / draws if stopped else (found + 1) / (draws + 1))


_METHODS: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    "binomial": _binomial,
    "gamma": _gamma,
    "weighted-gamma": _gamma,
    "gamma-union": _gamma_union,
    "permutation": _permutation,
}


def _count(test: Mapping[str, Any], name: str, most: int = MAX_COUNT) -> int:
    value = test.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise EvidenceError(f"a transcript states no count {name!r}")
    return value


def _number(test: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value: Any = test.get(name)
    if type(value) not in (int, float) or not low <= value <= high:
        raise EvidenceError(f"a transcript states no number {name!r} from {low:g} to {high:g}")
    return float(value)
