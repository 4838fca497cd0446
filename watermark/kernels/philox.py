"""The uniforms of vLLM's Gumbel watermark for whole vocabularies, several contexts at once: what generation needs at every step.

The plain twin goes context by context through `watermark.primitives.philox`; the Numba kernel gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from watermark.primitives import philox

Ints = npt.NDArray[np.int64]


def uniform_rows(contexts: Ints, keys: Sequence[int], vocab_size: int) -> npt.NDArray[np.float32]:
    """u (n, vocab_size) after each context (n, width) under the 64-bit key of its row."""
    try:
        from watermark.kernels.philox_numba import uniform_rows_numba
    except ImportError:
        return uniform_rows_plain(contexts, keys, vocab_size)
    return uniform_rows_numba(contexts, keys, vocab_size)


def uniform_rows_plain(contexts: Ints, keys: Sequence[int], vocab_size: int) -> npt.NDArray[np.float32]:
    """The plain twin."""
    out = np.empty((len(contexts), vocab_size), dtype=np.float32)
    for row, (context, key) in enumerate(zip(contexts, keys)):
        out[row] = philox.vocabulary_uniforms(context, vocab_size, key)
    return out
