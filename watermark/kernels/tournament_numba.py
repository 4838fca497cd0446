"""Numba kernel of `watermark.kernels.tournament`. Its twin stands there; equality is tested."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from watermark.primitives.synthid_hash import INCREMENT, MULTIPLIER


# Sums may be reordered, so that they run in vector registers; nothing else of IEEE arithmetic is given up.
@njit(cache=True, fastmath={"reassoc", "nsz", "contract"})
def _play(probabilities: Any, table: Any, starts: Any) -> None:
    depth, size = starts.shape[1], probabilities.shape[1]
    for row in range(len(probabilities)):
        p = probabilities[row]
        g = table[starts[row, 0] : starts[row, 0] + size]
        mass = np.float32(0)
        for v in range(size):
            mass += p[v] * np.float32(g[v])
        for layer in range(depth):
            after = starts[row, min(layer + 1, depth - 1)]
            following = table[after : after + size]
            low, mass = np.float32(1) - mass, np.float32(0)
            for v in range(size):
                x = max(p[v] * (low + np.float32(g[v])), np.float32(0))
                p[v] = x
                mass += x * np.float32(following[v])
            g = following


def play_numba(probabilities: Any, table: Any, starts: Any) -> None:
    """See `watermark.kernels.tournament.play`."""
    _play(probabilities, table, starts)


@njit(cache=True)
def _find_starts(contexts: Any, shifts: Any, size: Any) -> Any:
    count, depth = len(contexts), len(shifts)
    hashed = np.ones(count, dtype=np.uint64)
    starts = np.empty((count, depth), dtype=np.int64)
    for row in range(count):
        state = np.uint64(1)
        for token in contexts[row]:
            state = (state + np.uint64(max(token, 0))) * MULTIPLIER + INCREMENT
        hashed[row] = state
        first = np.int64(state % np.uint64(size))
        for layer in range(depth):
            start = first + shifts[layer]
            starts[row, layer] = start - size if start >= size else start
    return hashed, starts


def find_starts_numba(contexts: Any, shifts: Any, size: int) -> Any:
    """See `watermark.kernels.tournament.find_starts`."""
    return _find_starts(contexts, shifts, size)
