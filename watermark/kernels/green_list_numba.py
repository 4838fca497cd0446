"""Numba kernels of `watermark.kernels.green_list`. Twins there; equality is tested."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_N = 624


@njit(cache=True)
def _seed(state: Any, seed: Any) -> None:
    """MT19937 init_genrand."""
    previous = np.uint32(seed)
    state[0] = previous
    for i in range(1, _N):
        previous = np.uint32(np.uint32(1812433253) * np.uint32(previous ^ (previous >> np.uint32(30))) + np.uint32(i))
        state[i] = previous


@njit(cache=True)
def _refill(state: Any, words: Any) -> None:
    """The next 624 words. Three loops without branches, so that they run in vector registers."""
    for k in range(_N - 397):
        y = (state[k] & np.uint32(0x80000000)) | (state[k + 1] & np.uint32(0x7FFFFFFF))
        state[k] = state[k + 397] ^ (y >> np.uint32(1)) ^ (np.uint32(0x9908B0DF) * (y & np.uint32(1)))
    for k in range(_N - 397, _N - 1):
        y = (state[k] & np.uint32(0x80000000)) | (state[k + 1] & np.uint32(0x7FFFFFFF))
        state[k] = state[k - 227] ^ (y >> np.uint32(1)) ^ (np.uint32(0x9908B0DF) * (y & np.uint32(1)))
    y = (state[_N - 1] & np.uint32(0x80000000)) | (state[0] & np.uint32(0x7FFFFFFF))
    state[_N - 1] = state[396] ^ (y >> np.uint32(1)) ^ (np.uint32(0x9908B0DF) * (y & np.uint32(1)))
    for k in range(_N):
        y = state[k]
        y = y ^ (y >> np.uint32(11))
        y = y ^ ((y << np.uint32(7)) & np.uint32(0x9D2C5680))
        y = y ^ ((y << np.uint32(15)) & np.uint32(0xEFC60000))
        words[k] = y ^ (y >> np.uint32(18))


@njit(cache=True)
def _hits(words: Any, inverses: Any, base: int, start: int, end: int, position: int, vocab_size: int) -> int:
    """How many i in [start, end) of this block (which begins at `base`) jump to `position`; exact: the quotient by the rounded
    reciprocal is off by at most one, which both neighbours of the remainder allow for."""
    found = 0
    for i in range(start, end):
        w = np.float64(words[i - base])
        d = np.float64(vocab_size - i)
        r = w - np.floor(w * inverses[i]) * d
        t = np.float64(position - i)
        found += (r == t) | (r == t + d) | (r == t - d)
    return found


@njit(cache=True)
def _contains_one(seed: Any, token: int, vocab_size: int, steps: int, inverses: Any, state: Any, words: Any) -> bool:
    _seed(state, seed)
    position: Any = token
    for base in range(0, steps, _N):
        _refill(state, words)
        top = min(base + _N, steps)
        start = base
        while start < top:
            end = min(top, position + 1)
            if _hits(words, inverses, base, start, end, position, vocab_size) > 0:
                return True
            if position >= top:
                break
            start = position + 1
            position = position + np.int64(words[position - base]) % (vocab_size - position)
    return False


@njit(cache=True)
def _contains_all(seeds: Any, tokens: Any, vocab_size: int, steps: int, inverses: Any, out: Any) -> None:
    state, words = np.empty(_N, np.uint32), np.empty(_N, np.uint32)
    for n in range(len(seeds)):
        out[n] = _contains_one(seeds[n], tokens[n], vocab_size, steps, inverses, state, words)


def contains_numba(seeds: Any, tokens: Any, vocab_size: int, steps: int) -> Any:
    """See `watermark.kernels.green_list.contains`."""
    steps = min(steps, vocab_size)
    inverses = 1.0 / (vocab_size - np.arange(steps, dtype=np.float64))
    out = np.zeros(len(seeds), dtype=np.bool_)
    _contains_all(
        np.ascontiguousarray(seeds, dtype=np.uint32),
        np.ascontiguousarray(tokens, dtype=np.int64),
        vocab_size,
        steps,
        inverses,
        out,
    )
    return out


@njit(cache=True)
def _green_rows(seeds: Any, vocab_size: int, steps: int, out: Any) -> None:
    state, words = np.empty(_N, np.uint32), np.empty(_N, np.uint32)
    entries = np.arange(vocab_size)
    for n in range(len(seeds)):
        _seed(state, seeds[n])
        for i in range(vocab_size):
            entries[i] = i
        for i in range(steps):
            if i % _N == 0:
                _refill(state, words)
            j = i + np.int64(words[i % _N]) % (vocab_size - i)
            chosen = entries[j]
            entries[j] = entries[i]
            entries[i] = chosen
            out[n, chosen >> 3] |= np.uint8(128 >> (chosen & 7))


def green_rows_numba(seeds: Any, vocab_size: int, steps: int) -> Any:
    """See `watermark.kernels.green_list.green_rows`."""
    out = np.zeros((len(seeds), (vocab_size + 7) // 8), dtype=np.uint8)
    _green_rows(np.ascontiguousarray(seeds, dtype=np.uint32), vocab_size, min(steps, vocab_size), out)
    return out


@njit(cache=True)
def _permutation(seed: Any, out: Any) -> None:
    state, words = np.empty(_N, np.uint32), np.empty(_N, np.uint32)
    _seed(state, seed)
    for i in range(len(out)):
        out[i] = i
    for i in range(len(out) - 1):
        if i % _N == 0:
            _refill(state, words)
        j = i + np.int64(words[i % _N]) % (len(out) - i)
        chosen = out[j]
        out[j] = out[i]
        out[i] = chosen


def permutation_numba(seed: int, size: int) -> Any:
    """See `watermark.kernels.green_list.permutation`."""
    out = np.empty(size, dtype=np.int64)
    _permutation(np.uint32(seed & 0xFFFFFFFF), out)
    return out
