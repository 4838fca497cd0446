"""Exact integer matrix products through float64 BLAS (PROTOCOL 10.6).

A product of integer matrices is exact in float64 as long as every partial sum stays below 2^53 in magnitude. Weights
are split into a high and a low word when that does not hold for the whole; every bound is computed and checked.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zk.protocol.errors import ProvingError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Sums = FloatArray | IntArray

FLOAT_LIMIT = 1 << 53
INT_LIMIT = 1 << 62


def magnitude(values: Sums) -> int:
    """Largest absolute value as a Python integer (0 for an empty array)."""
    if values.size == 0:
        return 0
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low) or not np.isfinite(high):
        return INT_LIMIT
    return max(-int(low), int(high))


def exact_matmul(x: FloatArray, w: FloatArray, x_max: int, w_max: int) -> Sums:
    """x @ w for integer-valued arrays with |x| <= x_max, |w| <= w_max: float64 if the result is below 2^53, else int64.

    Raises `ProvingError` when the result could leave 62 bits.
    """
    total = x.shape[-1] * x_max
    if total * w_max < FLOAT_LIMIT:
        return x @ w
    shift = 53 - total.bit_length()
    if shift < 1 or total * ((w_max >> shift) + 1) >= FLOAT_LIMIT or total * w_max >= INT_LIMIT:
        raise ProvingError(f"a sum of {x.shape[-1]} products of {x_max} and {w_max} does not fit 62 bits")
    high = np.floor(w * 0.5**shift)
    low = w - high * 2.0**shift
    return ((x @ high).astype(np.int64) << shift) + (x @ low).astype(np.int64)


def round_shift(value: Sums, bound: int, shift: int) -> FloatArray:
    """floor(value / 2^shift + 1/2) for |value| <= bound, as float64 integers."""
    half = (1 << shift) >> 1
    if value.dtype == np.float64 and bound + half < FLOAT_LIMIT:
        return np.floor((value + half) * 0.5**shift)
    return ((value.astype(np.int64) + half) >> shift).astype(np.float64)
