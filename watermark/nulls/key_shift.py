"""The exact null of scores read from a fixed table at positions that a key shifts.

The key of a depth moves every position by the same amount c modulo the table's size. Under a key drawn uniformly c is uniform, so
that the null of one depth is the list of its scores over all shifts of this very text, and the null of several independent
depths is the convolution of such lists. No hash is assumed to be random, no n-grams to be independent.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

# Points of the convolution; finer lattices are coarsened, which can only enlarge the p-value.
MAX_LATTICE = 1 << 22
_MAX_TILT = 64.0


def scores_of_all_shifts(residues: npt.NDArray[np.int64], table: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """S(c) = sum_i table[(residues_i + c) mod N] for c = 0 .. N - 1, table of zeros and ones of length N."""
    size = table.size
    counts = np.bincount(residues, minlength=size).astype(np.float64)
    spectrum = np.fft.rfft(table) * np.conj(np.fft.rfft(counts))
    return np.rint(np.fft.irfft(spectrum, size)).astype(np.int64)


def log_tail_over_shifts(
    null: npt.NDArray[np.int64], observed: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]
) -> tuple[float, int]:
    """log P(sum_d w_d S(c_d) >= sum_d w_d observed_d), the c_d independent and uniform; and the coarsening used (1: exact).

    `null` holds S(c) for every shift, `observed` (depths,) the score at each depth's key, `weights` (depths,) positive integers.
    """
    low = int(null.min())
    span = int(null.max()) - low
    step = max(1, math.ceil(span * int(weights.sum()) / MAX_LATTICE))
    pmf = np.bincount(-(-(null - low) // step)) / null.size
    target = int((weights * ((observed - low) // step)).sum())
    values, multiplicities = np.unique(weights, return_counts=True)
    tilt = _tilt(pmf, values, multiplicities, target)
    length = int(weights.sum()) * (pmf.size - 1) + 1
    size = 1 << max(length - 1, 1).bit_length()
    x = np.arange(pmf.size)
    spectrum = np.ones(size // 2 + 1, dtype=np.complex128)
    log_mass = 0.0
    for weight, multiplicity in zip(values.tolist(), multiplicities.tolist()):
        exponents = tilt * weight * (x - x[-1])  # the largest is 0
        tilted = pmf * np.exp(exponents)
        mass = float(tilted.sum())
        log_mass += multiplicity * (math.log(mass) + tilt * weight * float(x[-1]))
        spread = np.zeros(size)
        spread[weight * x] = tilted / mass
        spectrum *= np.fft.rfft(spread) ** multiplicity
    law = np.maximum(np.fft.irfft(spectrum, size)[:length], 0.0)
    tail = law[target:] * np.exp(-tilt * np.arange(length - target))
    log_p = math.log(max(float(tail.sum()), 1e-300)) + log_mass - tilt * target
    return min(log_p, 0.0), step


def _tilt(
    pmf: npt.NDArray[np.float64], values: npt.NDArray[np.int64], multiplicities: npt.NDArray[np.int64], target: int
) -> float:
    """The exponential tilt >= 0 under which the sum has mean `target`: keeps relative accuracy in the tail."""
    x = np.arange(pmf.size)

    def mean(tilt: float) -> float:
        total = 0.0
        for weight, multiplicity in zip(values.tolist(), multiplicities.tolist()):
            tilted = pmf * np.exp(tilt * weight * (x - x[-1]))
            total += multiplicity * weight * float((tilted * x).sum() / tilted.sum())
        return total

    if mean(0.0) >= target:
        return 0.0
    low, high = 0.0, 1.0 / (64 * pmf.size)
    while high < _MAX_TILT and mean(high) < target:
        low, high = high, 2 * high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) < target else (low, middle)
    return high
