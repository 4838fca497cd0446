"""Layers, round polynomials and folds of LogUp-GKR (zk/PROTOCOL.md section 8)."""

from __future__ import annotations

import numpy as np

from zk.kernels.cpu.arguments import Array, Scalar, check, k_table, split
from zk.kernels.cpu.arithmetic import (
    EPS,
    ONE,
    S32,
    ZERO,
    add,
    add_mul_add,
    from_halves,
    k_from_halves,
    k_mul_add_parts,
    k_mul_parts,
    k_products,
    seven_times,
    sub,
)
from zk.kernels.cpu.emit import K, N, U, arrays_are_distinct, planes, table_kernel, widest_vectors
from zk.kernels.cpu.sumcheck import scalar_pairs

# Entries copied at a time where a table runs into its tail; ten block tables stay in the first-level cache.
_BLOCK = 128


@table_kernel(K, K, N, K, K, N, N)
def _up(p, q, half, up_p, up_q, start, stop):  # type: ignore[no-untyped-def]
    arrays_are_distinct()
    widest_vectors()
    first, last = half + start, half + stop
    p0, p1 = planes(p, start, stop)
    q0, q1 = planes(q, start, stop)
    r0, r1 = planes(p, first, last)
    s0, s1 = planes(q, first, last)
    n0, n1 = planes(up_p, start, stop)
    d0, d1 = planes(up_q, start, stop)
    for i in range(p0.size):
        x0, x1 = k_mul_add_parts(p0[i], p1[i], s0[i], s1[i], r0[i], r1[i], q0[i], q1[i])
        y0, y1 = k_mul_parts(q0[i], q1[i], s0[i], s1[i])
        n0[i] = x0
        n1[i] = x1
        d0[i] = y0
        d1[i] = y1


def gkr_up(p: Array, q: Array, half: int) -> tuple[Array, Array]:
    """Add fractions pairwise: one layer of the circuit of section 8.2 (see the reference for the definition)."""
    p, q = k_table(p), k_table(q)
    u = p.shape[1]
    check(q.shape[1] == u <= 2 * half, f"p and q must have one length <= {2 * half}, got {u} and {q.shape[1]}")
    used, pairs = min(u, half), max(u - half, 0)
    up_p = np.empty((2, used), dtype=np.uint64)
    up_q = np.empty((2, used), dtype=np.uint64)
    if pairs:
        split(_up, pairs, p, q, half, up_p, up_q)
    if pairs < used:
        # Against the tail 0/1 a fraction stays as it is.
        up_p[:, pairs:] = p[:, pairs:used]
        up_q[:, pairs:] = q[:, pairs:used]
    return up_p, up_q


@table_kernel(K, K, K, K, K, U, U, N, N, N)
def _round_full(pl, ql, pr, qr, eq, lam0, lam1, h, start, stop):  # type: ignore[no-untyped-def]
    """The entries x for which all four tables store both x and x + h.

    pl qr + pr ql + lam ql qr is computed as pl qr + ql (pr + lam qr).
    """
    widest_vectors()
    first, last = h + start, h + stop
    a0, a1 = planes(pl, start, stop)
    a2, a3 = planes(pl, first, last)
    b0, b1 = planes(ql, start, stop)
    b2, b3 = planes(ql, first, last)
    c0, c1 = planes(pr, start, stop)
    c2, c3 = planes(pr, first, last)
    d0, d1 = planes(qr, start, stop)
    d2, d3 = planes(qr, first, last)
    e0, e1 = planes(eq, start, stop)
    lam7 = seven_times(lam1)
    s0 = s1 = s2 = s3 = s4 = s5 = ZERO
    t0 = t1 = t2 = t3 = t4 = t5 = ZERO
    for i in range(a0.size):
        m0 = add_mul_add(c0[i], d0[i], lam0, d1[i], lam7)
        m1 = add_mul_add(c1[i], d0[i], lam1, d1[i], lam0)
        v0, v1 = k_mul_add_parts(a0[i], a1[i], d0[i], d1[i], b0[i], b1[i], m0, m1)
        x, y, z = k_products(v0, v1, e0[i], e1[i])
        s0 += x & EPS
        s1 += x >> S32
        s2 += y & EPS
        s3 += y >> S32
        s4 += z & EPS
        s5 += z >> S32
        f0, f1 = sub(d2[i], d0[i]), sub(d3[i], d1[i])
        m0 = add_mul_add(sub(c2[i], c0[i]), f0, lam0, f1, lam7)
        m1 = add_mul_add(sub(c3[i], c1[i]), f0, lam1, f1, lam0)
        g0, g1 = sub(b2[i], b0[i]), sub(b3[i], b1[i])
        v0, v1 = k_mul_add_parts(sub(a2[i], a0[i]), sub(a3[i], a1[i]), f0, f1, g0, g1, m0, m1)
        x, y, z = k_products(v0, v1, e0[i], e1[i])
        t0 += x & EPS
        t1 += x >> S32
        t2 += y & EPS
        t3 += y >> S32
        t4 += z & EPS
        t5 += z >> S32
    at_zero, at_infinity = k_from_halves(s0, s1, s2, s3, s4, s5), k_from_halves(t0, t1, t2, t3, t4, t5)
    return at_zero[0], at_zero[1], at_infinity[0], at_infinity[1]


@table_kernel(K, N, U, K)
def _window(t, first, tail, out):  # type: ignore[no-untyped-def]
    """Copy the entries first.. of a table into out, the tail where nothing is stored."""
    width = out.shape[1]
    stored = min(max(t.shape[1] - first, 0), width)
    x0, x1 = planes(t, first, first + stored)
    y0, y1 = planes(out, 0, width)
    for i in range(stored):
        y0[i] = x0[i]
        y1[i] = x1[i]
    for i in range(stored, width):
        y0[i] = tail
        y1[i] = ZERO


@table_kernel(K, K, K, K, K, U, U, N, N, N)
def _round_ragged(pl, ql, pr, qr, eq, lam0, lam1, h, start, stop):  # type: ignore[no-untyped-def]
    """The same for entries whose partners may lie in the tails: block by block, with the tails written out."""
    s0 = s1 = s2 = s3 = ZERO
    block = min(_BLOCK, stop - start)
    buffer = np.empty((4, 2, 2 * block), dtype=np.uint64)
    weights = np.empty((2, block), dtype=np.uint64)
    for first in range(start, stop, block):
        width = min(block, stop - first)
        for at in (0, 1):
            x, cut = first + at * h, slice(at * width, (at + 1) * width)
            _window(pl, x, ZERO, buffer[0][:, cut])
            _window(ql, x, ONE, buffer[1][:, cut])
            _window(pr, x, ZERO, buffer[2][:, cut])
            _window(qr, x, ONE, buffer[3][:, cut])
        _window(eq, first, ZERO, weights)
        part = _round_full(buffer[0], buffer[1], buffer[2], buffer[3], weights, lam0, lam1, width, 0, width)
        s0, s1, s2, s3 = add(s0, part[0]), add(s1, part[1]), add(s2, part[2]), add(s3, part[3])
    return s0, s1, s2, s3


@table_kernel(K, K, K, U, U, N, N)
def _round_left(pl, ql, eq, lam0, lam1, start, stop):  # type: ignore[no-untyped-def]
    """t0 for entries at which the right tables are all tail: sum of eq (pl + lam ql)."""
    widest_vectors()
    a0, a1 = planes(pl, start, stop)
    b0, b1 = planes(ql, start, stop)
    e0, e1 = planes(eq, start, stop)
    s0 = s1 = s2 = s3 = s4 = s5 = ZERO
    t0 = t1 = t2 = t3 = t4 = t5 = ZERO
    for i in range(a0.size):
        x, y, z = k_products(a0[i], a1[i], e0[i], e1[i])
        s0 += x & EPS
        s1 += x >> S32
        s2 += y & EPS
        s3 += y >> S32
        s4 += z & EPS
        s5 += z >> S32
        x, y, z = k_products(b0[i], b1[i], e0[i], e1[i])
        t0 += x & EPS
        t1 += x >> S32
        t2 += y & EPS
        t3 += y >> S32
        t4 += z & EPS
        t5 += z >> S32
    p, q = k_from_halves(s0, s1, s2, s3, s4, s5), k_from_halves(t0, t1, t2, t3, t4, t5)
    v = k_mul_parts(q[0], q[1], lam0, lam1)
    return add(p[0], v[0]), add(p[1], v[1]), ZERO, ZERO


@table_kernel(K, N, U, U)
def _round_tail(eq, used, lam0, lam1):  # type: ignore[no-untyped-def]
    """t0 for entries at which all tables are tail: lam (1 - sum of the other weights)."""
    widest_vectors()
    s0 = s1 = s2 = s3 = ZERO
    x, y = planes(eq, 0, used)
    for i in range(x.size):
        s0 += x[i] & EPS
        s1 += x[i] >> S32
        s2 += y[i] & EPS
        s3 += y[i] >> S32
    v = k_mul_parts(sub(ONE, from_halves(s0, s1)), sub(ZERO, from_halves(s2, s3)), lam0, lam1)
    return v[0], v[1], ZERO, ZERO


def gkr_round(pl: Array, ql: Array, pr: Array, qr: Array, eq: Array, lam: Scalar, N: int) -> tuple[Scalar, Scalar]:
    """Return t0 and tinf of one LogUp-GKR round (section 8.3; see the reference for the definition).

    The caller guarantees that eq sums to 1, which gives the contribution of the all-tail region.
    """
    pl, ql, pr, qr, eq = k_table(pl), k_table(ql), k_table(pr), k_table(qr), k_table(eq)
    h, a, b = N >> 1, pl.shape[1], pr.shape[1]
    check(ql.shape[1] == a and qr.shape[1] == b, "each p table must be as long as its q table")
    check(b <= a <= N == 2 * h and eq.shape[1] == h >= 1, f"lengths {b} <= {a} <= {N} and eq length {N // 2} needed")
    full, both, used = max(b - h, 0), min(b, h), min(a, h)
    lam0, lam1 = lam[0], lam[1]
    parts: list[tuple[int, ...]] = []
    if full:
        parts += split(_round_full, full, pl, ql, pr, qr, eq, lam0, lam1, h)
    if both > full:
        parts += split(_round_ragged, both - full, pl, ql, pr, qr, eq, lam0, lam1, h, offset=full)
    if used > both:
        parts += split(_round_left, used - both, pl, ql, eq, lam0, lam1, offset=both)
    if used < h:
        parts.append(_round_tail(eq, used, lam0, lam1))
    t0, tinf = scalar_pairs(parts)
    return t0, tinf


@table_kernel(K, N, U, U, U, K, N, N)
def _fold_padded(t, h, tail, r0, r1, out, start, stop):  # type: ignore[no-untyped-def]
    """Entries below pairs have a stored partner, the others meet the tail."""
    arrays_are_distinct()
    widest_vectors()
    t1 = seven_times(r1)
    pairs = min(max(t.shape[1] - h, start), stop)
    x0, x1 = planes(t, start, pairs)
    out0, out1 = planes(out, start, pairs)
    y0, y1 = planes(t, h + start, h + pairs)
    for i in range(x0.size):
        a0, a1 = x0[i], x1[i]
        d0, d1 = sub(y0[i], a0), sub(y1[i], a1)
        out0[i] = add_mul_add(a0, d0, r0, d1, t1)
        out1[i] = add_mul_add(a1, d0, r1, d1, r0)
    x0, x1 = planes(t, pairs, stop)
    out0, out1 = planes(out, pairs, stop)
    for i in range(x0.size):
        a0, a1 = x0[i], x1[i]
        d0, d1 = sub(tail, a0), sub(ZERO, a1)
        out0[i] = add_mul_add(a0, d0, r0, d1, t1)
        out1[i] = add_mul_add(a1, d0, r1, d1, r0)


def gkr_fold(t: Array, N: int, tail: int, r: Scalar) -> Array:
    """Bind the first variable of a table of logical size N whose entries beyond the stored ones equal tail (0 or 1).

    Returns the used prefix of the folded table, min(stored, N/2) entries; its tail is the same constant.
    """
    t = k_table(t)
    u, h = t.shape[1], N >> 1
    check(u <= N == 2 * h, f"a table of logical size {N} cannot store {u} entries")
    used = min(u, h)
    out = np.empty((2, used), dtype=np.uint64)
    split(_fold_padded, used, t, h, tail, r[0], r[1], out)
    return out
