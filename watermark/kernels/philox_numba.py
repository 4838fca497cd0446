"""Numba kernel of `watermark.kernels.philox`. Its twin stands there; equality is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from watermark.primitives.philox import CONTEXT_DOMAIN, MULTIPLIERS, TOKEN_DOMAIN, WEYL

_M0, _M1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_W0, _W1 = np.uint32(WEYL[0]), np.uint32(WEYL[1])
_CONTEXT, _TOKEN = np.uint32(CONTEXT_DOMAIN), np.uint32(TOKEN_DOMAIN)
_SHIFT = np.uint64(32)
_MASK = np.uint64(0xFFFFFFFF)
_SCALE = 2**24 + 1


@njit(cache=True, inline="always")
def _block(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Philox4x32-10 on 32-bit words. Written out, so that the loop around it runs in vector registers."""
    for _ in range(10):
        left, right = _M0 * np.uint64(c0), _M1 * np.uint64(c2)
        c0 = np.uint32(right >> _SHIFT) ^ c1 ^ k0
        c1 = np.uint32(right & _MASK)
        c2 = np.uint32(left >> _SHIFT) ^ c3 ^ k1
        c3 = np.uint32(left & _MASK)
        k0, k1 = np.uint32(k0 + _W0), np.uint32(k1 + _W1)
    return c0, c1, c2, c3


@njit(cache=True)
def _vocabulary_words(context: Any, low: Any, high: Any, words: Any) -> None:
    """The words of every token after one context: token v at words[v & 3, v >> 2]."""
    width = len(context)
    s0, s1, s2, s3 = _CONTEXT, np.uint32(width), np.uint32(0), np.uint32(0)
    for offset in range(0, width, 4):
        b0 = context[offset]
        b1 = context[offset + 1] if offset + 1 < width else np.uint32(0xFFFFFFFF - 1)
        b2 = context[offset + 2] if offset + 2 < width else np.uint32(0xFFFFFFFF - 2)
        b3 = context[offset + 3] if offset + 3 < width else np.uint32(0xFFFFFFFF - 3)
        s0, s1, s2, s3 = _block(s0 ^ b0, s1 ^ b1, s2 ^ b2, s3 ^ b3, low ^ np.uint32(offset), high)
    k0, k1 = low ^ s3, high ^ _TOKEN
    for counter in range(words.shape[1]):
        w0, w1, w2, w3 = _block(np.uint32(counter), s0, s1, s2, k0, k1)
        words[0, counter] = w0
        words[1, counter] = w1
        words[2, counter] = w2
        words[3, counter] = w3


@njit(cache=True)
def _uniform_rows(contexts: Any, low: Any, high: Any, words: Any, out: Any) -> None:
    for row in range(len(contexts)):
        _vocabulary_words(contexts[row], low[row], high[row], words)
        for token in range(out.shape[1]):
            out[row, token] = np.float32(((words[token & 3, token >> 2] >> np.uint32(8)) + 1.0) / _SCALE)


def prepare(contexts: Any, keys: Sequence[int], vocab_size: int) -> tuple[Any, Any, Any, Any]:
    """Contexts and keys as 32-bit words, and room for the words of one row."""
    low = np.array([key & 0xFFFFFFFF for key in keys], dtype=np.uint32)
    high = np.array([key >> 32 for key in keys], dtype=np.uint32)
    words = np.empty((4, (vocab_size + 3) // 4), dtype=np.uint32)
    return (contexts & 0xFFFFFFFF).astype(np.uint32), low, high, words


def uniform_rows_numba(contexts: Any, keys: Sequence[int], vocab_size: int) -> Any:
    """See `watermark.kernels.philox.uniform_rows`."""
    out = np.empty((len(contexts), vocab_size), dtype=np.float32)
    _uniform_rows(*prepare(contexts, keys, vocab_size), out)
    return out
