"""Goldilocks field F = Z/p and its quadratic extension K = F[w]/(w^2 - 7) on plain integers (PROTOCOL section 1).

Elements of F are ints in [0, p); elements of K are pairs (a0, a1) meaning a0 + a1*w.
"""

from __future__ import annotations

P = 2**64 - 2**32 + 1
GENERATOR = 7
NON_RESIDUE = 7
TWO_ADICITY = 32
HALF = (P + 1) // 2  # 1/2 in F

K = tuple[int, int]
ZERO: K = (0, 0)
ONE: K = (1, 0)
W: K = (0, 1)


def root_of_unity(order: int) -> int:
    """The element omega_order = 7^((p-1)/order) of exact order `order`, a power of two up to 2^32."""
    return pow(GENERATOR, (P - 1) // order, P)


def centred(x: int) -> int:
    """The integer in (-p/2, p/2) congruent to x."""
    return x if x <= P // 2 else x - P


def k_add(a: K, b: K) -> K:
    return ((a[0] + b[0]) % P, (a[1] + b[1]) % P)


def k_sub(a: K, b: K) -> K:
    return ((a[0] - b[0]) % P, (a[1] - b[1]) % P)


def k_neg(a: K) -> K:
    return (-a[0] % P, -a[1] % P)


def k_mul(a: K, b: K) -> K:
    a0, a1 = a
    b0, b1 = b
    return ((a0 * b0 + NON_RESIDUE * a1 * b1) % P, (a0 * b1 + a1 * b0) % P)


def k_scale(a: K, s: int) -> K:
    return (a[0] * s % P, a[1] * s % P)


def k_inv(a: K) -> K:
    """1/a. Raises ZeroDivisionError for zero, which no caller may pass from untrusted data."""
    norm = (a[0] * a[0] - NON_RESIDUE * a[1] * a[1]) % P
    if norm == 0:
        raise ZeroDivisionError("inverse of zero in K")
    inverse = pow(norm, P - 2, P)
    return (a[0] * inverse % P, -a[1] * inverse % P)
