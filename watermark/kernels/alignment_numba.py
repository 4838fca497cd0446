"""Numba kernel of `watermark.kernels.alignment`: the edit distance of a block against all key offsets at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# Offsets in one pass (a few vector registers, so that the chain of minima along a row does not wait) and key rows in one tile:
# two rows of a tile stay in the first-level cache.
_LANES = 64
_TILE = 64
_ALIGNMENT = 64
_STEP = np.uint64(_LANES)


@njit(cache=True, nogil=True)
def _row(above: Any, below: Any, costs: Any, first: int, width: int, gap: Any) -> None:
    """One text token over one tile: entries 1 .. width of `below` from its entry 0 and from `above`, _LANES numbers an entry.

    Indices are unsigned and the rows flat: no wrap-around of negative indices, no views, hence plain vector code.
    """
    for j in range(width):
        left = np.uint64(j) * _STEP
        here = left + _STEP
        cost = np.uint64(first) + np.uint64(j)
        for lane in range(_LANES):
            k = np.uint64(lane)
            a, b = above[here + k], below[left + k]
            skipped = (a if a < b else b) + gap
            matched = above[left + k] + costs[cost + k]
            below[here + k] = skipped if skipped < matched else matched


@njit(cache=True, nogil=True)
def _block(table: Any, start: int, k: int, gap: Any, edges: Any, first: int, column: Any, above: Any, below: Any) -> None:
    """All of one block for the offsets from `first` on. `column` (k + 1, lanes) carries the last entries from tile to tile."""
    for i in range(k + 1):
        column[i, :] = edges[i]
    for base in range(0, k, _TILE):
        width = min(_TILE, k - base)
        for j in range(width + 1):
            above[j * _LANES : (j + 1) * _LANES] = edges[base + j]
        column[0, :] = edges[base + width]
        for i in range(k):
            below[:_LANES] = column[i + 1, :]
            _row(above, below, table[start + i], first + base, width, gap)
            column[i + 1, :] = below[width * _LANES : (width + 1) * _LANES]
            above, below = below, above


@njit(cache=True, nogil=True)
def _edit_minima(
    table: Any, k: int, gap: Any, edges: Any, stride: int, n: int, column: Any, above: Any, below: Any, out: Any
) -> None:
    """`table` (m, n + k + lanes): costs by token, rows repeated cyclically. `edges` (k + 1): multiples of the gap."""
    for block in range(len(out)):
        out[block] = np.inf
        for first in range(0, n, _LANES):
            _block(table, block * stride, k, gap, edges, first, column, above, below)
            for lane in range(min(_LANES, n - first)):
                if column[k, lane] < out[block]:
                    out[block] = column[k, lane]


def edit_minima_numba(costs: Any, k: int, gap: float, stride: int) -> Any:
    """See `watermark.kernels.alignment.edit_minima`."""
    n, m = costs.shape
    kind = costs.dtype.type
    table = np.ascontiguousarray(np.take(costs.T, np.arange(n + k + _LANES) % n, axis=1))
    out = np.empty((m - k) // stride + 1, dtype=costs.dtype)
    edges = np.arange(k + 1).astype(kind) * kind(gap)
    column = _aligned((k + 1) * _LANES, costs.dtype).reshape(k + 1, _LANES)
    above, below = _aligned((_TILE + 1) * _LANES, costs.dtype), _aligned((_TILE + 1) * _LANES, costs.dtype)
    _edit_minima(table, k, kind(gap), edges, stride, n, column, above, below, out)
    return out


def _aligned(count: int, dtype: Any) -> Any:
    """An empty array that begins on a cache line."""
    raw = np.empty(count * dtype.itemsize + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + count * dtype.itemsize].view(dtype)
