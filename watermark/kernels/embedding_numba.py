"""Numba kernels of `watermark.kernels.embedding`. Twins there; equality is tested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from watermark.kernels.green_list_numba import _green_rows
from watermark.kernels.philox_numba import _SCALE, _vocabulary_words, prepare


@njit(cache=True)
def _add_bias(
    scores: Any, seeds: Any, vocab_size: int, steps: int, inverted: bool, delta: Any, lists: Any, owners: Any, out: Any
) -> None:
    wanted = np.empty(1, np.uint32)
    for row in range(len(scores)):
        slot = np.int64(seeds[row]) & (len(owners) - 1)
        bits = lists[slot]
        if owners[slot] != np.int64(seeds[row]):
            wanted[0] = seeds[row]
            bits[:] = 0
            _green_rows(wanted, vocab_size, steps, lists[slot : slot + 1])
            if inverted:
                for byte in range(len(bits)):
                    bits[byte] = ~bits[byte]
            owners[slot] = np.int64(seeds[row])
        line, given = out[row], scores[row]
        for byte in range(vocab_size >> 3):
            b = np.int32(bits[byte])
            for j in range(8):
                line[8 * byte + j] = given[8 * byte + j] + delta * np.float32((b >> (7 - j)) & 1)
        for v in range(vocab_size & ~7, len(line)):
            listed = v < vocab_size and (bits[v >> 3] >> (7 - (v & 7))) & 1
            line[v] = given[v] + (delta if listed else np.float32(0))


def add_bias_numba(table: Any, scores: Any, seeds: Any, delta: float) -> Any:
    """See `watermark.kernels.embedding.ListTable.add_bias`."""
    out = np.empty_like(scores)
    size, steps = table.vocab_size, table.steps
    _add_bias(scores, seeds, size, steps, table.inverted, np.float32(delta), table.lists, table.owners, out)
    return out


# Running sums are taken in blocks: a sum may be reordered and so runs in vector registers, a scan token by token may not.
BLOCK = 32


@njit(cache=True, fastmath={"reassoc", "nsz", "contract"})
def _block_sum(line: Any, order: Any, first: int) -> float:
    total = 0.0
    for place in range(first, first + BLOCK):
        total += line[order[place]]
    return total


@njit(cache=True)
def _first_reaching(probabilities: Any, order: Any, targets: Any, out: Any) -> None:
    for row in range(len(probabilities)):
        line, target, total, first = probabilities[row], targets[row], 0.0, 0
        while first + BLOCK <= len(order):
            block = _block_sum(line, order, first)
            if total + block >= target:
                break
            total += block
            first += BLOCK
        last = -1
        for place in range(first, len(order)):
            p = line[order[place]]
            if p > 0:
                total += p
                last = place
                if total >= target:
                    break
        while last < 0 and first > 0:
            first -= 1
            if line[order[first]] > 0:
                last = first
        out[row] = order[max(last, 0)]


def first_reaching_numba(probabilities: Any, order: Any, targets: Any) -> Any:
    """See `watermark.kernels.embedding.first_reaching`."""
    out = np.zeros(len(probabilities), dtype=np.int64)
    _first_reaching(probabilities, order, targets, out)
    return out


@njit(cache=True)
def _least_arrival(probabilities: Any, contexts: Any, low: Any, high: Any, words: Any, out: Any) -> None:
    """The logarithm is taken only where 1 - u, which is at most -log u, leaves the token a chance."""
    for row in range(len(probabilities)):
        _vocabulary_words(contexts[row], low[row], high[row], words)
        line, least = probabilities[row], math.inf
        for token in range(len(line)):
            p = np.float64(line[token])
            u = np.float64(np.float32(((words[token & 3, token >> 2] >> np.uint32(8)) + 1.0) / _SCALE))
            if 1.0 - u < least * p:
                arrival = -math.log(u) / p
                if arrival < least:
                    least, out[row] = arrival, token


def least_arrival_numba(probabilities: Any, contexts: Any, keys: Sequence[int]) -> Any:
    """See `watermark.kernels.embedding.least_arrival`."""
    out = np.zeros(len(probabilities), dtype=np.int64)
    _least_arrival(probabilities, *prepare(contexts, keys, probabilities.shape[1]), out)
    return out
