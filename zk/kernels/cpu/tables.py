"""Tables of products: eq polynomials and outer products (zk/PROTOCOL.md sections 1 and 6.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zk.kernels.cpu.arguments import PARALLEL_MIN, Array, Scalar, check, k_table, split
from zk.kernels.cpu.arithmetic import add_mul_add, mul_add, seven_times, sub
from zk.kernels.cpu.emit import K, N, U, arrays_are_distinct, planes, table_kernel, widest_vectors


@table_kernel(K, U, U, K)
def _expand_eq(small, r0, r1, out):  # type: ignore[no-untyped-def]
    """out[2i], out[2i+1] = small[i] (1 - r), small[i] r."""
    widest_vectors()
    t1 = seven_times(r1)
    for i in range(small.shape[1]):
        x0, x1 = small[0, i], small[1, i]
        y0 = mul_add(x0, r0, x1, t1)
        y1 = mul_add(x0, r1, x1, r0)
        out[0, 2 * i], out[1, 2 * i] = sub(x0, y0), sub(x1, y1)
        out[0, 2 * i + 1], out[1, 2 * i + 1] = y0, y1


@table_kernel(K, K, K, N, N)
def _outer(u, v, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    arrays_are_distinct()
    b = v.shape[1]
    v0, v1 = planes(v, 0, b)
    for i in range(start, stop):
        s0, s1 = u[0, i], u[1, i]
        t1 = seven_times(s1)
        out0, out1 = planes(out, i * b, (i + 1) * b)
        for j in range(b):
            x0, x1 = v0[j], v1[j]
            out0[j] = mul_add(x0, s0, x1, t1)
            out1[j] = mul_add(x0, s1, x1, s0)


@table_kernel(K, K, K, N, N)
def _outer_add(u, v, acc, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    arrays_are_distinct()
    b = v.shape[1]
    v0, v1 = planes(v, 0, b)
    for i in range(start, stop):
        s0, s1 = u[0, i], u[1, i]
        t1 = seven_times(s1)
        acc0, acc1 = planes(acc, i * b, (i + 1) * b)
        for j in range(b):
            x0, x1 = v0[j], v1[j]
            acc0[j] = add_mul_add(acc0[j], x0, s0, x1, t1)
            acc1[j] = add_mul_add(acc1[j], x0, s1, x1, s0)


def eq_table(point: Sequence[Scalar]) -> Array:
    """Return eq(point, i) for all i; the first coordinate belongs to the most significant bit of i."""
    if len(point) > 12:
        # The outer product vectorises and runs on two threads; the interleaving expansion does neither.
        return outer(eq_table(point[:-10]), eq_table(point[-10:]))
    table = np.array([[1], [0]], dtype=np.uint64)
    for r0, r1 in point:
        grown = np.empty((2, 2 * table.shape[1]), dtype=np.uint64)
        _expand_eq(table, r0, r1, grown)
        table = grown
    return table


def outer(u: Array, v: Array) -> Array:
    """Return u[i] * v[j] at index i * len(v) + j."""
    u, v = k_table(u), k_table(v)
    a, b = u.shape[1], v.shape[1]
    out = np.empty((2, a * b), dtype=np.uint64)
    _by_rows(_outer, u, v, out, a, b)
    return out


def outer_add(acc: Array, u: Array, v: Array) -> None:
    """Add outer(u, v) to acc in place."""
    u, v = k_table(u), k_table(v)
    a, b = u.shape[1], v.shape[1]
    check(acc.shape == (2, a * b), f"acc must have shape {(2, a * b)}, got {acc.shape}")
    target = k_table(acc)
    _by_rows(_outer_add, u, v, target, a, b)
    if target is not acc:
        acc[...] = target


def _by_rows(loop: Any, u: Array, v: Array, out: Array, a: int, b: int) -> None:
    split(loop, a, u, v, out, minimum=2 if a * b >= PARALLEL_MIN else a + 1)
