"""Folding and round polynomials of products (zk/PROTOCOL.md section 6)."""

from __future__ import annotations

import numpy as np

from zk.kernels.cpu.arguments import MODULUS, Array, Scalar, check, f_array, half_of, k_table, split
from zk.kernels.cpu.arithmetic import (
    EPS,
    S32,
    ZERO,
    add,
    add_mul_add,
    from_halves,
    k_from_halves,
    k_mul_parts,
    k_products,
    mul,
    mul_add_loose,
    mul_loose,
    seven_times,
    sub,
)
from zk.kernels.cpu.emit import F, K, N, U, arrays_are_distinct, plane, planes, table_kernel, widest_vectors


@table_kernel(K, U, U, K, N, N)
def _fold(t, r0, r1, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    arrays_are_distinct()
    h = out.shape[1]
    x0, x1 = planes(t, start, stop)
    y0, y1 = planes(t, h + start, h + stop)
    out0, out1 = planes(out, start, stop)
    t1 = seven_times(r1)
    for i in range(x0.size):
        a0, a1 = x0[i], x1[i]
        d0, d1 = sub(y0[i], a0), sub(y1[i], a1)
        out0[i] = add_mul_add(a0, d0, r0, d1, t1)
        out1[i] = add_mul_add(a1, d0, r1, d1, r0)


@table_kernel(F, U, U, K, N, N)
def _fold_f(t, r0, r1, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    arrays_are_distinct()
    h = out.shape[1]
    x, y = t[start:stop], t[h + start : h + stop]
    out0, out1 = planes(out, start, stop)
    for i in range(x.size):
        d = sub(y[i], x[i])
        out0[i] = add(x[i], mul(d, r0))
        out1[i] = mul(d, r1)


@table_kernel(K, K, N, N, N)
def _round2(c, f, h, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    c0, c1 = planes(c, start, stop)
    d0, d1 = planes(c, h + start, h + stop)
    f0, f1 = planes(f, start, stop)
    g0, g1 = planes(f, h + start, h + stop)
    s0 = s1 = s2 = s3 = s4 = s5 = ZERO
    t0 = t1 = t2 = t3 = t4 = t5 = ZERO
    for i in range(c0.size):
        x, y, z = k_products(c0[i], c1[i], f0[i], f1[i])
        s0 += x & EPS
        s1 += x >> S32
        s2 += y & EPS
        s3 += y >> S32
        s4 += z & EPS
        s5 += z >> S32
        x, y, z = k_products(sub(d0[i], c0[i]), sub(d1[i], c1[i]), sub(g0[i], f0[i]), sub(g1[i], f1[i]))
        t0 += x & EPS
        t1 += x >> S32
        t2 += y & EPS
        t3 += y >> S32
        t4 += z & EPS
        t5 += z >> S32
    low, high = k_from_halves(s0, s1, s2, s3, s4, s5), k_from_halves(t0, t1, t2, t3, t4, t5)
    return low[0], low[1], high[0], high[1]


@table_kernel(K, F, N, N, N)
def _round2_f(c, f, h, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    c0, c1 = planes(c, start, stop)
    d0, d1 = planes(c, h + start, h + stop)
    f0, g0 = f[start:stop], f[h + start : h + stop]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = ZERO
    for i in range(c0.size):
        x0, x1 = mul_loose(c0[i], f0[i]), mul_loose(c1[i], f0[i])
        df = sub(g0[i], f0[i])
        y0, y1 = mul_loose(sub(d0[i], c0[i]), df), mul_loose(sub(d1[i], c1[i]), df)
        s0 += x0 & EPS
        s1 += x0 >> S32
        s2 += x1 & EPS
        s3 += x1 >> S32
        s4 += y0 & EPS
        s5 += y0 >> S32
        s6 += y1 & EPS
        s7 += y1 >> S32
    return from_halves(s0, s1), from_halves(s2, s3), from_halves(s4, s5), from_halves(s6, s7)


@table_kernel(K, K, K, N, N, N)
def _round3(c, a, b, h, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    c0, c1 = planes(c, start, stop)
    c2, c3 = planes(c, h + start, h + stop)
    a0, a1 = planes(a, start, stop)
    a2, a3 = planes(a, h + start, h + stop)
    b0, b1 = planes(b, start, stop)
    b2, b3 = planes(b, h + start, h + stop)
    s0 = s1 = s2 = s3 = s4 = s5 = ZERO
    t0 = t1 = t2 = t3 = t4 = t5 = ZERO
    u0 = u1 = u2 = u3 = u4 = u5 = ZERO
    for i in range(c0.size):
        dc0, dc1 = sub(c2[i], c0[i]), sub(c3[i], c1[i])
        # a b = e0 + e1 X + e2 X^2 on this line; e0 + e1 + e2 is its value at 1
        e00, e01 = k_mul_parts(a0[i], a1[i], b0[i], b1[i])
        e20, e21 = k_mul_parts(sub(a2[i], a0[i]), sub(a3[i], a1[i]), sub(b2[i], b0[i]), sub(b3[i], b1[i]))
        v0, v1 = k_mul_parts(a2[i], a3[i], b2[i], b3[i])
        e10, e11 = sub(sub(v0, e00), e20), sub(sub(v1, e01), e21)
        x, y, z = k_products(c0[i], c1[i], e00, e01)
        s0 += x & EPS
        s1 += x >> S32
        s2 += y & EPS
        s3 += y >> S32
        s4 += z & EPS
        s5 += z >> S32
        x, y, z = k_products(c0[i], c1[i], e20, e21)
        t0 += x & EPS
        t1 += x >> S32
        t2 += y & EPS
        t3 += y >> S32
        t4 += z & EPS
        t5 += z >> S32
        x, y, z = k_products(dc0, dc1, e10, e11)
        t0 += x & EPS
        t1 += x >> S32
        t2 += y & EPS
        t3 += y >> S32
        t4 += z & EPS
        t5 += z >> S32
        x, y, z = k_products(dc0, dc1, e20, e21)
        u0 += x & EPS
        u1 += x >> S32
        u2 += y & EPS
        u3 += y >> S32
        u4 += z & EPS
        u5 += z >> S32
    low, mid = k_from_halves(s0, s1, s2, s3, s4, s5), k_from_halves(t0, t1, t2, t3, t4, t5)
    high = k_from_halves(u0, u1, u2, u3, u4, u5)
    return low[0], low[1], mid[0], mid[1], high[0], high[1]


@table_kernel(K, F, F, N, N, N)
def _round3_ff(c, a, b, h, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    c0, c1 = planes(c, start, stop)
    c2, c3 = planes(c, h + start, h + stop)
    a0, a1, b0, b1 = a[start:stop], a[h + start : h + stop], b[start:stop], b[h + start : h + stop]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = s10 = s11 = ZERO
    for i in range(c0.size):
        e0 = mul(a0[i], b0[i])
        e2 = mul(sub(a1[i], a0[i]), sub(b1[i], b0[i]))
        e1 = sub(sub(mul(a1[i], b1[i]), e0), e2)
        dc0, dc1 = sub(c2[i], c0[i]), sub(c3[i], c1[i])
        x0, x1 = mul_loose(c0[i], e0), mul_loose(c1[i], e0)
        y0, y1 = mul_add_loose(c0[i], e2, dc0, e1), mul_add_loose(c1[i], e2, dc1, e1)
        z0, z1 = mul_loose(dc0, e2), mul_loose(dc1, e2)
        s0 += x0 & EPS
        s1 += x0 >> S32
        s2 += x1 & EPS
        s3 += x1 >> S32
        s4 += y0 & EPS
        s5 += y0 >> S32
        s6 += y1 & EPS
        s7 += y1 >> S32
        s8 += z0 & EPS
        s9 += z0 >> S32
        s10 += z1 & EPS
        s11 += z1 >> S32
    return (
        from_halves(s0, s1),
        from_halves(s2, s3),
        from_halves(s4, s5),
        from_halves(s6, s7),
        from_halves(s8, s9),
        from_halves(s10, s11),
    )


@table_kernel(K, K, N, N)
def _halve(t, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    h = out.shape[1]
    for k in range(2):
        x = plane(t, k, start, stop)
        y = plane(t, k, h + start, h + stop)
        z = plane(out, k, start, stop)
        for i in range(x.size):
            z[i] = add(x[i], y[i])


def scalar_pairs(parts: list[tuple[int, ...]]) -> list[Scalar]:
    """Add the partial sums of the threads and pair the planes up."""
    totals = parts[0]
    if len(parts) > 1:
        totals = tuple(sum(column) % MODULUS for column in zip(*parts, strict=True))
    return list(zip(totals[::2], totals[1::2], strict=True))


def fold(t: Array, r: Scalar) -> Array:
    """Bind the first variable of a K table to r: t[i] + r (t[i+h] - t[i])."""
    t = k_table(t)
    h = half_of(t.shape[1])
    out = np.empty((2, h), dtype=np.uint64)
    split(_fold, h, t, r[0], r[1], out)
    return out


def fold_f(t: Array, r: Scalar) -> Array:
    """Bind the first variable of an F table to r; the result is a K table."""
    t = f_array(t)
    h = half_of(t.shape[0])
    out = np.empty((2, h), dtype=np.uint64)
    split(_fold_f, h, t, r[0], r[1], out)
    return out


def _half(n: int, *others: int) -> int:
    for m in others:
        check(m == n, f"the tables of a round must have one length, got {n} and {m}")
    return half_of(n)


def round2(c: Array, f: Array) -> tuple[Scalar, Scalar]:
    """Return the coefficients of X^0 and X^2 of sum_i (c_i + X dc_i)(f_i + X df_i) (section 6.1)."""
    c, f = k_table(c), k_table(f)
    h = _half(c.shape[1], f.shape[1])
    c0, c2 = scalar_pairs(split(_round2, h, c, f, h))
    return c0, c2


def round2_f(c: Array, f: Array) -> tuple[Scalar, Scalar]:
    """round2 with an F table as second operand."""
    c, f = k_table(c), f_array(f)
    h = _half(c.shape[1], f.shape[0])
    c0, c2 = scalar_pairs(split(_round2_f, h, c, f, h))
    return c0, c2


def round3(c: Array, a: Array, b: Array) -> tuple[Scalar, Scalar, Scalar]:
    """Return the coefficients of X^0, X^2 and X^3 of the cubic round polynomial of c * a * b (section 6.1)."""
    c, a, b = k_table(c), k_table(a), k_table(b)
    h = _half(c.shape[1], a.shape[1], b.shape[1])
    c0, c2, c3 = scalar_pairs(split(_round3, h, c, a, b, h))
    return c0, c2, c3


def round3_ff(c: Array, a: Array, b: Array) -> tuple[Scalar, Scalar, Scalar]:
    """round3 for F tables a and b."""
    c, a, b = k_table(c), f_array(a), f_array(b)
    h = _half(c.shape[1], a.shape[0], b.shape[0])
    c0, c2, c3 = scalar_pairs(split(_round3_ff, h, c, a, b, h))
    return c0, c2, c3


def eq_halve(eq: Array) -> Array:
    """Drop the first variable of an eq table: eq[i] + eq[i+h]."""
    eq = k_table(eq)
    h = half_of(eq.shape[1])
    out = np.empty((2, h), dtype=np.uint64)
    split(_halve, h, eq, out)
    return out
