"""Detection of shift-keyed marks: the cost of aligning blocks of a text with the key sequence, at the best offset.

EXP without edits has an exact null: under H0 the negated cost of a (block, offset) of k distinct (row, token) pairs is
Gamma(k, 1) (sums of -log(1 - xi)), so p = min(1, offsets x blocks x Q(k, S)). Where rows come round again (k > n), every (row,
token) pair is counted once. Generators give 24 or 32 bits, rounded down: the sum is then never larger than its continuous law.
All other statistics are tested against fresh keys (`watermark.nulls.permutation`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from watermark.kernels.alignment import running_costs, total_costs
from watermark.nulls.weighted_gamma import log_q_nodes

Ints = npt.NDArray[np.int64]
Costs = npt.NDArray[np.floating]


@dataclass(frozen=True)
class BlockTest:
    """log p of the best (block, offset), its number of distinct pairs and their score, and how many were looked at."""

    log_p: float
    shape: int
    score: float
    looked: int
    start: int
    offset: int


def exact_block_test(costs: Costs, tokens: Ints, k: int, stride: int = 1) -> BlockTest:
    """The exact EXP test on `costs` (n, m) = log(1 - xi). Union bound over blocks and offsets."""
    n, m = costs.shape
    starts = np.arange(0, m - k + 1, stride)
    looked = n * len(starts)
    best = BlockTest(0.0, k, 0.0, looked, 0, 0)
    sums = None if m == k else running_costs(costs)
    for start in starts.tolist():
        scores = -total_costs(costs) if sums is None else sums[:, start] - sums[:, start + k]
        repeats = _repeats(tokens[start : start + k], n) + start
        if repeats.size:
            rows = (np.arange(n)[:, None] + repeats[None, :]) % n
            scores = scores + np.take_along_axis(costs[:, repeats], rows, axis=0).sum(axis=1, dtype=np.float64)
        shape, shift = k - repeats.size, int(scores.argmax())
        score = float(scores[shift])
        if score > 0 and (best.score == 0.0 or shape != best.shape or score > best.score):
            log_p = min(0.0, float(log_q_nodes(shape, np.array([score]))[0]) + math.log(looked))
            if log_p <= best.log_p:
                best = BlockTest(log_p, shape, score, looked, start, (shift + start) % n)
    return best


def _repeats(block: Ints, n: int) -> Ints:
    """Places whose (row, token) pair came before: a token again, a multiple of n tokens later, whatever the offset."""
    places = np.arange(len(block))
    if len(block) <= n:
        return places[:0]
    pairs = (places % n) * (int(block.max()) + 1) + block
    return np.delete(places, np.unique(pairs, return_index=True)[1])
