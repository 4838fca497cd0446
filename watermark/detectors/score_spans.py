"""Which stretch of a text carries the mark, for schemes whose token scores add up and whose p-value is valid on any stretch.

Windows of geometrically growing length are laid over the counted tokens; each window's exact tail is multiplied by twice the
number of windows. The edges of what is found are then trimmed to the best interval near by, whose tail is multiplied by twice the
number of all intervals. Bonferroni over both: all reported p-values hold together, whatever part of the text is marked.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from watermark.detection import MIN_SCORED, Span

Scores = npt.NDArray[np.float64]
Window = tuple[float, int, int]  # log of the corrected p-value, start, end
LogTail = Callable[[int, int], float]
# At most so many windows get their exact tail: the most striking ones first.
MAX_EXAMINED = 64
_TRIMS = 4


def find_spans(scores: Scores, positions: npt.NDArray[np.int64], log_tail: LogTail, alpha: float) -> tuple[Span, ...]:
    """Disjoint stretches with corrected p <= alpha, in text order.

    `scores` (under H0 of mean 1 and variance 1) and `positions` are those of the counted tokens, in text order;
    `log_tail(start, end)` is the log of a valid p-value for counted tokens start .. end - 1 taken alone.
    """
    starts, ends = _windows(scores.size)
    if not starts.size:
        return ()
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    totals, counts = sums[ends] - sums[starts], ends - starts
    order = np.argsort(-(totals - counts) / np.sqrt(counts), kind="stable")
    correction = math.log(2 * starts.size)
    found = []
    for index in order[:MAX_EXAMINED]:
        log_p = log_tail(int(starts[index]), int(ends[index])) + correction
        if log_p <= math.log(alpha):
            found.append((log_p, int(starts[index]), int(ends[index])))
    trimmed = [min(window, _trim(window, scores, sums, log_tail)) for window in _disjoint(found)]
    spans = [Span(int(positions[a]), int(positions[b - 1]) + 1, math.exp(log_p)) for log_p, a, b in _disjoint(trimmed)]
    return tuple(sorted(spans, key=lambda span: span.start))


def _disjoint(windows: list[Window]) -> list[Window]:
    """The most significant windows that do not overlap."""
    chosen: list[Window] = []
    for window in sorted(windows):
        if all(window[2] <= other[1] or window[1] >= other[2] for other in chosen):
            chosen.append(window)
    return chosen


def _trim(window: Window, scores: Scores, sums: Scores, log_tail: LogTail) -> Window:
    """The interval in and around a window with the largest sum of score - c, c half-way between H0's mean and the window's."""
    _, start, end = window
    for _ in range(_TRIMS):
        margin = (end - start) // 2
        low, high = max(0, start - margin), min(scores.size, end + margin)
        bar = (1 + (sums[end] - sums[start]) / (end - start)) / 2
        walk = np.concatenate([[0.0], np.cumsum(scores[low:high] - bar)])
        best = int(np.argmax(walk - np.minimum.accumulate(walk)))
        first = int(np.argmin(walk[: best + 1]))
        if best - first < MIN_SCORED or (low + first, low + best) == (start, end):
            break
        start, end = low + first, low + best
    return log_tail(start, end) + math.log(scores.size * (scores.size + 1)), start, end


def _windows(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Starts and ends: lengths MIN_SCORED * 2^(k/2), a quarter of a length apart, and the whole."""
    starts, ends = [np.zeros(1, dtype=np.int64)], [np.array([count], dtype=np.int64)]
    length = float(MIN_SCORED)
    while length < count:
        size = int(length)
        first = np.arange(0, count - size + 1, max(size // 4, 1), dtype=np.int64)
        starts.append(first)
        ends.append(first + size)
        length *= math.sqrt(2)
    if count < MIN_SCORED:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate(starts), np.concatenate(ends)
