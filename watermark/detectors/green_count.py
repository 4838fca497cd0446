"""Green-list detection: the reference's count and z, and an exact test that is valid on any text.

H0: the text was written without the key. Then the target of a pair (PRF seed, target token) is green with probability G / V,
independently for different seeds; pairs of one seed are drawn without replacement, which only narrows the count. So each pair is
counted once: counting n-grams once is not enough, as selfhash and minhash give the same seed to many contexts (on 1,000 tokens
of English the reference's z then has a standard deviation of 1.75 instead of 1). Pairs whose seed needs no key (a zero token
times the key, a hashed zero; `primitives.known_seeds`) are left out: what they show was never secret.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.detection import Detection, DetectOptions, TokenScore
from watermark.detectors.green_power import NEVER, sufficient_tokens
from watermark.detectors.score_spans import find_spans
from watermark.detectors.window_scan import best_window, log_p_scan
from watermark.nulls import binomial, normal

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GreenEvidence:
    """Every scored position of a text: where it is, its seed and target, whether it is green, and what counts where.

    `scored`: counted by the reference (its own rule of repeats). `counted`: counted by the valid test.
    """

    positions: Ints
    green: Bools
    scored: Bools
    counted: Bools


@dataclass(frozen=True)
class GreenSettings:
    """What a green-list test needs to know about its scheme. `fraction` is the true share G / V, `gamma` the nominal one."""

    scheme: str
    dialect: str
    gamma: float
    fraction: float
    delta: float | None
    z_threshold: float
    window_sizes: tuple[int, ...] | None = None
    window_stride: int = 1
    windowed: bool = False


def first_of_each(keys: npt.NDArray[Any]) -> Bools:
    """True at the first occurrence of every value."""
    out = np.zeros(len(keys), dtype=bool)
    out[np.unique(keys, return_index=True)[1]] = True
    return out


def row_codes(rows: Ints, bound: int) -> Ints:
    """A number for every row (n x w) of entries in [0, bound), equal exactly where the rows are: digits while they fit."""
    codes, size = rows[:, 0].astype(np.int64), bound
    for column in rows.T[1:]:
        if size * bound >= 1 << 63:
            unique, codes = np.unique(codes, return_inverse=True)
            size = len(unique)
        codes, size = codes * bound + column, size * bound
    return codes


def count_green(evidence: GreenEvidence, num_tokens: int, settings: GreenSettings, options: DetectOptions) -> Detection:
    """The detection of one text from its evidence. Without a scored position there is no p-value."""
    scored = evidence.green[evidence.scored]
    count, green = len(scored), int(scored.sum())
    z = _z_score(green, count, settings.gamma) if count else None
    if settings.windowed and count:
        window = best_window(scored, settings.gamma, settings.window_sizes, settings.window_stride)
        count, green, z = (window.size, window.green, window.z_score) if window else (0, 0, None)
    log_p, test = _test(evidence.green[evidence.counted], settings)
    found = Detection(
        scheme=settings.scheme,
        dialect=settings.dialect,
        num_tokens=num_tokens,
        num_tokens_scored=count,
        alpha=options.alpha,
        log_p=log_p,
        test=test,
        num_distinct=int(evidence.counted.sum()),
        sufficient_tokens=_sufficient(settings, options.alpha, test.get("windows", 1)),
        num_green=green if count else None,
        z_score=z,
        statistic=z,
        reference_p_value=None if z is None else normal.upper_tail(z),
        reference_decision=None if z is None else z > settings.z_threshold,
        tokens=_token_scores(evidence) if options.tokens else (),
        spans=_spans(evidence, settings.fraction, options.alpha) if options.spans else (),
    )
    return found.with_warnings(_otherwise(settings)) if found.decision == "not_detected" else found


def _sufficient(settings: GreenSettings, alpha: float, windows: int) -> int:
    """Length for the power promised; a scan pays for its windows, and one of short windows only never promises any."""
    enough = sufficient_tokens(settings.fraction, settings.delta, alpha / max(windows, 1))
    sizes = settings.window_sizes if settings.windowed else None
    return enough if sizes is None or enough <= max(sizes) else NEVER


def _otherwise(settings: GreenSettings) -> str:
    return (
        f"read as {settings.dialect} with green share {settings.gamma:g} and the key's vocabulary size: text marked under another"
        " dialect or vocabulary size looks unmarked in this reading"
    )


def _z_score(green: int, count: int, gamma: float) -> float:
    return (green - gamma * count) / math.sqrt(count * gamma * (1 - gamma))


def _test(counted: Bools, settings: GreenSettings) -> tuple[float | None, dict[str, Any]]:
    count, green, fraction = len(counted), int(counted.sum()), settings.fraction
    test: dict[str, Any] = {"method": "binomial", "distinct": count, "green": green, "fraction": fraction}
    if not settings.windowed:
        return (binomial.log_tail(green, count, fraction) if count else None), test
    found = log_p_scan(counted, fraction, settings.window_sizes, settings.window_stride)
    if found is None:
        return None, {**test, "method": "window-scan", "windows": 0}
    return found[0], {**test, "method": "window-scan", "windows": found[1]}


def _token_scores(evidence: GreenEvidence) -> tuple[TokenScore, ...]:
    rows = zip(evidence.positions.tolist(), evidence.green.tolist(), evidence.counted.tolist())
    return tuple(TokenScore(position, float(green), green, counted) for position, green, counted in rows)


def _spans(evidence: GreenEvidence, fraction: float, alpha: float) -> Any:
    green = evidence.green[evidence.counted]
    sums = np.concatenate([[0], np.cumsum(green)])

    def tail(start: int, end: int) -> float:
        return binomial.log_tail(int(sums[end] - sums[start]), end - start, fraction)

    scores = 1 + (green.astype(np.float64) - fraction) / math.sqrt(fraction * (1 - fraction))
    return find_spans(scores, evidence.positions[evidence.counted], tail, alpha)
