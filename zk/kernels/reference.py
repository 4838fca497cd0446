"""Slow twin of every bulk kernel: plain Python integers, written straight from the definitions.

The fast back ends must return the same bytes. Conventions (zk/PROTOCOL.md sections 1, 4, 6 and 8):

* p = 2^64 - 2^32 + 1, K = F[w]/(w^2 - 7); 7 generates F*.
* An F array is uint64 of any shape with canonical entries (< p). A K array is uint64 of shape (2, ...), planes first.
  A K scalar is a tuple (a0, a1) of canonical ints.
* Indices are MSB first: binding the first variable pairs entry i with entry i + h, h = half the length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]
Scalar = tuple[int, int]

P = 2**64 - 2**32 + 1
NON_RESIDUE = 7
ZERO: Scalar = (0, 0)
ONE: Scalar = (1, 0)


# --- K arithmetic on Python tuples ---------------------------------------------------------------------------------


def _add(a: Scalar, b: Scalar) -> Scalar:
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def _sub(a: Scalar, b: Scalar) -> Scalar:
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


def _mul(a: Scalar, b: Scalar) -> Scalar:
    return (a[0] * b[0] + NON_RESIDUE * a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def _sum(terms: Iterable[Scalar]) -> Scalar:
    total = ZERO
    for term in terms:
        total = _add(total, term)
    return total


def _scalars(a: Array) -> list[Scalar]:
    """Return the entries of a K array, flattened."""
    return list(zip(a[0].ravel().tolist(), a[1].ravel().tolist(), strict=True))


def _lift(a: Array) -> list[Scalar]:
    """Return the entries of an F array as K scalars, flattened."""
    return [(value, 0) for value in a.ravel().tolist()]


def _k_array(values: Sequence[Scalar], shape: tuple[int, ...]) -> Array:
    planes = [[v[0] for v in values], [v[1] for v in values]]
    return np.array(planes, dtype=np.uint64).reshape((2, *shape))


def _f_array(values: Sequence[int], shape: tuple[int, ...]) -> Array:
    return np.array(values, dtype=np.uint64).reshape(shape)


# --- field -----------------------------------------------------------------------------------------------------------


def to_field(a: IntArray) -> Array:
    """Return the field elements of signed integers (x mod p, so a negative x becomes x + p)."""
    return _f_array([x % P for x in a.ravel().tolist()], a.shape)


def _f_map(op: Callable[[int, int], int], a: Array, b: Array) -> Array:
    return _f_array([op(x, y) % P for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)], a.shape)


def f_add(a: Array, b: Array) -> Array:
    """Return a + b elementwise over F."""
    return _f_map(lambda x, y: x + y, a, b)


def f_sub(a: Array, b: Array) -> Array:
    """Return a - b elementwise over F."""
    return _f_map(lambda x, y: x - y, a, b)


def f_mul(a: Array, b: Array) -> Array:
    """Return a * b elementwise over F."""
    return _f_map(lambda x, y: x * y, a, b)


def _k_map(op: Callable[[Scalar, Scalar], Scalar], a: Array, b: Array) -> Array:
    return _k_array([op(x, y) for x, y in zip(_scalars(a), _scalars(b), strict=True)], a.shape[1:])


def k_add(a: Array, b: Array) -> Array:
    """Return a + b elementwise over K."""
    return _k_map(_add, a, b)


def k_sub(a: Array, b: Array) -> Array:
    """Return a - b elementwise over K."""
    return _k_map(_sub, a, b)


def k_mul(a: Array, b: Array) -> Array:
    """Return a * b elementwise over K."""
    return _k_map(_mul, a, b)


def k_scale(a: Array, s: Scalar) -> Array:
    """Return s * a for a K array a."""
    return _k_array([_mul(x, s) for x in _scalars(a)], a.shape[1:])


def k_scale_f(a: Array, s: Scalar) -> Array:
    """Return s * a, a K array, for an F array a."""
    return _k_array([_mul(x, s) for x in _lift(a)], a.shape)


def k_axpy(acc: Array, a: Array, s: Scalar) -> None:
    """Add s * a to acc in place."""
    acc[...] = k_add(acc, k_scale(a, s))


def k_sum(a: Array) -> Scalar:
    """Return the sum of the entries of a K array of shape (2, n)."""
    return _sum(_scalars(a))


# --- ntt -------------------------------------------------------------------------------------------------------------


def _root(n: int) -> int:
    """Return omega_n = 7^((p-1)/n), a primitive n-th root of unity (n a power of two <= 2^32)."""
    return pow(NON_RESIDUE, (P - 1) // n, P)


def _bit_reverse(j: int, n_bits: int) -> int:
    return int(format(j, f"0{n_bits}b")[::-1], 2) if n_bits else 0


def _horner(coeffs: list[int], x: int) -> int:
    value = 0
    for c in reversed(coeffs):
        value = (value * x + c) % P
    return value


def encode(coeffs: Array, n: int, shift: int = 1) -> Array:
    """Return the codewords of the polynomials in the rows of coeffs, one evaluation point per output row.

    Args:
        coeffs: F array (rows, k), coefficient of X^j in column j.
        n: code length, a power of two >= k.
        shift: factor applied to every evaluation point (a coset of the n-th roots of unity).

    Returns:
        F array (n, rows): out[j, i] = U_i(shift * omega_n^bitrev(j)) with bitrev over lg n bits (section 4.1).
    """
    n_bits, omega = n.bit_length() - 1, _root(n)
    points = [shift * pow(omega, _bit_reverse(j, n_bits), P) % P for j in range(n)]
    rows = coeffs.tolist()
    return _f_array([_horner(row, x) for x in points for row in rows], (n, len(rows)))


def _transform(values: Array, omega: int, factor: int) -> Array:
    rows, m = values.shape
    powers = [pow(omega, j, P) for j in range(m)]
    out = [factor * _horner(row, powers[j]) % P for row in values.tolist() for j in range(m)]
    return _f_array(out, (rows, m))


def ntt(values: Array) -> Array:
    """Return out[r, j] = sum_i values[r, i] omega_m^(ij), natural order in and out; m a power of two."""
    return _transform(values, _root(values.shape[1]), 1)


def intt(values: Array) -> Array:
    """Return the inverse of ntt, natural order in and out."""
    m = values.shape[1]
    return _transform(values, pow(_root(m), P - 2, P), pow(m, P - 2, P))


def evaluate_points(coeffs: Array, xs: Sequence[int]) -> list[Scalar]:
    """Return the values at the base-field points xs of one polynomial with K coefficients (2, k)."""
    low, high = coeffs.tolist()
    return [(_horner(low, x), _horner(high, x)) for x in xs]


# --- tables ----------------------------------------------------------------------------------------------------------


def eq_table(point: Sequence[Scalar]) -> Array:
    """Return eq(point, i) for all i; the first coordinate belongs to the most significant bit of i."""
    table = []
    for bits in product((0, 1), repeat=len(point)):
        value = ONE
        for bit, coordinate in zip(bits, point, strict=True):
            value = _mul(value, coordinate if bit else _sub(ONE, coordinate))
        table.append(value)
    return _k_array(table, (len(table),))


def outer(u: Array, v: Array) -> Array:
    """Return u[i] * v[j] at index i * len(v) + j."""
    values = [_mul(x, y) for x in _scalars(u) for y in _scalars(v)]
    return _k_array(values, (len(values),))


def outer_add(acc: Array, u: Array, v: Array) -> None:
    """Add outer(u, v) to acc in place."""
    acc[...] = k_add(acc, outer(u, v))


# --- sumcheck --------------------------------------------------------------------------------------------------------


def _fold(values: list[Scalar], r: Scalar) -> Array:
    h = len(values) // 2
    folded = [_add(values[i], _mul(r, _sub(values[i + h], values[i]))) for i in range(h)]
    return _k_array(folded, (h,))


def fold(t: Array, r: Scalar) -> Array:
    """Bind the first variable of a K table to r: t[i] + r (t[i+h] - t[i])."""
    return _fold(_scalars(t), r)


def fold_f(t: Array, r: Scalar) -> Array:
    """Bind the first variable of an F table to r; the result is a K table."""
    return _fold(_lift(t), r)


def _poly_mul(a: list[Scalar], b: list[Scalar]) -> list[Scalar]:
    out = [ZERO] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] = _add(out[i + j], _mul(x, y))
    return out


def _lines(table: list[Scalar]) -> Iterator[list[Scalar]]:
    """Yield, for i < h, the coefficients of the line through entries i and i + h."""
    h = len(table) // 2
    for i in range(h):
        yield [table[i], _sub(table[i + h], table[i])]


def _round(*tables: list[Scalar]) -> list[Scalar]:
    """Return all coefficients of s(X) = sum_i of the product of the tables' lines."""
    total = [ZERO] * (len(tables) + 1)
    for lines in zip(*map(_lines, tables), strict=True):
        term: list[Scalar] = [ONE]
        for line in lines:
            term = _poly_mul(term, line)
        total = [_add(x, y) for x, y in zip(total, term, strict=True)]
    return total


def round2(c: Array, f: Array) -> tuple[Scalar, Scalar]:
    """Return the coefficients of X^0 and X^2 of sum_i (c_i + X dc_i)(f_i + X df_i) (section 6.1)."""
    s = _round(_scalars(c), _scalars(f))
    return s[0], s[2]


def round2_f(c: Array, f: Array) -> tuple[Scalar, Scalar]:
    """round2 with an F table as second operand."""
    s = _round(_scalars(c), _lift(f))
    return s[0], s[2]


def round3(c: Array, a: Array, b: Array) -> tuple[Scalar, Scalar, Scalar]:
    """Return the coefficients of X^0, X^2 and X^3 of the cubic round polynomial of c * a * b (section 6.1)."""
    s = _round(_scalars(c), _scalars(a), _scalars(b))
    return s[0], s[2], s[3]


def round3_ff(c: Array, a: Array, b: Array) -> tuple[Scalar, Scalar, Scalar]:
    """round3 for F tables a and b."""
    s = _round(_scalars(c), _lift(a), _lift(b))
    return s[0], s[2], s[3]


# --- gkr -------------------------------------------------------------------------------------------------------------


def _padded(a: Array, size: int, tail: Scalar) -> list[Scalar]:
    values = _scalars(a)
    return values + [tail] * (size - len(values))


def gkr_up(p: Array, q: Array, half: int) -> tuple[Array, Array]:
    """Add fractions pairwise: one layer of the circuit of section 8.2.

    Args:
        p, q: K arrays (2, u), the used prefix of a layer of 2 * half entries; the tail is p = 0, q = 1.
        half: logical size of the resulting layer.

    Returns:
        p', q' with min(u, half) stored entries: p'[x] = p[x] q[x+half] + p[x+half] q[x], q'[x] = q[x] q[x+half].
    """
    used = min(p.shape[1], half)
    ps, qs = _padded(p, 2 * half, ZERO), _padded(q, 2 * half, ONE)
    up_p = [_add(_mul(ps[x], qs[x + half]), _mul(ps[x + half], qs[x])) for x in range(used)]
    up_q = [_mul(qs[x], qs[x + half]) for x in range(used)]
    return _k_array(up_p, (used,)), _k_array(up_q, (used,))


def gkr_round(pl: Array, ql: Array, pr: Array, qr: Array, eq: Array, lam: Scalar, N: int) -> tuple[Scalar, Scalar]:
    """Return the two values that determine one round polynomial of a LogUp-GKR layer (section 8.3).

    With h = N/2 and g(X, x) = pl qr + pr ql + lam ql qr, every table linear in X between entries x and x + h:

    Args:
        pl, ql: K arrays (2, a), used prefixes of tables of logical size N; tails 0 and 1.
        pr, qr: K arrays (2, b), b <= a, likewise.
        eq: K array (2, N/2), an eq table (its entries sum to 1).
        lam: the layer's combination challenge.
        N: logical size, a power of two >= 2.

    Returns:
        t0 = sum_{x<h} eq[x] g(0, x) and tinf = sum_{x<h} eq[x] times the X^2 coefficient of g(X, x).
    """
    tables = [_padded(t, N, tail) for t, tail in ((pl, ZERO), (ql, ONE), (pr, ZERO), (qr, ONE))]
    t0 = tinf = ZERO
    for weight, l_p, l_q, r_p, r_q in zip(_scalars(eq), *map(_lines, tables), strict=True):
        terms = (_poly_mul(l_p, r_q), _poly_mul(r_p, l_q), [_mul(lam, x) for x in _poly_mul(l_q, r_q)])
        t0 = _add(t0, _mul(weight, _sum(term[0] for term in terms)))
        tinf = _add(tinf, _mul(weight, _sum(term[2] for term in terms)))
    return t0, tinf


def gkr_fold(t: Array, N: int, tail: int, r: Scalar) -> Array:
    """Bind the first variable of a table of logical size N whose entries beyond the stored ones equal tail (0 or 1).

    Returns the used prefix of the folded table, min(stored, N/2) entries; its tail is the same constant.
    """
    folded = _fold(_padded(t, N, (tail, 0)), r)
    return np.ascontiguousarray(folded[:, : min(t.shape[1], N // 2)])


def eq_halve(eq: Array) -> Array:
    """Drop the first variable of an eq table: eq[i] + eq[i+h]."""
    h = eq.shape[1] // 2
    return k_add(eq[:, :h], eq[:, h:])


# --- contract --------------------------------------------------------------------------------------------------------


def _contract(x: list[Scalar], v: list[Scalar], a: int, m: int, b: int) -> list[Scalar]:
    return [_sum(_mul(x[(i * m + j) * b + o], v[j]) for j in range(m)) for i in range(a) for o in range(b)]


def contract(x: IntArray, v: Array) -> Array:
    """Sum integers (centred lift) of shape (a, m, b) against v of shape (2, m) over the middle axis: (2, a, b)."""
    return contract_f(to_field(x), v)


def contract_f(x: Array, v: Array) -> Array:
    """contract for an F array x."""
    a, m, b = x.shape
    return _k_array(_contract(_lift(x), _scalars(v), a, m, b), (a, b))


def contract_k(x: Array, v: Array) -> Array:
    """contract for a K array x of shape (2, a, m, b)."""
    _, a, m, b = x.shape
    return _k_array(_contract(_scalars(x), _scalars(v), a, m, b), (a, b))


def contract_each(x: IntArray, v: Array) -> Array:
    """contract with one vector per leading index: x (s, m, b) against v (2, s, m) gives (2, s, b)."""
    s, _, b = x.shape
    parts = [contract(x[i : i + 1], v[:, i]) for i in range(s)]
    return np.concatenate(parts, axis=1) if parts else np.zeros((2, 0, b), dtype=np.uint64)


def contract_each_k(x: Array, v: Array) -> Array:
    """contract_each for a K array x of shape (2, s, m, b)."""
    _, s, _, b = x.shape
    parts = [contract_k(x[:, i : i + 1], v[:, i]) for i in range(s)]
    return np.concatenate(parts, axis=1) if parts else np.zeros((2, 0, b), dtype=np.uint64)


def combine_rows(rows: Array, r: Array) -> Array:
    """Return sum_i r_i * row_i, a K array (2, k), for F rows (m, k) and K weights (2, m)."""
    m, k = rows.shape
    return _k_array(_contract(_lift(rows), _scalars(r), 1, m, k), (k,))


# --- hashing ---------------------------------------------------------------------------------------------------------


def sha256(messages: np.ndarray) -> np.ndarray:
    """SHA-256 of every row: uint8 (n, width) -> (n, 32)."""
    digests = b"".join(hashlib.sha256(row.tobytes()).digest() for row in messages)
    return np.frombuffer(digests, dtype=np.uint8).reshape(len(messages), 32)
