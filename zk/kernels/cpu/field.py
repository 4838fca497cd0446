"""Elementwise arithmetic on F and K arrays."""

from __future__ import annotations

import numpy as np

from zk.kernels.cpu.arguments import MODULUS, Array, IntArray, Scalar, check, f_array, int_array, k_array, split
from zk.kernels.cpu.arithmetic import (
    EPS,
    S32,
    ZERO,
    P,
    add,
    add_mul_add,
    from_halves,
    k_mul_parts,
    mul,
    mul_add,
    seven_times,
    sub,
)
from zk.kernels.cpu.emit import arrays_are_distinct, kernel, widest_vectors


@kernel
def _to_field(a, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    a, out = a[start:stop], out[start:stop]
    for i in range(a.size):
        x = a[i]
        out[i] = np.uint64(x) + (P if x < 0 else ZERO)


@kernel
def _f_add(a, b, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    a, b, out = a[start:stop], b[start:stop], out[start:stop]
    for i in range(a.size):
        out[i] = add(a[i], b[i])


@kernel
def _f_sub(a, b, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    a, b, out = a[start:stop], b[start:stop], out[start:stop]
    for i in range(a.size):
        out[i] = sub(a[i], b[i])


@kernel
def _f_mul(a, b, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    a, b, out = a[start:stop], b[start:stop], out[start:stop]
    for i in range(a.size):
        out[i] = mul(a[i], b[i])


@kernel
def _k_mul(a, b, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    arrays_are_distinct()
    a0, a1, b0, b1 = a[0, start:stop], a[1, start:stop], b[0, start:stop], b[1, start:stop]
    out0, out1 = out[0, start:stop], out[1, start:stop]
    for i in range(a0.size):
        c0, c1 = k_mul_parts(a0[i], a1[i], b0[i], b1[i])
        out0[i] = c0
        out1[i] = c1


@kernel
def _k_scale(a, s0, s1, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    arrays_are_distinct()
    a0, a1, out0, out1 = a[0, start:stop], a[1, start:stop], out[0, start:stop], out[1, start:stop]
    t1 = seven_times(s1)
    for i in range(a0.size):
        x0, x1 = a0[i], a1[i]
        out0[i] = mul_add(x0, s0, x1, t1)
        out1[i] = mul_add(x0, s1, x1, s0)


@kernel
def _k_axpy(acc, a, s0, s1, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    a0, a1, acc0, acc1 = a[0, start:stop], a[1, start:stop], acc[0, start:stop], acc[1, start:stop]
    t1 = seven_times(s1)
    for i in range(a0.size):
        x0, x1 = a0[i], a1[i]
        acc0[i] = add_mul_add(acc0[i], x0, s0, x1, t1)
        acc1[i] = add_mul_add(acc1[i], x0, s1, x1, s0)


@kernel
def _f_scale(a, s, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    a, out = a[start:stop], out[start:stop]
    for i in range(a.size):
        out[i] = mul(a[i], s)


@kernel
def _plane_sum(a, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    a = a[start:stop]
    low = high = ZERO
    for i in range(a.size):
        low += a[i] & EPS
        high += a[i] >> S32
    return from_halves(low, high)


def to_field(a: IntArray) -> Array:
    """Return the field elements of signed integers (x mod p, so a negative x becomes x + p)."""
    a = int_array(a)
    out = np.empty(a.shape, dtype=np.uint64)
    split(_to_field, a.size, a.reshape(-1), out.reshape(-1))
    return out


def _same_shape(a: Array, b: Array) -> None:
    check(a.shape == b.shape, f"operands must have one shape, got {a.shape} and {b.shape}")


def _elementwise(loop, a: Array, b: Array) -> Array:  # type: ignore[no-untyped-def]
    _same_shape(a, b)
    a, b = f_array(a), f_array(b)
    out = np.empty(a.shape, dtype=np.uint64)
    split(loop, a.size, a.reshape(-1), b.reshape(-1), out.reshape(-1))
    return out


def f_add(a: Array, b: Array) -> Array:
    """Return a + b elementwise over F."""
    return _elementwise(_f_add, a, b)


def f_sub(a: Array, b: Array) -> Array:
    """Return a - b elementwise over F."""
    return _elementwise(_f_sub, a, b)


def f_mul(a: Array, b: Array) -> Array:
    """Return a * b elementwise over F."""
    return _elementwise(_f_mul, a, b)


def k_add(a: Array, b: Array) -> Array:
    """Return a + b elementwise over K."""
    return _elementwise(_f_add, k_array(a), b)


def k_sub(a: Array, b: Array) -> Array:
    """Return a - b elementwise over K."""
    return _elementwise(_f_sub, k_array(a), b)


def k_mul(a: Array, b: Array) -> Array:
    """Return a * b elementwise over K."""
    _same_shape(a, b)
    a, b = k_array(a), k_array(b)
    out = np.empty(a.shape, dtype=np.uint64)
    n = a.size // 2
    split(_k_mul, n, a.reshape(2, n), b.reshape(2, n), out.reshape(2, n))
    return out


def k_scale(a: Array, s: Scalar) -> Array:
    """Return s * a for a K array a."""
    a = k_array(a)
    out = np.empty(a.shape, dtype=np.uint64)
    n = a.size // 2
    split(_k_scale, n, a.reshape(2, n), np.uint64(s[0]), np.uint64(s[1]), out.reshape(2, n))
    return out


def f_scale(a: Array, s: int) -> Array:
    """Return s * a elementwise over F."""
    a = f_array(a)
    out = np.empty(a.shape, dtype=np.uint64)
    split(_f_scale, a.size, a.reshape(-1), np.uint64(s), out.reshape(-1))
    return out


def k_scale_f(a: Array, s: Scalar) -> Array:
    """Return s * a, a K array, for an F array a."""
    return np.stack([f_scale(a, s[0]), f_scale(a, s[1])])


def k_axpy(acc: Array, a: Array, s: Scalar) -> None:
    """Add s * a to acc in place."""
    _same_shape(acc, a)
    target, a = k_array(acc), k_array(a)
    n = a.size // 2
    split(_k_axpy, n, target.reshape(2, n), a.reshape(2, n), np.uint64(s[0]), np.uint64(s[1]))
    if target is not acc:
        acc[...] = target


def k_sum(a: Array) -> Scalar:
    """Return the sum of the entries of a K array of shape (2, n)."""
    a = k_array(a)
    totals = [sum(split(_plane_sum, plane.size, plane)) % MODULUS for plane in a.reshape(2, a.size // 2)]
    return totals[0], totals[1]
