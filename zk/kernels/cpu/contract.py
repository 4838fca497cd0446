"""Sums of integers, F or K elements against K weights (pre-contraction, zk/PROTOCOL.md sections 4.3, 6.3 and 10.6)."""

from __future__ import annotations

import numpy as np

from zk.kernels.cpu.arguments import Array, IntArray, check, f_array, int_array, k_array, split
from zk.kernels.cpu.arithmetic import EPS, S32, ZERO, from_halves, k_from_halves, k_mul_parts, k_products, mul_loose
from zk.kernels.cpu.emit import arrays_are_distinct, kernel, widest_vectors
from zk.kernels.cpu.field import to_field
from zk.kernels.cpu.small_integers import contract_small, fits

_PARALLEL_MACS = 1 << 16
# Column sums of one block, four words each, stay in the first-level cache.
_COLUMNS = 512
_FEW_COLUMNS = 16


@kernel
def _dots(x, v, step, repeat, out, start, stop):  # type: ignore[no-untyped-def]
    """x (s, m): out[:, i] = sum_j x[i, j] v[:, (i // repeat) step, j], for i in start..stop."""
    widest_vectors()
    for i in range(start, stop):
        k = i // repeat * step
        row, v0, v1 = x[i], v[0, k], v[1, k]
        s0 = s1 = s2 = s3 = ZERO
        for j in range(row.size):
            y0, y1 = mul_loose(row[j], v0[j]), mul_loose(row[j], v1[j])
            s0 += y0 & EPS
            s1 += y0 >> S32
            s2 += y1 & EPS
            s3 += y1 >> S32
        out[0, i], out[1, i] = from_halves(s0, s1), from_halves(s2, s3)


@kernel
def _columns(x, v, step, out, start, stop):  # type: ignore[no-untyped-def]
    """x (s, m, b): out[:, i, o] = sum_j x[i, j, o] v[:, i step, j] for the (i, column block) pairs start..stop."""
    widest_vectors()
    arrays_are_distinct()
    sums = np.empty((4, _COLUMNS), dtype=np.uint64)
    blocks = (x.shape[2] + _COLUMNS - 1) // _COLUMNS
    for task in range(start, stop):
        i, first = task // blocks, task % blocks * _COLUMNS
        width = min(_COLUMNS, x.shape[2] - first)
        s0, s1, s2, s3 = sums[0, :width], sums[1, :width], sums[2, :width], sums[3, :width]
        sums[:] = ZERO
        for j in range(x.shape[1]):
            row = x[i, j, first : first + width]
            w0, w1 = v[0, i * step, j], v[1, i * step, j]
            for o in range(width):
                y0, y1 = mul_loose(row[o], w0), mul_loose(row[o], w1)
                s0[o] += y0 & EPS
                s1[o] += y0 >> S32
                s2[o] += y1 & EPS
                s3[o] += y1 >> S32
        for o in range(width):
            out[0, i, first + o] = from_halves(s0[o], s1[o])
            out[1, i, first + o] = from_halves(s2[o], s3[o])


@kernel
def _dots_k(x, v, step, repeat, out, start, stop):  # type: ignore[no-untyped-def]
    """_dots for a K array x (2, s, m)."""
    widest_vectors()
    for i in range(start, stop):
        k = i // repeat * step
        x0, x1, v0, v1 = x[0, i], x[1, i], v[0, k], v[1, k]
        s0 = s1 = s2 = s3 = s4 = s5 = ZERO
        for j in range(x0.size):
            a, b, c = k_products(x0[j], x1[j], v0[j], v1[j])
            s0 += a & EPS
            s1 += a >> S32
            s2 += b & EPS
            s3 += b >> S32
            s4 += c & EPS
            s5 += c >> S32
        total = k_from_halves(s0, s1, s2, s3, s4, s5)
        out[0, i], out[1, i] = total[0], total[1]


@kernel
def _columns_k(x, v, step, out, start, stop):  # type: ignore[no-untyped-def]
    """_columns for a K array x (2, s, m, b)."""
    widest_vectors()
    sums = np.empty((4, _COLUMNS), dtype=np.uint64)
    blocks = (x.shape[3] + _COLUMNS - 1) // _COLUMNS
    for task in range(start, stop):
        i, first = task // blocks, task % blocks * _COLUMNS
        width = min(_COLUMNS, x.shape[3] - first)
        s0, s1, s2, s3 = sums[0, :width], sums[1, :width], sums[2, :width], sums[3, :width]
        sums[:] = ZERO
        for j in range(x.shape[2]):
            x0, x1 = x[0, i, j, first : first + width], x[1, i, j, first : first + width]
            w0, w1 = v[0, i * step, j], v[1, i * step, j]
            for o in range(width):
                y0, y1 = k_mul_parts(x0[o], x1[o], w0, w1)
                s0[o] += y0 & EPS
                s1[o] += y0 >> S32
                s2[o] += y1 & EPS
                s3[o] += y1 >> S32
        for o in range(width):
            out[0, i, first + o] = from_halves(s0[o], s1[o])
            out[1, i, first + o] = from_halves(s2[o], s3[o])


def _contract(x: Array, v: Array, step: int) -> Array:
    """x (s, m, b) against v (2, s, m) if step = 1, v (2, 1, m) if step = 0."""
    s, m, b = x.shape
    large = x.size >= _PARALLEL_MACS
    if b <= _FEW_COLUMNS:
        # Loops over a few columns do not vectorise; over the middle axis they do.
        rows = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(s * b, m)
        flat = np.empty((2, s * b), dtype=np.uint64)
        split(_dots, s * b, rows, v, step, b, flat, minimum=2 if large else s * b + 1)
        return flat.reshape(2, s, b)
    out = np.empty((2, s, b), dtype=np.uint64)
    tasks = s * -(-b // _COLUMNS)
    split(_columns, tasks, x, v, step, out, minimum=2 if large else tasks + 1)
    return out


def _contract_integers(x: IntArray, v: Array, step: int) -> Array:
    if fits(x):
        return contract_small(x, v, step, x.size >= _PARALLEL_MACS)
    return _contract(to_field(x), v, step)


def _weights(v: Array, m: int) -> Array:
    v = k_array(v)
    check(v.shape[1:] == (m,), f"the weights must have shape (2, {m}), got {v.shape}")
    return v.reshape(2, 1, m)


def _weights_each(v: Array, s: int, m: int) -> Array:
    v = k_array(v)
    check(v.shape[1:] == (s, m), f"the weights must have shape (2, {s}, {m}), got {v.shape}")
    return v


def contract(x: IntArray, v: Array) -> Array:
    """Sum integers (centred lift) of shape (a, m, b) against v of shape (2, m) over the middle axis: (2, a, b)."""
    x = int_array(x)
    return _contract_integers(x, _weights(v, x.shape[1]), 0)


def contract_f(x: Array, v: Array) -> Array:
    """contract for an F array x."""
    x = f_array(x)
    return _contract(x, _weights(v, x.shape[1]), 0)


def contract_each(x: IntArray, v: Array) -> Array:
    """contract with one vector per leading index: x (s, m, b) against v (2, s, m) gives (2, s, b)."""
    x = int_array(x)
    return _contract_integers(x, _weights_each(v, x.shape[0], x.shape[1]), 1)


def _contract_k(x: Array, v: Array, step: int) -> Array:
    _, s, m, b = x.shape
    large = x.size >= _PARALLEL_MACS
    if b <= _FEW_COLUMNS:
        rows = np.ascontiguousarray(x.transpose(0, 1, 3, 2)).reshape(2, s * b, m)
        flat = np.empty((2, s * b), dtype=np.uint64)
        split(_dots_k, s * b, rows, v, step, b, flat, minimum=2 if large else s * b + 1)
        return flat.reshape(2, s, b)
    out = np.empty((2, s, b), dtype=np.uint64)
    tasks = s * -(-b // _COLUMNS)
    split(_columns_k, tasks, x, v, step, out, minimum=2 if large else tasks + 1)
    return out


def contract_k(x: Array, v: Array) -> Array:
    """contract for a K array x of shape (2, a, m, b)."""
    x = k_array(x)
    return _contract_k(x, _weights(v, x.shape[2]), 0)


def contract_each_k(x: Array, v: Array) -> Array:
    """contract_each for a K array x of shape (2, s, m, b)."""
    x = k_array(x)
    return _contract_k(x, _weights_each(v, x.shape[1], x.shape[2]), 1)


def combine_rows(rows: Array, r: Array) -> Array:
    """Return sum_i r_i * row_i, a K array (2, k), for F rows (m, k) and K weights (2, m)."""
    rows = f_array(rows)
    m, k = rows.shape
    return _contract(rows.reshape(1, m, k), _weights(r, m), 0).reshape(2, k)
