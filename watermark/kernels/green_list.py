"""Is a token in the first (or last) G entries of torch.randperm(V)? Without building the permutation.

Only the position of one entry is followed through the Fisher-Yates shuffle, so nothing is stored and at most G generator
words are drawn. The plain twin is vectorised over the words of one seed; the Numba kernel does several microseconds a pair and
is loaded for large jobs only, where Numba is installed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from watermark.primitives import mersenne

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Seeds = npt.NDArray[np.uint32]
# Importing Numba and loading the kernel takes as long as about so many pairs in the plain twin: from there on, counted over the
# whole process, it pays.
NUMBA_FROM = 3000
_answered = 0
# Long permutations from this one on are shuffled by Numba.
SHUFFLES_PLAIN = 2
_shuffled = 0


def contains(seeds: Seeds, tokens: Ints, vocab_size: int, steps: int) -> Bools:
    """For every pair (seed, token): whether the token is among the first `steps` entries of torch.randperm(vocab_size).

    `seeds` are the low 32 bits given to the generator. Tokens must lie in [0, vocab_size), steps in [0, vocab_size].
    """
    global _answered
    _answered += len(seeds)
    if _answered >= NUMBA_FROM:
        try:
            from watermark.kernels.green_list_numba import contains_numba
        except ImportError:
            return contains_plain(seeds, tokens, vocab_size, steps)
        return contains_numba(seeds, tokens, vocab_size, steps)
    return contains_plain(seeds, tokens, vocab_size, steps)


def contains_plain(seeds: Seeds, tokens: Ints, vocab_size: int, steps: int) -> Bools:
    """The plain twin of the kernel. Pairs with the same seed share its words."""
    steps = min(steps, vocab_size)
    out = np.zeros(len(seeds), dtype=bool)
    order = np.argsort(seeds, kind="stable")
    divisors = (vocab_size - np.arange(steps)).astype(np.uint32)
    first = np.arange(steps, dtype=np.int64)
    last_seed, jumps, state = -1, first, mersenne.generator(0)
    for index in order.tolist():
        seed = int(seeds[index])
        if seed != last_seed:
            state.seed(seed)  # a new generator would take longer than its words
            jumps = first + (mersenne.words(state, steps) % divisors)
            last_seed = seed
        out[index] = _ends_inside(jumps, int(tokens[index]), steps)
    return out


def _ends_inside(jumps: Ints, position: int, steps: int) -> bool:
    """Follow the entry at `position`: step i swaps entries i and jumps[i]."""
    start = 0
    while start < steps:
        end = min(position + 1, steps)
        if (jumps[start:end] == position).any():
            return True
        if position >= steps:
            return False
        start, position = position + 1, int(jumps[position])
    return False


def green_rows(seeds: Seeds, vocab_size: int, steps: int) -> npt.NDArray[np.uint8]:
    """The whole lists, eight tokens a byte (numpy.packbits): bit t of row i is set when token t is in the list of seeds[i]."""
    try:
        from watermark.kernels.green_list_numba import green_rows_numba
    except ImportError:
        return green_rows_plain(seeds, vocab_size, steps)
    return green_rows_numba(seeds, vocab_size, steps)


def green_rows_plain(seeds: Seeds, vocab_size: int, steps: int) -> npt.NDArray[np.uint8]:
    """The plain twin of `green_rows_numba`."""
    rows = np.zeros((len(seeds), vocab_size), dtype=bool)
    for i, seed in enumerate(seeds.tolist()):
        rows[i, mersenne.randperm(mersenne.generator(seed), vocab_size)[:steps]] = True
    return np.packbits(rows, axis=1)


def permutation(seed: int, size: int) -> Ints:
    """torch.randperm(size) of a generator seeded with `seed`, for the long tables that some keys need. Raises ValueError like
    `mersenne.randperm`."""
    global _shuffled
    _shuffled += 1
    if _shuffled > SHUFFLES_PLAIN and 1 <= size < mersenne.MAX_PERMUTATION:
        try:
            from watermark.kernels.green_list_numba import permutation_numba
        except ImportError:
            return mersenne.randperm(mersenne.generator(seed), size)
        return np.asarray(permutation_numba(seed, size))
    return mersenne.randperm(mersenne.generator(seed), size)
