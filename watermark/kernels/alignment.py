"""Alignment of text blocks with a key sequence: costs of blocks, and of blocks up to insertions and deletions.

`costs` (n, m) holds the cost of writing token p at key row r. A block of k tokens from b on is laid against the rows
j, j + 1, ... (mod n); what is wanted is the least cost over the n offsets j, for every block.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Costs = npt.NDArray[np.floating]
# Importing Numba takes as long as about so many cells in the plain twin: from there on, counted over the whole process (a
# permutation test asks a thousand times), it pays.
NUMBA_FROM = 20_000_000
# Tokens laid out at once, at least.
_STRETCH = 256
_answered = 0


def running_costs(costs: Costs) -> Floats:
    """(n, m + 1) sums along diagonals: [s, p] is the cost of the tokens before p when token q lies at row (s + q) mod n."""
    n, m = costs.shape
    out = np.zeros((m + 1, n))
    for start, diagonals in _diagonals(costs):
        stretch = out[start + 1 : start + 1 + len(diagonals)]
        np.cumsum(diagonals, axis=0, out=stretch)
        stretch += out[start]
    return out.T


def total_costs(costs: Costs) -> Floats:
    """(n,) cost of the whole text at every offset."""
    out = np.zeros(len(costs))
    for _, diagonals in _diagonals(costs):
        out += diagonals.sum(axis=0, dtype=np.float64)
    return out


def _diagonals(costs: Costs) -> Iterator[tuple[int, Costs]]:
    """Stretches (start, view): [q, s] of a view is the cost of token p = start + q at row (s + p) mod n.

    A stretch is a multiple of n tokens, laid beside the rows repeated, and read one row further on for every token.
    """
    n, m = costs.shape
    length = n * -(-_STRETCH // n)
    for start in range(0, m, length):
        stretch = costs[:, start : start + length].T
        repeated = np.ascontiguousarray(np.tile(stretch, (1, 1 + length // n)))
        down, right = repeated.strides
        yield start, np.lib.stride_tricks.as_strided(repeated, stretch.shape, (down + right, right), writeable=False)


def block_minima(costs: Costs, k: int, stride: int = 1) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Least cost of every block of k tokens (at 0, stride, ...) without edits, and the offset that attains it."""
    n, m = costs.shape
    if m == k:
        table = total_costs(costs)[:, None]
    else:
        sums = running_costs(costs)
        table = sums[:, k::stride] - sums[:, : m + 1 - k : stride]
    shifts = table.argmin(axis=0)
    starts = np.arange(table.shape[1]) * stride
    return table[shifts, np.arange(table.shape[1])], (shifts + starts) % n


def edit_minima(costs: Costs, k: int, gap: float, stride: int = 1) -> Floats:
    """Least Levenshtein cost of every block (substitution: the table; insertion, deletion: `gap`), in the table's precision."""
    n, m = costs.shape
    blocks = (m - k) // stride + 1
    global _answered
    _answered += n * k * k * blocks
    if _answered >= NUMBA_FROM:
        try:
            from watermark.kernels.alignment_numba import edit_minima_numba
        except ImportError:
            return edit_minima_plain(costs, k, gap, stride)
        return np.asarray(edit_minima_numba(costs, k, gap, stride), dtype=np.float64)
    return edit_minima_plain(costs, k, gap, stride)


def edit_minima_plain(costs: Costs, k: int, gap: float, stride: int = 1) -> Floats:
    """The plain twin of the kernel: one vector operation over the offsets for every cell."""
    n, m = costs.shape
    kind = costs.dtype.type
    g = kind(gap)
    rows = (np.arange(n)[None, :] + np.arange(k)[:, None]) % n
    out = []
    for start in range(0, m - k + 1, stride):
        above = np.multiply.outer(np.arange(k + 1).astype(kind), np.full(n, g))
        for i in range(k):
            column = costs[:, start + i]
            diagonal = above[0].copy()
            above[0] = kind(i + 1) * g
            for j in range(1, k + 1):
                upper = above[j].copy()
                above[j] = np.minimum(np.minimum(upper, above[j - 1]) + g, diagonal + column[rows[j - 1]])
                diagonal = upper
        out.append(float(above[k].min()))
    return np.array(out)
