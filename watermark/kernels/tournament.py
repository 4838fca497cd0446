"""The layers of SynthID's tournament on whole distributions: p <- p (1 + g - sum g p), once a depth.

g of token v at a depth is one entry of a table read from a start on: `table[start + v]`, the start depending on context and
depth (`watermark.generation.tournament` says why). So a layer reads both arrays in order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
