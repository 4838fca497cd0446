"""The boundary between Python callers and compiled loops: array checks, scalars, two-way threading."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from zk.kernels.errors import KernelInputError

Array = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]
Scalar = tuple[int, int]

MODULUS = 2**64 - 2**32 + 1
N_THREADS = min(2, os.cpu_count() or 1)
PARALLEL_MIN = 1 << 14
_U64 = np.dtype(np.uint64)
_I64 = np.dtype(np.int64)
_pool: ThreadPoolExecutor | None = None


def _plain(a: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if a.dtype != dtype:
        raise KernelInputError(f"expected an array of {dtype}, got {a.dtype}: convert it with to_field or astype")
    # One memory layout keeps one compiled version per kernel (read-only arrays are another Numba type).
    return a if a.flags.carray else np.array(a, dtype=dtype, order="C")


def f_array(a: Array) -> Array:
    """Return a as a C-contiguous uint64 array, copied only if needed."""
    return _plain(a, _U64)


def int_array(a: IntArray) -> IntArray:
    """Return a as a C-contiguous int64 array, copied only if needed."""
    return _plain(a, _I64)


def k_array(a: Array) -> Array:
    """f_array for a K array; raises KernelInputError unless the leading dimension is 2."""
    if a.shape[0] != 2:
        raise KernelInputError(f"expected a K array of shape (2, ...), got shape {a.shape}")
    return _plain(a, _U64)


def k_table(a: Array) -> Array:
    """Return a K table (2, n) with contiguous planes, copied only if needed; half of an array is passed as it is."""
    if a.dtype is _U64 and a.ndim == 2 and a.shape[0] == 2 and a.strides[1] == 8 and a.flags.writeable:
        return a
    check(a.ndim == 2, f"expected a K table of shape (2, n), got shape {a.shape}")
    return k_array(a)


def check(condition: bool, message: str) -> None:
    """Raise KernelInputError with message unless condition holds."""
    if not condition:
        raise KernelInputError(message)


def half_of(n: int) -> int:
    """Return n / 2; raises KernelInputError for an odd or zero length."""
    if n < 2 or n & 1:
        raise KernelInputError(f"a table of even length >= 2 is needed, got {n} entries")
    return n >> 1


def split(kernel: Callable[..., Any], n: int, *args: Any, offset: int = 0, minimum: int = PARALLEL_MIN) -> list[Any]:
    """Call kernel(*args, start, stop) over offset..offset + n, on two threads if n >= minimum.

    Returns the results in order.
    """
    stop = offset + n
    if n < minimum or N_THREADS < 2:
        return [kernel(*args, offset, stop)]
    middle = offset + (n >> 1)
    second = _executor().submit(kernel, *args, middle, stop)
    first = kernel(*args, offset, middle)
    return [first, second.result()]


def _executor() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=N_THREADS, thread_name_prefix="zk-kernels")
    return _pool


def _forget_pool() -> None:
    global _pool
    _pool = None


# Threads do not survive a fork; the child builds its own pool.
os.register_at_fork(after_in_child=_forget_pool)
