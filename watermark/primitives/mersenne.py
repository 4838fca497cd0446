"""The Mersenne twister as torch's CPU generator, numpy's legacy seeding and JavaScript's demo use it, without torch.

`torch.Generator(device="cpu").manual_seed(seed)` keeps the low 32 bits of the seed and runs MT19937 `init_genrand`, which
is what `numpy.random.RandomState` does with a 32-bit integer. What torch draws from the words w is restated here
(aten/src/ATen/core/CPUGeneratorImpl.cpp, DistributionTemplates.h; golden values: `rng_and_hash`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MASK32 = 0xFFFFFFFF
# From here on torch.randperm draws 64-bit words (2^32 / 20); no vocabulary is that large.
MAX_PERMUTATION = (1 << 32) // 20


def generator(seed: int) -> np.random.RandomState:
    """The word stream of torch's CPU generator after `manual_seed(seed)`. Only the low 32 bits of `seed` matter."""
    return np.random.RandomState(seed & MASK32)


def words(state: np.random.RandomState, count: int) -> npt.NDArray[np.uint32]:
    """The next `count` 32-bit words."""
    return state.randint(0, 1 << 32, size=count, dtype=np.uint32)


def rand_float32(state: np.random.RandomState, count: int) -> npt.NDArray[np.float32]:
    """`torch.rand(count)`: (w mod 2^24) / 2^24, one word each."""
    return (words(state, count) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)


def randperm(state: np.random.RandomState, n: int) -> npt.NDArray[np.int64]:
    """`torch.randperm(n)`: Fisher-Yates from the left, n - 1 words. Raises ValueError for n outside 1..MAX_PERMUTATION - 1."""
    if not 1 <= n < MAX_PERMUTATION:
        raise ValueError(f"a permutation has 1 to {MAX_PERMUTATION - 1} entries, not {n}")
    drawn = words(state, n - 1).astype(np.int64)
    jumps = (drawn % (n - np.arange(n - 1, dtype=np.int64))).tolist()
    out = list(range(n))
    for i, jump in enumerate(jumps):
        j = i + jump
        out[i], out[j] = out[j], out[i]
    return np.array(out, dtype=np.int64)
