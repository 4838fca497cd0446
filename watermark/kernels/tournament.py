"""The layers of SynthID's tournament on whole distributions: p <- p (1 + g - sum g p), once a depth.

g of token v at a depth is one entry of a table read from a start on: `table[start + v]`, the start depending on context and
depth (`watermark.generation.tournament` says why). So a layer reads both arrays in order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from watermark.primitives.synthid_hash import accumulate

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def play(probabilities: Floats, table: npt.NDArray[np.uint8], starts: Ints) -> None:
    """All layers, in place; what rounding takes below zero is zero.

    `probabilities` (n, V), `starts` (n, depth), `table` at least max(starts) + V entries 0 or 1.
    """
    try:
        from watermark.kernels.tournament_numba import play_numba
    except ImportError:
        play_plain(probabilities, table, starts)
        return
    play_numba(probabilities, table, starts)


def play_plain(probabilities: Floats, table: npt.NDArray[np.uint8], starts: Ints) -> None:
    """The plain twin; equal up to the rounding of the sums."""
    size = probabilities.shape[1]
    for p, row in zip(probabilities, starts.tolist()):
        for start in row:
            g = table[start : start + size].astype(np.float32)
            p *= np.maximum(1 + g - np.float32(g @ p), 0)


def find_starts(contexts: Ints, shifts: Ints, size: int) -> tuple[npt.NDArray[np.uint64], Ints]:
    """The hash of each context (n, width) and where each of its layers starts in a table of `size` entries: (n), (n, depth).

    What comes before the text (a negative token) counts as token 0. `shifts` (depth) lie in [0, size).
    """
    try:
        from watermark.kernels.tournament_numba import find_starts_numba
    except ImportError:
        return find_starts_plain(contexts, shifts, size)
    hashed, starts = find_starts_numba(contexts, shifts, size)
    return hashed, starts


def find_starts_plain(contexts: Ints, shifts: Ints, size: int) -> tuple[npt.NDArray[np.uint64], Ints]:
    """The plain twin."""
    state = np.ones(len(contexts), dtype=np.uint64)
    for column in np.maximum(contexts, 0).astype(np.uint64).T:
        state = accumulate(state, column)
    starts = (state % np.uint64(size)).astype(np.int64)[:, None] + shifts
    return state, starts % size
