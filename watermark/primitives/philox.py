"""Philox4x32-10 and the context-keyed PRF `philox4x32-10-v1` that vLLM builds on it, vectorised over contexts and tokens.

Block function: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (doi 10.1145/2063384.2063405). The PRF:
vllm/v1/watermarking/prfs/philox.py @ 373305d65c78 (golden values: `vllm_gumbel`). The context is folded four tokens at a time
into a 128-bit state, the state and the token give one 32-bit word.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from watermark.primitives.mersenne import MASK32

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
CONTEXT_DOMAIN = 0x574D4358
TOKEN_DOMAIN = 0x574D544B

Words = npt.NDArray[np.uint64]  # 32-bit words in 64-bit cells, so that products keep their high halves
State = tuple[Words, Words, Words, Words]

_MASK = np.uint64(MASK32)
_SHIFT = np.uint64(32)


def philox4x32(counter: State, key: tuple[Words, Words]) -> State:
    """The block function on broadcastable arrays of 32-bit words (held as uint64): four words of counter, two of key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        left, right = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (right >> _SHIFT) ^ c1 ^ k0, right & _MASK, (left >> _SHIFT) ^ c3 ^ k1, left & _MASK
        k0, k1 = (k0 + np.uint64(WEYL[0])) & _MASK, (k1 + np.uint64(WEYL[1])) & _MASK
    return c0, c1, c2, c3


def split_key(key: int) -> tuple[int, int]:
    """The low and the high word of a 64-bit key."""
    return key & MASK32, key >> 32


def fold_contexts(contexts: npt.NDArray[np.int64], key: int) -> State:
    """The state of each context. `contexts`: (n, width) token ids, -1 for what comes before the text."""
    n, width = contexts.shape
    k0, k1 = split_key(key)
    words = (contexts & MASK32).astype(np.uint64)
    state = tuple(np.full(n, word, dtype=np.uint64) for word in (CONTEXT_DOMAIN, width, 0, 0))
    for offset in range(0, width, 4):
        block = [
            words[:, offset + i] if offset + i < width else np.full(n, MASK32 - i, dtype=np.uint64) for i in range(4)
        ]  # a missing position counts within its block
        counter = (state[0] ^ block[0], state[1] ^ block[1], state[2] ^ block[2], state[3] ^ block[3])
        state = philox4x32(counter, (np.full(1, k0 ^ offset, dtype=np.uint64), np.full(1, k1, dtype=np.uint64)))
    return state[0], state[1], state[2], state[3]


def token_words(state: State, tokens: npt.NDArray[np.int64], key: int) -> npt.NDArray[np.uint32]:
    """The 32-bit word of each (context state, token); both of length n."""
    k0, k1 = split_key(key)
    ids = tokens.astype(np.uint64)
    keys = (state[3] ^ np.uint64(k0), np.full(1, k1 ^ TOKEN_DOMAIN, dtype=np.uint64))
    block = np.stack(philox4x32((ids >> np.uint64(2), state[0], state[1], state[2]), keys))
    return block[(ids & np.uint64(3)).astype(np.int64), np.arange(ids.size)].astype(np.uint32)


def uniform_float32(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
    """((word >> 8) + 1) / (2^24 + 1) rounded to float32: above 0 and below 1."""
    return (((words >> np.uint32(8)).astype(np.float64) + 1) / (2**24 + 1)).astype(np.float32)


def uniforms(contexts: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64], key: int) -> npt.NDArray[np.float32]:
    """u of each (context, token): `contexts` (n, width), `tokens` (n,), `key` a 64-bit integer."""
    return uniform_float32(token_words(fold_contexts(contexts, key), tokens, key))


def vocabulary_uniforms(context: npt.NDArray[np.int64], vocab_size: int, key: int) -> npt.NDArray[np.float32]:
    """u of every token 0 .. vocab_size - 1 after one context (width,): one block call gives four tokens."""
    state = fold_contexts(context.reshape(1, -1), key)
    k0, k1 = split_key(key)
    counters = np.arange((vocab_size + 3) // 4, dtype=np.uint64)
    keys = (state[3] ^ np.uint64(k0), np.full(1, k1 ^ TOKEN_DOMAIN, dtype=np.uint64))
    block = philox4x32((counters, state[0], state[1], state[2]), keys)
    return uniform_float32(np.stack(block, axis=1).reshape(-1)[:vocab_size].astype(np.uint32))
