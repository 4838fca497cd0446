"""A quick hash of token ids, vectorised: the model's randomness and the learner's table keys. Nothing secret is hashed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mix(words: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), element by element."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return np.asarray(words ^ (words >> np.uint64(31)))


def hash_rows(rows: npt.NDArray[np.int64], salt: int) -> Words:
    """One word for each row of token ids (n, width); equal rows and salts give equal words."""
    state = np.full(len(rows), salt & 0xFFFFFFFF, dtype=np.uint64)
    for column in range(rows.shape[1]):
        state = mix(state ^ (rows[:, column].astype(np.uint64) + np.uint64(1)) * GOLDEN)
    return state


def unit(words: Words) -> npt.NDArray[np.float64]:
    """Uniform in [0, 1), 53 bits."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
