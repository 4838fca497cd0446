"""Number-theoretic transforms batched over polynomials: the evaluation point is the slow index (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from zk.kernels.cpu.arguments import MODULUS, Array, Scalar, check, f_array, k_array, split
from zk.kernels.cpu.arithmetic import (
    ONE,
    ZERO,
    add,
    add_scaled_row,
    butterfly_rows,
    mul,
    scale_row,
    sum_and_difference_rows,
)
from zk.kernels.cpu.emit import inlined, kernel, widest_vectors
from zk.kernels.cpu.field import f_scale
from zk.kernels.cpu.vectors import LANES, copy_row, load_transposed, prefetch_for_writing

# This many points of LANES polynomials fit into the first-level cache.
_NEAR_POINTS = 256
# This many are stored at a time, so that the stores of one group drain while the next is computed.
_STORED_POINTS = 16


def _root(n: int) -> int:
    return pow(7, (MODULUS - 1) // n, MODULUS)


def _bit_reverse(j: int, n_bits: int) -> int:
    return int(format(j, f"0{n_bits}b")[::-1], 2) if n_bits else 0


@kernel
def _powers(base, out):  # type: ignore[no-untyped-def]
    widest_vectors()
    value = ONE
    for i in range(out.size):
        out[i] = value
        value = mul(value, base)


def _power_table(base: int, count: int) -> Array:
    out = np.empty(count, dtype=np.uint64)
    _powers(np.uint64(base), out)
    return out


@lru_cache(maxsize=16)
def _twiddles(m: int) -> Array:
    """omega_m^j for j < m/2."""
    return _power_table(_root(m), max(m // 2, 1))


@lru_cache(maxsize=16)
def _coset_tables(n: int, m: int, shift: int) -> tuple[Array, Array]:
    """Per coset s of size m: the powers shift_s^j, j < m, and shift_s^m."""
    n_cosets = n // m
    n_bits = n_cosets.bit_length() - 1
    bases = [shift * pow(_root(n), _bit_reverse(s, n_bits), MODULUS) % MODULUS for s in range(n_cosets)]
    scale = np.stack([_power_table(base, m) for base in bases])
    return scale, np.array([pow(base, m, MODULUS) for base in bases], dtype=np.uint64)


@inlined
def _load(coeffs, first, j, count, work, row):  # type: ignore[no-untyped-def]
    """work[row + x, i] = coefficient j + x of polynomial first + i for x < count <= LANES; missing ones are zero."""
    rows, k = coeffs.shape
    if first + LANES <= rows and j + LANES <= k:
        load_transposed(coeffs, first * k + j, k, work, row)
    else:
        for x in range(count):
            for i in range(LANES):
                work[row + x, i] = coeffs[first + i, j + x] if first + i < rows and j + x < k else ZERO


@inlined
def _load_coset(coeffs, first, scale, wrap, work):  # type: ignore[no-untyped-def]
    """work[j, i] = scale[j] (U_j + wrap U_{j+m}) for the polynomials first + i; rows m.. of work are scratch."""
    m = scale.size
    for j in range(0, m, LANES):
        count = min(LANES, m - j)
        _load(coeffs, first, j, count, work, j)
        if j + m < coeffs.shape[1]:
            _load(coeffs, first, j + m, count, work, m)
            for x in range(count):
                add_scaled_row(work, j + x, m + x, wrap)
        for x in range(count):
            scale_row(work, j + x, scale[j + x])


@inlined
def _prefetch(out, row, count, first):  # type: ignore[no-untyped-def]
    for j in range(row, row + count):
        offset = j * out.shape[1] + first
        prefetch_for_writing(out, offset)
        prefetch_for_writing(out, offset + LANES - 1)


@inlined
def _store(work, start, stop, out, row, first):  # type: ignore[no-untyped-def]
    """Write the points start..stop to the rows row + start.. of out."""
    rows = out.shape[1]
    if first + LANES <= rows:
        for j in range(start, stop):
            copy_row(work, j, out, (row + j) * rows + first)
    else:
        for j in range(start, stop):
            for i in range(rows - first):
                out[row + j, first + i] = work[j, i]


@inlined
def _layers(work, start, stop, top, bottom, twiddles):  # type: ignore[no-untyped-def]
    """Decimation in frequency on points start..stop: layers of half-size top, top / 2, ..., bottom."""
    h = top
    while h >= bottom and h > 1:
        step = twiddles.size // h
        for block in range(start, stop, 2 * h):
            for j in range(h):
                butterfly_rows(work, block + j, block + j + h, twiddles[j * step])
        h //= 2
    if h == 1 and bottom == 1:
        for block in range(start, stop, 2):
            sum_and_difference_rows(work, block, block + 1)


@kernel
def _encode(coeffs, scale, wraps, twiddles, out, start, stop):  # type: ignore[no-untyped-def]
    """Transform the (band of LANES polynomials, coset) pairs start..stop; out is in bit-reversed order."""
    widest_vectors()
    n_cosets, m = scale.shape
    # The largest load writes LANES rows, also where m is smaller.
    buffer = np.empty((m + 2 * LANES + 1) * LANES, dtype=np.uint64)
    # Rows of 64 bytes, aligned to cache lines.
    skip = (-(buffer.ctypes.data // 8)) % LANES
    work = buffer[skip : skip + (m + 2 * LANES) * LANES].reshape(m + 2 * LANES, LANES)
    near, group = min(m, _NEAR_POINTS), min(m, _STORED_POINTS)
    for task in range(start, stop):
        first = (task // n_cosets) * LANES
        coset = task % n_cosets
        _load_coset(coeffs, first, scale[coset], wraps[coset], work)
        _layers(work, 0, m, m // 2, near, twiddles)
        for block in range(0, m, near):
            _layers(work, block, block + near, near // 2, group, twiddles)
            for row in range(block, block + near, group):
                _prefetch(out, coset * m + row + group, group, first)
                _layers(work, row, row + group, group // 2, 1, twiddles)
                _store(work, row, row + group, out, coset * m, first)


def encode(coeffs: Array, n: int, shift: int = 1) -> Array:
    """Return the codewords of the polynomials in the rows of coeffs, one evaluation point per output row.

    Args:
        coeffs: F array (rows, k), coefficient of X^j in column j.
        n: code length, a power of two >= k.
        shift: factor applied to every evaluation point (a coset of the n-th roots of unity).

    Returns:
        F array (n, rows): out[j, i] = U_i(shift * omega_n^bitrev(j)) with bitrev over lg n bits (section 4.1).

    The n points split into cosets of the group of order m, the largest power of two <= k; on a coset U reduces to a
    polynomial with m coefficients. This prunes the first lg(n/m) layers, in which all other inputs are zero.
    """
    coeffs = f_array(coeffs)
    rows, k = coeffs.shape
    check(n >= 1 and n & (n - 1) == 0 and k <= n, f"n must be a power of two >= {k} coefficients, got {n}")
    out = np.empty((n, rows), dtype=np.uint64)
    if k == 0 or rows == 0:
        out.fill(0)
        return out
    m = 1 << (k.bit_length() - 1)
    scale, wraps = _coset_tables(n, m, shift % MODULUS)
    tasks = -(-rows // LANES) * (n // m)
    minimum = 2 if n * rows >= 1 << 14 else tasks + 1
    split(_encode, tasks, coeffs, scale, wraps, _twiddles(m), out, minimum=minimum)
    return out


@lru_cache(maxsize=16)
def _bit_reversal(m: int) -> np.ndarray:
    n_bits = m.bit_length() - 1
    return np.array([_bit_reverse(j, n_bits) for j in range(m)], dtype=np.intp)


def ntt(values: Array) -> Array:
    """Return out[r, j] = sum_i values[r, i] omega_m^(ij), natural order in and out; m a power of two."""
    m = values.shape[1]
    return np.ascontiguousarray(encode(values, m)[_bit_reversal(m)].T)


def intt(values: Array) -> Array:
    """Return the inverse of ntt, natural order in and out."""
    m = values.shape[1]
    forward = encode(values, m)[_bit_reversal(m)]
    # omega^-1 runs through the points backwards
    reordered = np.concatenate([forward[:1], forward[:0:-1]]).T
    return f_scale(np.ascontiguousarray(reordered), pow(m, MODULUS - 2, MODULUS))


@kernel
def _horner(coeffs, points, out, start, stop):  # type: ignore[no-untyped-def]
    widest_vectors()
    for i in range(start, stop):
        x = points[i]
        low = high = ZERO
        for j in range(coeffs.shape[1] - 1, -1, -1):
            low = add(mul(low, x), coeffs[0, j])
            high = add(mul(high, x), coeffs[1, j])
        out[0, i], out[1, i] = low, high


def evaluate_points(coeffs: Array, xs: Sequence[int]) -> list[Scalar]:
    """Return the values at the base-field points xs of one polynomial with K coefficients (2, k)."""
    coeffs = k_array(coeffs)
    out = np.empty((2, len(xs)), dtype=np.uint64)
    work = len(xs) * coeffs.shape[1]
    split(_horner, len(xs), coeffs, np.array(xs, dtype=np.uint64), out, minimum=2 if work >= 1 << 14 else len(xs) + 1)
    return list(zip(out[0].tolist(), out[1].tolist(), strict=True))
