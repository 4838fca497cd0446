"""Field arithmetic on machine words for the kernels; see `emit.py` for how it gets into the loops.

"Loose" means any representative < 2^64, "canonical" means < p. Reduction uses 2^64 = 2^32 - 1 and 2^96 = -1 (mod p).
"""

from __future__ import annotations

import numpy as np

from zk.kernels.cpu.emit import Word, emitted, returning
from zk.kernels.cpu.vectors import Rows, emitted_on_rows

_P = 2**64 - 2**32 + 1
_EPS = 2**32 - 1

P = np.uint64(_P)
EPS = np.uint64(_EPS)
S32 = np.uint64(32)
ZERO = np.uint64(0)
ONE = np.uint64(1)


def _canonical(a: Word) -> Word:
    reduced = a - _P
    return reduced.if_less(a, reduced, a)


def _add(a: Word, b: Word) -> Word:
    """Canonical sum of canonical values."""
    c = a.constant(_P) - b
    r = a - c
    return a.if_less(c, r + _P, r)


def _sub(a: Word, b: Word) -> Word:
    """Canonical difference of canonical values."""
    r = a - b
    return a.if_less(b, r + _P, r)


def _add_loose(a: Word, b: Word) -> Word:
    """Loose sum of a loose a and a canonical b."""
    r = a + b
    return r.if_less(b, r + _EPS, r)


def _mul_loose(a: Word, b: Word) -> Word:
    """Loose product of loose values."""
    al, ah = a & _EPS, a >> 32
    bl, bh = b & _EPS, b >> 32
    ll, lh, hl, hh = al * bl, al * bh, ah * bl, ah * bh
    # The textbook form of the high half is recognised by LLVM and replaced by a scalar 128-bit product, which stops
    # vectorisation. Here the carry of the middle sum never joins it: it is worth 2^96 = -1.
    mid = lh + (ll >> 32) + hl
    high = hh + (mid >> 32)
    top = high >> 32
    top = mid.if_less(hl, top + 1, top)
    low = (mid << 32) | (ll & _EPS)
    r = low - top
    r = low.if_less(top, r - _EPS, r)
    m = (high & _EPS) * _EPS
    t = r + m
    return t.if_less(m, t + _EPS, t)


def _mul(a: Word, b: Word) -> Word:
    return _canonical(_mul_loose(a, b))


def _eight_times(a: Word) -> Word:
    """Loose 8 a of a loose value."""
    low, carry = a << 3, a >> 61
    m = (carry << 32) - carry
    t = low + m
    return t.if_less(m, t + _EPS, t)


def _add_seven_times(x: Word, y: Word) -> Word:
    """Loose x + 7 y of canonical values."""
    return _add_loose(_eight_times(y), _sub(x, y))


def _k_mul(a0: Word, a1: Word, b0: Word, b1: Word) -> tuple[Word, Word]:
    x, y = _mul(a0, b0), _mul(a1, b1)
    cross = _mul(_add(a0, a1), _add(b0, b1))
    return _canonical(_add_seven_times(x, y)), _sub(_sub(cross, x), y)


def _k_mul_add(a0: Word, a1: Word, b0: Word, b1: Word, c0: Word, c1: Word, d0: Word, d1: Word) -> tuple[Word, Word]:
    x = _add(_mul(a0, b0), _mul(c0, d0))
    y = _add(_mul(a1, b1), _mul(c1, d1))
    cross = _add(_mul(_add(a0, a1), _add(b0, b1)), _mul(_add(c0, c1), _add(d0, d1)))
    return _canonical(_add_seven_times(x, y)), _sub(_sub(cross, x), y)


@emitted
def canonical(a: Word) -> Word:
    """Return the canonical representative of a loose value."""
    return _canonical(a)


@emitted
def add(a: Word, b: Word) -> Word:
    """Return the canonical sum of canonical values."""
    return _add(a, b)


@emitted
def sub(a: Word, b: Word) -> Word:
    """Return the canonical difference of canonical values."""
    return _sub(a, b)


@emitted
def mul(a: Word, b: Word) -> Word:
    """Return the canonical product of loose values."""
    return _mul(a, b)


@emitted
def mul_loose(a: Word, b: Word) -> Word:
    """Return a loose product of loose values."""
    return _mul_loose(a, b)


@emitted
def seven_times(a: Word) -> Word:
    """Return the canonical 7 a of a canonical value."""
    return _canonical(_add_seven_times(a.constant(0), a))


@emitted
def mul_add(a: Word, b: Word, c: Word, d: Word) -> Word:
    """Return the canonical a b + c d of loose values."""
    return _canonical(_add_loose(_mul_loose(a, b), _mul(c, d)))


@emitted
def mul_add_loose(a: Word, b: Word, c: Word, d: Word) -> Word:
    """Return a loose a b + c d of loose values."""
    return _add_loose(_mul_loose(a, b), _mul(c, d))


@emitted
def add_mul_add(e: Word, a: Word, b: Word, c: Word, d: Word) -> Word:
    """Return the canonical e + a b + c d; e canonical, the others loose."""
    return _canonical(_add_loose(_add_loose(_mul_loose(a, b), e), _mul(c, d)))


@emitted
@returning(2)
def k_mul_parts(a0: Word, a1: Word, b0: Word, b1: Word) -> tuple[Word, Word]:
    """Return the canonical product in K of canonical (a0, a1) and (b0, b1)."""
    return _k_mul(a0, a1, b0, b1)


@emitted
@returning(2)
def k_mul_add_parts(a0: Word, a1: Word, b0: Word, b1: Word, c0: Word, c1: Word, d0: Word, d1: Word) -> tuple[Word, Word]:
    """Return the canonical a b + c d in K of canonical values."""
    return _k_mul_add(a0, a1, b0, b1, c0, c1, d0, d1)


@emitted
@returning(3)
def k_products(a0: Word, a1: Word, b0: Word, b1: Word) -> tuple[Word, Word, Word]:
    """Return loose a0 b0, a1 b1 and (a0 + a1)(b0 + b1) of canonical values, to be summed and combined later."""
    return _mul_loose(a0, b0), _mul_loose(a1, b1), _mul_loose(_add(a0, a1), _add(b0, b1))


def _from_halves(low_sum: Word, high_sum: Word) -> Word:
    carry = high_sum >> 32
    # 2^32 (high_sum mod 2^32) is at most p - 1, hence canonical.
    return _add(_canonical(low_sum), _add((high_sum & _EPS) << 32, _canonical(carry * _EPS)))


@emitted
def from_halves(low_sum: Word, high_sum: Word) -> Word:
    """Return the canonical value of low_sum + 2^32 high_sum, two plain 64-bit sums of 32-bit halves."""
    return _from_halves(low_sum, high_sum)


@emitted
@returning(2)
def k_from_halves(x0: Word, x1: Word, y0: Word, y1: Word, z0: Word, z1: Word) -> tuple[Word, Word]:
    """Return the canonical sum in K of products of which k_products were summed as low and high halves."""
    x, y, cross = _from_halves(x0, x1), _from_halves(y0, y1), _from_halves(z0, z1)
    return _canonical(_add_seven_times(x, y)), _sub(_sub(cross, x), y)


@emitted_on_rows
def butterfly_rows(rows: Rows, i: int, j: int, w: Word) -> None:
    """Replace rows i, j by x + y and (x - y) w; all canonical."""
    x, y = rows.load(i), rows.load(j)
    rows.store(i, _add(x, y))
    rows.store(j, _mul(_sub(x, y), w))


@emitted_on_rows
def sum_and_difference_rows(rows: Rows, i: int, j: int) -> None:
    """Replace rows i, j by x + y and x - y; all canonical."""
    x, y = rows.load(i), rows.load(j)
    rows.store(i, _add(x, y))
    rows.store(j, _sub(x, y))


@emitted_on_rows
def scale_row(rows: Rows, i: int, w: Word) -> None:
    """Multiply row i by w; canonical."""
    rows.store(i, _mul(rows.load(i), w))


@emitted_on_rows
def add_scaled_row(rows: Rows, i: int, j: int, w: Word) -> None:
    """Add w times row j to row i; canonical."""
    rows.store(i, _canonical(_add_loose(_mul_loose(rows.load(j), w), rows.load(i))))
