"""The eleven pseudo-random functions of lm-watermarking: from a context of token ids and a key to a generator seed.

Values are those of the reference (alternative_prf_schemes.py at fb602de), its overflows included: products of tensors wrap at
64 bits, while the last factor K of additive, multiplicative and minfunc is multiplied as an unbounded integer. The seed is the
value mod (2^64 - 1), of which torch's CPU generator uses the low 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import numpy.typing as npt

from watermark.primitives.lm_hash import hash_int

Ints = npt.NDArray[np.int64]
Seeds = npt.NDArray[np.uint32]
MODULUS = (1 << 64) - 1
_MASK = 0xFFFFFFFF
_INT64 = 1 << 63
ANCHORED = "anchored_minhash_prf"


def wrap64(value: int) -> int:
    """A Python integer as int64 arithmetic keeps it."""
    return (value + _INT64) % (1 << 64) - _INT64


def low32(values: Ints) -> Seeds:
    """The low 32 bits of x mod (2^64 - 1) for int64 x: below zero that is x - 1, not x."""
    return ((values - (values < 0)) & np.int64(_MASK)).astype(np.uint32)


def _unbounded(key: int, factors: Ints) -> Seeds:
    """Seeds of key * factor, multiplied without overflow: high and low half of the product add up modulo 2^64 - 1."""
    bound = max(int(factors.max(initial=0)), -int(factors.min(initial=0)))
    if abs(key) * bound < _INT64:
        return low32(np.int64(key) * factors)
    half, mask = np.uint64(32), np.uint64(_MASK)
    k = key % MODULUS
    k0, k1 = np.uint64(k & _MASK), np.uint64(k >> 32)
    f = np.abs(factors).view(np.uint64)  # -2^63 stays 2^63
    f0, f1 = f & mask, f >> half
    low, cross, other = k0 * f0, k0 * f1, k1 * f0
    middle = (low >> half) + (cross & mask) + (other & mask)
    low = (low & mask) | (middle << half)
    total = low + (k1 * f1 + (cross >> half) + (other >> half) + (middle >> half))
    total += total < low
    total = np.where((factors < 0) & (total != 0), np.uint64(MODULUS) - total, total)
    return (np.where(total == np.uint64(MODULUS), np.uint64(0), total) & mask).astype(np.uint32)


def _keyed(contexts: Ints, key: int) -> Ints:
    with np.errstate(over="ignore"):
        return hash_int(contexts * np.int64(wrap64(key)))


# What additive, multiplicative and minfunc multiply the key with.
FACTORS: dict[str, Callable[[Ints], Ints]] = {
    "additive_prf": lambda c: c.sum(axis=1),
    "multiplicative_prf": lambda c: np.multiply.reduce(c, axis=1),
    "minfunc_prf": lambda c: c.min(axis=1),
}


def _times_factor(name: str) -> Callable[[Ints, int], Seeds]:
    return lambda c, key: _unbounded(key, FACTORS[name](c))


def _simple_skip(c: Ints, key: int) -> Seeds:
    return low32(np.multiply.reduce(_keyed(c[:, ::2], key), axis=1))


def _skipgram(c: Ints, key: int) -> Seeds:
    return low32(_keyed(c[:, 0], key))


def _anchored_skipgram(c: Ints, key: int) -> Seeds:
    return low32(_keyed(c[:, 0], key) * _keyed(c[:, -1], key))


def _minhash(c: Ints, key: int) -> Seeds:
    return low32(_keyed(c, key).min(axis=1))


def _anchored_minhash(c: Ints, key: int) -> Seeds:
    hashed = hash_int(c)
    return low32((np.int64(wrap64(key)) * hashed * hashed[:, -1:]).min(axis=1))


def _minskipgram(c: Ints, key: int) -> Seeds:
    hashed = _keyed(c, key)
    pairs = [hashed[:, i] * hashed[:, j] for i, j in combinations(range(c.shape[1]), 2)]
    return low32(np.minimum.reduce(pairs))


def _noncomm(c: Ints, key: int) -> Seeds:
    state = np.full(len(c), wrap64(key), dtype=np.int64)
    for i in range(c.shape[1]):
        state = (state * hash_int(state * c[:, i])) % (1 << 32)
    return low32(state)


def _position(c: Ints, key: int) -> Seeds:
    places = np.arange(1, c.shape[1] + 1, dtype=np.int64)
    return low32((np.int64(wrap64(key)) * c * places).sum(axis=1))


PRFS: dict[str, Callable[[Ints, int], Seeds]] = {
    **{name: _times_factor(name) for name in FACTORS},
    "simple_skip_prf": _simple_skip,
    "skipgram_prf": _skipgram,
    "anchored_skipgram_prf": _anchored_skipgram,
    "minhash_prf": _minhash,
    ANCHORED: _anchored_minhash,
    "minskipgram_prf": _minskipgram,
    "noncomm_prf": _noncomm,
    "position_prf": _position,
}


def prf_seeds(name: str, contexts: Ints, key: int) -> Seeds:
    """Seeds (n) of n contexts (n x h). Raises KeyError for an unknown name."""
    with np.errstate(over="ignore"):
        return PRFS[name](contexts, key)
