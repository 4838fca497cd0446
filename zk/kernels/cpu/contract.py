"""Sums of integers, F or K elements against K weights (pre-contraction, zk/PROTOCOL.md sections 4.3, 6.3 and 10.6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from zk.kernels.cpu.arguments import Array, IntArray, check, f_array, int_array, k_array, split
from zk.kernels.cpu.arithmetic import EPS, S32, ZERO, from_halves, k_mul_parts, mul
from zk.kernels.cpu.emit import arrays_are_distinct, inlined, kernel, widest_vectors
from zk.kernels.cpu.field import to_field

_PARALLEL_MACS = 1 << 16


@inlined
def _dot(x, v0, v1):  # type: ignore[no-untyped-def]
    s0 = s1 = s2 = s3 = ZERO
    for j in range(x.size):
        y0, y1 = mul(x[j], v0[j]), mul(x[j], v1[j])
        s0 += y0 & EPS
        s1 += y0 >> S32
        s2 += y1 & EPS
        s3 += y1 >> S32
    return from_halves(s0, s1), from_halves(s2, s3)


@kernel
def _dots(x, v, step, out, start, stop):  # type: ignore[no-untyped-def]
    """x (s, m), v (2, s or 1, m): out[:, i] = sum_j x[i, j] v[:, i step, j]."""
    widest_vectors()
    for i in range(start, stop):
        out[0, i], out[1, i] = _dot(x[i], v[0, i * step], v[1, i * step])


@kernel
def _columns(x, v, step, out, start, stop):  # type: ignore[no-untyped-def]
    """x (s, m, b), out (2, s, b): out[:, i, o] = sum_j x[i, j, o] v[:, i step, j], for o in start..stop."""
    widest_vectors()
    arrays_are_distinct()
    width = stop - start
    sums = np.empty((4, width), dtype=np.uint64)
    s0, s1, s2, s3 = sums[0], sums[1], sums[2], sums[3]
    for i in range(x.shape[0]):
        sums[:] = ZERO
        for j in range(x.shape[1]):
            row = x[i, j, start:stop]
            w0, w1 = v[0, i * step, j], v[1, i * step, j]
            for o in range(width):
                y0, y1 = mul(row[o], w0), mul(row[o], w1)
                s0[o] += y0 & EPS
                s1[o] += y0 >> S32
                s2[o] += y1 & EPS
                s3[o] += y1 >> S32
        for o in range(width):
            out[0, i, start + o] = from_halves(s0[o], s1[o])
            out[1, i, start + o] = from_halves(s2[o], s3[o])


@kernel
def _columns_k(x, v, step, out, start, stop):  # type: ignore[no-untyped-def]
    """_columns for a K array x (2, s, m, b); start and stop range over the leading index."""
    widest_vectors()
    b = x.shape[3]
    sums = np.empty((4, b), dtype=np.uint64)
    s0, s1, s2, s3 = sums[0], sums[1], sums[2], sums[3]
    for i in range(start, stop):
        sums[:] = ZERO
        for j in range(x.shape[2]):
            x0, x1 = x[0, i, j], x[1, i, j]
            w0, w1 = v[0, i * step, j], v[1, i * step, j]
            for o in range(b):
                y0, y1 = k_mul_parts(x0[o], x1[o], w0, w1)
                s0[o] += y0 & EPS
                s1[o] += y0 >> S32
                s2[o] += y1 & EPS
                s3[o] += y1 >> S32
        for o in range(b):
            out[0, i, o] = from_halves(s0[o], s1[o])
            out[1, i, o] = from_halves(s2[o], s3[o])


def _contract(x: Array, v: Array, step: int) -> Array:
    """x (s, m, b) against v (2, s, m) if step = 1, v (2, 1, m) if step = 0."""
    s, m, b = x.shape
    out = np.empty((2, s, b), dtype=np.uint64)
    large = x.size >= _PARALLEL_MACS
    if b == 1:
        split(_dots, s, x.reshape(s, m), v, step, out.reshape(2, s), minimum=2 if large else s + 1)
    else:
        split(_columns, b, x, v, step, out, minimum=64 if large else b + 1)
    return out


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
    return _contract(to_field(x), _weights(v, x.shape[1]), 0)


def contract_f(x: Array, v: Array) -> Array:
    """contract for an F array x."""
    x = f_array(x)
    return _contract(x, _weights(v, x.shape[1]), 0)


def contract_each(x: IntArray, v: Array) -> Array:
    """contract with one vector per leading index: x (s, m, b) against v (2, s, m) gives (2, s, b)."""
    x = int_array(x)
    return _contract(to_field(x), _weights_each(v, x.shape[0], x.shape[1]), 1)


def _contract_k(x: Array, v: Array, step: int) -> Array:
    _, s, _, b = x.shape
    out = np.empty((2, s, b), dtype=np.uint64)
    minimum: Any = 2 if x.size >= _PARALLEL_MACS else s + 1
    split(_columns_k, s, x, v, step, out, minimum=minimum)
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
