"""Number-theoretic transforms batched over polynomials: the evaluation point is the slow index (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from zk.kernels.cpu.arguments import MODULUS, Array, Scalar, check, f_array, k_array, split
from zk.kernels.cpu.arithmetic import ONE, ZERO, add, mul, sub
from zk.kernels.cpu.emit import arrays_are_distinct, kernel, widest_vectors
from zk.kernels.cpu.field import f_scale

_BAND = 32


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


@kernel
def _load_coset(coeffs, first, scale, wrap, work):  # type: ignore[no-untyped-def]
    """work[j, i] = scale[j] (U_j + wrap U_{j+m}) for the polynomials first + i, transposed on the way."""
    widest_vectors()
    m, width = work.shape
    k = coeffs.shape[1]
    for j in range(m):
        for i in range(width):
            value = coeffs[first + i, j] if j < k else ZERO
            if j + m < k:
                value = add(value, mul(wrap, coeffs[first + i, j + m]))
            work[j, i] = mul(value, scale[j])


@kernel
def _layers(work, twiddles):  # type: ignore[no-untyped-def]
    """Decimation in frequency, in place; output in bit-reversed order."""
    widest_vectors()
    m, width = work.shape
    h, step = m // 2, 1
    while h >= 1:
        for block in range(0, m, 2 * h):
            for j in range(h):
                w = twiddles[j * step]
                x, y = work[block + j], work[block + j + h]
                for i in range(width):
                    a, b = x[i], y[i]
                    x[i] = add(a, b)
                    y[i] = mul(sub(a, b), w)
        h, step = h // 2, step * 2


@kernel
def _encode(coeffs, scale, wraps, twiddles, band, out, start, stop):  # type: ignore[no-untyped-def]
    """Transform the (band, coset) pairs start..stop."""
    widest_vectors()
    arrays_are_distinct()
    rows = coeffs.shape[0]
    n_cosets, m = scale.shape
    for task in range(start, stop):
        first = (task // n_cosets) * band
        coset = task % n_cosets
        width = min(band, rows - first)
        work = np.empty((m, width), dtype=np.uint64)
        _load_coset(coeffs, first, scale[coset], wraps[coset], work)
        _layers(work, twiddles)
        for j in range(m):
            out[coset * m + j, first : first + width] = work[j]


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
    tasks = -(-rows // _BAND) * (n // m)
    minimum = 2 if n * rows >= 1 << 14 else tasks + 1
    split(_encode, tasks, coeffs, scale, wraps, _twiddles(m), _BAND, out, minimum=minimum)
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
