"""Scalar field arithmetic, inlined into every loop of the Numba kernels.

All values are uint64. "Loose" means any representative < 2^64, "canonical" means < p. Products take loose operands.
Reduction uses 2^64 = 2^32 - 1 and 2^96 = -1 (mod p); no 128-bit division anywhere.

Numba's on-disk cache does not notice changes of callees in other files: after editing this file, delete
`zk/kernels/cpu/__pycache__`.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

P = np.uint64(2**64 - 2**32 + 1)
EPS = np.uint64(2**32 - 1)
S32 = np.uint64(32)
ZERO = np.uint64(0)
ONE = np.uint64(1)
SEVEN = np.uint64(7)

inlined = numba.njit(error_model="numpy", nogil=True)
kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@intrinsic
def arrays_are_distinct(typingctx):  # type: ignore[no-untyped-def]
    """Promise LLVM that the array arguments of the calling function do not overlap.

    Without it a loop over more than a handful of arrays is not vectorised (too many overlap checks at run time).
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        for argument in builder.function.args:
            # Numba passes an array as meminfo, parent, size, itemsize, data, ...: field 4 is the data pointer.
            if isinstance(argument.type, ir.PointerType) and argument.name.endswith(".4"):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), codegen


@inlined
def wide(a, b):
    """Return (high, low) of the 128-bit product."""
    al, ah = a & EPS, a >> S32
    bl, bh = b & EPS, b >> S32
    ll, lh, hl, hh = al * bl, al * bh, ah * bl, ah * bh
    t = lh + (ll >> S32)
    u = hl + (t & EPS)
    return hh + (t >> S32) + (u >> S32), (u << S32) | (ll & EPS)


@inlined
def reduce_wide(high, low):
    """Return a loose representative of high * 2^64 + low."""
    top, mid = high >> S32, high & EPS
    t = low - top
    t = t - EPS if low < top else t
    m = (mid << S32) - mid
    r = t + m
    return r + EPS if r < m else r


@inlined
def canonical(a):
    """Return the canonical representative of a loose value."""
    r = a - P
    return r if r < a else a


@inlined
def mul_loose(a, b):
    high, low = wide(a, b)
    return reduce_wide(high, low)


@inlined
def mul(a, b):
    """Return the canonical product of two loose values."""
    high, low = wide(a, b)
    return canonical(reduce_wide(high, low))


@inlined
def add(a, b):
    """Return the canonical sum of two canonical values."""
    c = P - b
    r = a - c
    return r + P if a < c else r


@inlined
def sub(a, b):
    """Return the canonical difference of two canonical values."""
    r = a - b
    return r + P if a < b else r


@inlined
def seven_times(a):
    """Return the canonical 7 a of a loose value."""
    return mul(a, SEVEN)


@inlined
def k_mul_parts(a0, a1, b0, b1):
    """Return the canonical product in K of canonical (a0, a1) and (b0, b1)."""
    c0 = add(mul(a0, b0), seven_times(mul(a1, b1)))
    return c0, add(mul(a0, b1), mul(a1, b0))


@inlined
def from_halves(low_sum, high_sum):
    """Return the canonical value of low_sum + 2^32 high_sum, two plain 64-bit sums of 32-bit halves."""
    shifted = high_sum & EPS
    carry = high_sum >> S32
    return add(canonical(low_sum), add(canonical(shifted << S32), canonical(carry * EPS)))
