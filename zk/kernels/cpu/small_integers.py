"""Contractions of small integers: exact signed 64-bit sums of 32-bit limbs, reduced once at the end.

A weight v is written as high 2^32 + low with both limbs in [-2^31, 2^31). If |x| <= 2^b and a sum has m < 2^(32-b)
terms, each sum of x * limb stays below 2^63. Training data and gradients are that small; anything else takes the
general path.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zk.kernels.cpu.arguments import MODULUS, Array, IntArray, split
from zk.kernels.cpu.arithmetic import ZERO, P, add, mul
from zk.kernels.cpu.emit import arrays_are_distinct, inlined, kernel, widest_vectors

_MAX_BITS = 31
# Column sums of one block, four words each, stay in the first-level cache.
_COLUMNS = 512
_FEW_COLUMNS = 16
_TWO_32 = np.uint64(2**32)


def fits(x: IntArray) -> bool:
    """Tell whether the contraction of x (s, m, b) over its middle axis can use the small-integer loops."""
    m = x.shape[1]
    if x.size == 0 or m >= 1 << 30:
        return False
    bound = max(int(x.max()), -int(x.min()))
    return bound < 1 << _MAX_BITS and bound * m < 1 << 32


def limbs(v: Array) -> IntArray:
    """Return the signed limbs (low of plane 0, high of plane 0, low of plane 1, high of plane 1) of (2, s, m)."""
    half = np.uint64(MODULUS // 2)
    centred = np.where(v >= half, v - P, v).view(np.int64)
    low = ((centred + 2**31) & (2**32 - 1)) - 2**31
    high = (centred - low) >> 32
    return np.ascontiguousarray(np.stack([low[0], high[0], low[1], high[1]]))


@inlined
def _value(low, high):  # type: ignore[no-untyped-def]
    """Return the field element low + 2^32 high of two signed sums."""
    x = np.uint64(low) + (P if low < 0 else ZERO)
    y = np.uint64(high) + (P if high < 0 else ZERO)
    return add(x, mul(y, _TWO_32))


@kernel
def _dots(x, w, step, repeat, out, start, stop):  # type: ignore[no-untyped-def]
    """x (s, m): out[:, i] = sum_j x[i, j] times weight j of vector (i // repeat) step, for i in start..stop."""
    widest_vectors()
    for i in range(start, stop):
        k = i // repeat * step
        row, w0, w1, w2, w3 = x[i], w[0, k], w[1, k], w[2, k], w[3, k]
        s0 = s1 = s2 = s3 = np.int64(0)
        for j in range(row.size):
            y = np.int64(np.int32(row[j]))
            s0 += y * np.int64(np.int32(w0[j]))
            s1 += y * np.int64(np.int32(w1[j]))
            s2 += y * np.int64(np.int32(w2[j]))
            s3 += y * np.int64(np.int32(w3[j]))
        out[0, i] = _value(s0, s1)
        out[1, i] = _value(s2, s3)


@kernel
def _columns(x, w, step, out, start, stop):  # type: ignore[no-untyped-def]
    """x (s, m, b): all of out[:, i, o] for the (i, column block) pairs start..stop."""
    widest_vectors()
    arrays_are_distinct()
    sums = np.empty((4, _COLUMNS), dtype=np.int64)
    blocks = (x.shape[2] + _COLUMNS - 1) // _COLUMNS
    for task in range(start, stop):
        i, first = task // blocks, task % blocks * _COLUMNS
        width = min(_COLUMNS, x.shape[2] - first)
        t0, t1, t2, t3 = sums[0, :width], sums[1, :width], sums[2, :width], sums[3, :width]
        sums[:] = 0
        for j in range(x.shape[1]):
            row = x[i, j, first : first + width]
            w0, w1 = np.int64(np.int32(w[0, i * step, j])), np.int64(np.int32(w[1, i * step, j]))
            w2, w3 = np.int64(np.int32(w[2, i * step, j])), np.int64(np.int32(w[3, i * step, j]))
            for o in range(width):
                y = np.int64(np.int32(row[o]))
                t0[o] += y * w0
                t1[o] += y * w1
                t2[o] += y * w2
                t3[o] += y * w3
        for o in range(width):
            out[0, i, first + o] = _value(t0[o], t1[o])
            out[1, i, first + o] = _value(t2[o], t3[o])


def contract_small(x: IntArray, v: Array, step: int, is_large: bool) -> Array:
    """Contract x (s, m, b), for which fits(x) holds, with v (2, s, m) if step = 1, v (2, 1, m) if step = 0."""
    s, m, b = x.shape
    w = limbs(v)
    if b <= _FEW_COLUMNS:
        # Loops over a few columns do not vectorise; over the middle axis they do.
        rows: npt.NDArray[np.int64] = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(s * b, m)
        flat = np.empty((2, s * b), dtype=np.uint64)
        split(_dots, s * b, rows, w, step, b, flat, minimum=2 if is_large else s * b + 1)
        return flat.reshape(2, s, b)
    out = np.empty((2, s, b), dtype=np.uint64)
    tasks = s * -(-b // _COLUMNS)
    split(_columns, tasks, x, w, step, out, minimum=2 if is_large else tasks + 1)
    return out
