"""Which stretch of a text follows an EXP key: exact Gamma tails of windows over all offsets, corrected for all of them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from watermark.detection import MIN_SCORED, Span
from watermark.kernels.alignment import running_costs
from watermark.nulls.weighted_gamma import log_q_nodes


def find_aligned_spans(costs: npt.NDArray[np.floating], alpha: float) -> tuple[Span, ...]:
    """Disjoint stretches with corrected p <= alpha, in text order. `costs` (n, m) = log(1 - xi).

    Windows have lengths MIN_SCORED 2^(k/2) up to n (longer ones read a row twice), a quarter of a length apart. An insertion
    or deletion splits a stretch in two. Bonferroni over windows and offsets: all reported p-values hold together.
    """
    n, m = costs.shape
    sums = running_costs(costs)
    windows = _windows(min(n, m), m)
    looked = n * sum(len(starts) for _, starts in windows)
    found: list[tuple[float, int, int]] = []
    for size, starts in windows:
        scores = (sums[:, starts] - sums[:, starts + size]).max(axis=0)
        tails = log_q_nodes(size, np.maximum(scores, 1e-9)) + math.log(looked)
        found += [(float(t), int(s), int(s) + size) for t, s in zip(tails, starts) if t <= math.log(alpha)]
    chosen: list[tuple[float, int, int]] = []
    for window in sorted(found):
        if all(window[2] <= other[1] or window[1] >= other[2] for other in chosen):
            chosen.append(window)
    return tuple(Span(start, end, math.exp(log_p)) for log_p, start, end in sorted(chosen, key=lambda w: w[1]))


def _windows(longest: int, m: int) -> list[tuple[int, npt.NDArray[np.int64]]]:
    out, length = [], float(MIN_SCORED)
    while length <= longest:
        size = int(length)
        out.append((size, np.arange(0, m - size + 1, max(size // 4, 1), dtype=np.int64)))
        length *= math.sqrt(2)
    return out
