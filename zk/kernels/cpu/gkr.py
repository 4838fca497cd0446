"""Layers, round polynomials and folds of LogUp-GKR (zk/PROTOCOL.md section 8)."""

from __future__ import annotations

import numpy as np

from zk.kernels.cpu.arguments import Array, Scalar, check, k_array, split
from zk.kernels.cpu.arithmetic import EPS, ONE, S32, ZERO, add, from_halves, k_mul_parts, mul, seven_times, sub
from zk.kernels.cpu.emit import arrays_are_distinct, inlined, kernel
from zk.kernels.cpu.sumcheck import eq_halve, fold, scalar_pairs

__all__ = ["eq_halve", "gkr_fold", "gkr_round", "gkr_up"]


@kernel
def _up(p, q, half, up_p, up_q, start, stop):  # type: ignore[no-untyped-def]
    arrays_are_distinct()
    p0, p1, q0, q1 = p[0, start:stop], p[1, start:stop], q[0, start:stop], q[1, start:stop]
    first, last = half + start, half + stop
    r0, r1, s0, s1 = p[0, first:last], p[1, first:last], q[0, first:last], q[1, first:last]
    n0, n1, d0, d1 = up_p[0, start:stop], up_p[1, start:stop], up_q[0, start:stop], up_q[1, start:stop]
    for i in range(p0.size):
        x0, x1 = k_mul_parts(p0[i], p1[i], s0[i], s1[i])
        y0, y1 = k_mul_parts(r0[i], r1[i], q0[i], q1[i])
        n0[i], n1[i] = add(x0, y0), add(x1, y1)
        z0, z1 = k_mul_parts(q0[i], q1[i], s0[i], s1[i])
        d0[i], d1[i] = z0, z1


def gkr_up(p: Array, q: Array, half: int) -> tuple[Array, Array]:
    """Add fractions pairwise: one layer of the circuit of section 8.2 (see the reference for the definition)."""
    p, q = k_array(p), k_array(q)
    u = p.shape[1]
    check(q.shape[1] == u <= 2 * half, f"p and q must have one length <= {2 * half}, got {u} and {q.shape[1]}")
    used, pairs = min(u, half), max(u - half, 0)
    up_p = np.empty((2, used), dtype=np.uint64)
    up_q = np.empty((2, used), dtype=np.uint64)
    if pairs:
        split(_up, pairs, p, q, half, up_p, up_q)
    # Against the tail 0/1 a fraction stays as it is.
    up_p[:, pairs:] = p[:, pairs:used]
    up_q[:, pairs:] = q[:, pairs:used]
    return up_p, up_q


@inlined
def _entry(t, i, tail):  # type: ignore[no-untyped-def]
    if i < t.shape[1]:
        return t[0, i], t[1, i]
    return tail, ZERO


@inlined
def _numerator(l_p0, l_p1, l_q0, l_q1, r_p0, r_p1, r_q0, r_q1, lam0, lam1):  # type: ignore[no-untyped-def]
    """pl qr + pr ql + lam ql qr = pl qr + ql (pr + lam qr)."""
    x0, x1 = k_mul_parts(l_p0, l_p1, r_q0, r_q1)
    y0, y1 = k_mul_parts(r_q0, r_q1, lam0, lam1)
    z0, z1 = k_mul_parts(l_q0, l_q1, add(r_p0, y0), add(r_p1, y1))
    return add(x0, z0), add(x1, z1)


@kernel
def _round_full(pl, ql, pr, qr, eq, lam0, lam1, h, start, stop):  # type: ignore[no-untyped-def]
    """The entries for which all four tables store both x and x + h."""
    first, last = h + start, h + stop
    a0, a1, a2, a3 = pl[0, start:stop], pl[1, start:stop], pl[0, first:last], pl[1, first:last]
    b0, b1, b2, b3 = ql[0, start:stop], ql[1, start:stop], ql[0, first:last], ql[1, first:last]
    c0, c1, c2, c3 = pr[0, start:stop], pr[1, start:stop], pr[0, first:last], pr[1, first:last]
    d0, d1, d2, d3 = qr[0, start:stop], qr[1, start:stop], qr[0, first:last], qr[1, first:last]
    e0, e1 = eq[0, start:stop], eq[1, start:stop]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = ZERO
    for i in range(a0.size):
        x0, x1 = _numerator(a0[i], a1[i], b0[i], b1[i], c0[i], c1[i], d0[i], d1[i], lam0, lam1)
        x0, x1 = k_mul_parts(x0, x1, e0[i], e1[i])
        y0, y1 = _numerator(
            sub(a2[i], a0[i]),
            sub(a3[i], a1[i]),
            sub(b2[i], b0[i]),
            sub(b3[i], b1[i]),
            sub(c2[i], c0[i]),
            sub(c3[i], c1[i]),
            sub(d2[i], d0[i]),
            sub(d3[i], d1[i]),
            lam0,
            lam1,
        )
        y0, y1 = k_mul_parts(y0, y1, e0[i], e1[i])
        s0 += x0 & EPS
        s1 += x0 >> S32
        s2 += x1 & EPS
        s3 += x1 >> S32
        s4 += y0 & EPS
        s5 += y0 >> S32
        s6 += y1 & EPS
        s7 += y1 >> S32
    return from_halves(s0, s1), from_halves(s2, s3), from_halves(s4, s5), from_halves(s6, s7)


@kernel
def _round_ragged(pl, ql, pr, qr, eq, lam0, lam1, h, start, stop):  # type: ignore[no-untyped-def]
    """The entries for which some table runs into its tail."""
    s0 = s1 = s2 = s3 = ZERO
    for i in range(start, stop):
        a0, a1 = _entry(pl, i, ZERO)
        b0, b1 = _entry(ql, i, ONE)
        c0, c1 = _entry(pr, i, ZERO)
        d0, d1 = _entry(qr, i, ONE)
        x0, x1 = _numerator(a0, a1, b0, b1, c0, c1, d0, d1, lam0, lam1)
        x0, x1 = k_mul_parts(x0, x1, eq[0, i], eq[1, i])
        s0, s1 = add(s0, x0), add(s1, x1)
        a2, a3 = _entry(pl, i + h, ZERO)
        b2, b3 = _entry(ql, i + h, ONE)
        c2, c3 = _entry(pr, i + h, ZERO)
        d2, d3 = _entry(qr, i + h, ONE)
        y0, y1 = _numerator(
            sub(a2, a0), sub(a3, a1), sub(b2, b0), sub(b3, b1), sub(c2, c0), sub(c3, c1), sub(d2, d0), sub(d3, d1),
            lam0, lam1,
        )  # fmt: skip
        y0, y1 = k_mul_parts(y0, y1, eq[0, i], eq[1, i])
        s2, s3 = add(s2, y0), add(s3, y1)
    return s0, s1, s2, s3


@kernel
def _tail(eq, used, lam0, lam1):  # type: ignore[no-untyped-def]
    """lam (1 - sum_{x < used} eq[x])."""
    s0 = s1 = s2 = s3 = ZERO
    x, y = eq[0, :used], eq[1, :used]
    for i in range(x.size):
        s0 += x[i] & EPS
        s1 += x[i] >> S32
        s2 += y[i] & EPS
        s3 += y[i] >> S32
    return k_mul_parts(sub(ONE, from_halves(s0, s1)), sub(ZERO, from_halves(s2, s3)), lam0, lam1)


def gkr_round(pl: Array, ql: Array, pr: Array, qr: Array, eq: Array, lam: Scalar, N: int) -> tuple[Scalar, Scalar]:
    """Return t0 and tinf of one LogUp-GKR round (section 8.3; see the reference for the definition).

    The caller guarantees that eq sums to 1, which gives the contribution of the all-tail region.
    """
    pl, ql, pr, qr, eq = k_array(pl), k_array(ql), k_array(pr), k_array(qr), k_array(eq)
    h, a, b = N >> 1, pl.shape[1], pr.shape[1]
    check(ql.shape[1] == a and qr.shape[1] == b, "each p table must be as long as its q table")
    check(b <= a <= N == 2 * h and eq.shape[1] == h >= 1, f"lengths {b} <= {a} <= {N} and eq length {N // 2} needed")
    used, full = min(a, h), max(b - h, 0)
    scalars = np.uint64(lam[0]), np.uint64(lam[1])
    parts = []
    if full:
        parts += split(_round_full, full, pl, ql, pr, qr, eq, *scalars, h)
    if used > full:
        parts.append(_round_ragged(pl, ql, pr, qr, eq, *scalars, h, full, used))
    if used < h:
        parts.append((*_tail(eq, used, *scalars), 0, 0))
    t0, tinf = scalar_pairs(parts)
    return t0, tinf


@kernel
def _fold_tail(t, start, tail, r0, r1, out):  # type: ignore[no-untyped-def]
    """out[i] = t[i] + r (tail - t[i]) for i >= start."""
    arrays_are_distinct()
    x0, x1, out0, out1 = t[0, start:], t[1, start:], out[0, start:], out[1, start:]
    t1 = seven_times(r1)
    for i in range(out0.size):
        d0, d1 = sub(tail, x0[i]), sub(ZERO, x1[i])
        out0[i] = add(x0[i], add(mul(d0, r0), mul(d1, t1)))
        out1[i] = add(x1[i], add(mul(d0, r1), mul(d1, r0)))


@kernel
def _fold_head(t, h, r0, r1, out, start, stop):  # type: ignore[no-untyped-def]
    arrays_are_distinct()
    x0, x1 = t[0, start:stop], t[1, start:stop]
    y0, y1 = t[0, h + start : h + stop], t[1, h + start : h + stop]
    out0, out1 = out[0, start:stop], out[1, start:stop]
    t1 = seven_times(r1)
    for i in range(x0.size):
        a0, a1 = x0[i], x1[i]
        d0, d1 = sub(y0[i], a0), sub(y1[i], a1)
        out0[i] = add(a0, add(mul(d0, r0), mul(d1, t1)))
        out1[i] = add(a1, add(mul(d0, r1), mul(d1, r0)))


def gkr_fold(t: Array, N: int, tail: int, r: Scalar) -> Array:
    """Bind the first variable of a table of logical size N whose entries beyond the stored ones equal tail (0 or 1).

    Returns the used prefix of the folded table, min(stored, N/2) entries; its tail is the same constant.
    """
    t = k_array(t)
    u, h = t.shape[1], N >> 1
    check(u <= N == 2 * h, f"a table of logical size {N} cannot store {u} entries")
    if u == N:
        return fold(t, r)
    used, pairs = min(u, h), max(u - h, 0)
    out = np.empty((2, used), dtype=np.uint64)
    scalars = np.uint64(r[0]), np.uint64(r[1])
    if pairs:
        split(_fold_head, pairs, t, h, *scalars, out)
    _fold_tail(t, pairs, np.uint64(tail), *scalars, out)
    return out
