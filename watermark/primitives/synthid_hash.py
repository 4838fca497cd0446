"""The hash of SynthID-Text (Nature 634, 2024; transformers' `accumulate_hash`): a linear congruential step a token."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInts = npt.NDArray[np.uint64]
MULTIPLIER, INCREMENT = np.uint64(6364136223846793005), np.uint64(1)


def accumulate(state: UInts, data: UInts) -> UInts:
    """One step of the hash: (state + data) a + 1 modulo 2^64."""
    return (state + data) * MULTIPLIER + INCREMENT
