"""Contexts whose generator seed says little about the key, so that anybody can tell which tokens their lists hold.

A text made of pairs that are green under such seeds would carry the mark of every key. Four sources: a factor 0 (K c = 0 for
token 0, and so a hashed token is H(0) under any key); products with powers of two, of which the generator sees only the low 32
bits; products that share most of their size with the modulus 2^64 - 1 = 3 * 5 * 17 * 257 * 641 * 65537 * 6700417, of which a
factor (2^64 - 1) / 3 has three multiples in all; and short keys. A seed that leaves fewer than 2^LEAST_BITS lists is known.
Honest text hardly meets one.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from watermark.primitives.lm_hash import H_OF_ZERO
from watermark.primitives.prf import FACTORS, MODULUS, Ints, Seeds, wrap64

Bools = npt.NDArray[np.bool_]
LEAST_BITS = 12
# How often H(0) is a factor when all tokens that the function looks at are 0; None: half of the context, rounded up.
_HASHED = {"minhash_prf": 1, "skipgram_prf": 1, "anchored_skipgram_prf": 2, "minskipgram_prf": 2, "simple_skip_prf": None}


def known_seeds(name: str, contexts: Ints, key: int, seeds: Seeds) -> Bools:
    """Which of the contexts (n x h), whose seeds (n) under `key` are given, have a seed that needs no key."""
    if name in FACTORS:
        return _few_lists(FACTORS[name](contexts), key)
    if name in _HASHED:
        power = _HASHED[name] or (contexts.shape[1] + 1) // 2
        value = wrap64(H_OF_ZERO**power)
        return np.asarray(seeds == np.uint32((value - (value < 0)) & 0xFFFFFFFF))
    return lost_bits(seeds, key)


def lost_bits(seeds: Seeds, key: int) -> Bools:
    """Seeds of products of the key modulo 2^64 whose other factor is a multiple of 2^(32 - LEAST_BITS)."""
    shift = min(32 - LEAST_BITS + _trailing_zeros(key), 32)
    mask = np.uint32((1 << shift) - 1)
    # the seed of a negative product x is x - 1
    return np.asarray(((seeds & mask) == 0) | ((seeds & mask) == mask))


def _few_lists(factors: Ints, key: int) -> Bools:
    """Products K f modulo 2^64 - 1, where a factor 2^s turns the bits of the key by s places, and one that shares the
    divisor g with the modulus has (2^64 - 1) / g multiples."""
    lowest = factors & -factors
    known = factors == 0
    even = np.flatnonzero((lowest > 1) | (lowest < 0))
    if even.size:
        turned = np.rint(np.log2(np.abs(lowest[even].astype(np.float64)))).astype(np.int64)
        known[even] |= ~np.array(_leaves_enough(key.bit_length(), _trailing_zeros(key)))[turned]
    least = MODULUS >> LEAST_BITS
    for place in np.flatnonzero((factors >= least) | (factors <= -least)).tolist():  # a smaller factor shares less
        known[place] |= math.gcd(int(factors[place]), MODULUS) > least
    return np.asarray(known)


@lru_cache(maxsize=256)
def _leaves_enough(bits: int, zeros: int) -> tuple[bool, ...]:
    """For every turn: do LEAST_BITS unknown bits of a key stay within the low 32, or as many as without a turn?"""
    left = [sum((place + turn) % 64 < 32 for place in range(zeros, bits)) for turn in range(64)]
    return tuple(count >= min(LEAST_BITS, left[0]) for count in left)


def _trailing_zeros(key: int) -> int:
    return (key & -key).bit_length() - 1
