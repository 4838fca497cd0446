"""What marks do to a batch of scores at every step of writing: a bias on listed tokens, and ways to draw from a distribution.

Each function has a plain twin here and a Numba kernel in `embedding_numba`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from watermark.kernels.green_list import Seeds, green_rows
from watermark.kernels.philox import uniform_rows_plain

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass
class ListTable:
    """Green lists as they are needed, each in the one slot that its seed falls into: eight tokens a byte, as `numpy.packbits`
    packs them. `steps`: how many entries of the permutation are on a list (see `green_list.green_rows`), or, if `inverted`, are
    not on it."""

    vocab_size: int
    steps: int
    inverted: bool
    max_bytes: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        width = (self.vocab_size + 7) // 8
        bits = min(18, max(4, (self.max_bytes // width).bit_length() - 1))
        self.lists = np.zeros((1 << bits, width), dtype=np.uint8)
        self.owners = np.full(1 << bits, -1, dtype=np.int64)

    def add_bias(self, scores: Floats, seeds: Seeds, delta: float) -> Floats:
        """A copy of the scores (n, at least vocab_size) with `delta` on the tokens of each row's list. `seeds`: (n,)."""
        try:
            from watermark.kernels.embedding_numba import add_bias_numba
        except ImportError:
            return self.add_bias_plain(scores, seeds, delta)
        return np.asarray(add_bias_numba(self, scores, seeds, delta))

    def add_bias_plain(self, scores: Floats, seeds: Seeds, delta: float) -> Floats:
        """The plain twin."""
        out = scores.copy()
        out[:, : self.vocab_size] += self.colours(seeds) * np.float32(delta)
        return out

    def colours(self, seeds: Seeds) -> npt.NDArray[np.bool_]:
        """The lists of seeds (n, vocab_size)."""
        packed = np.empty((len(seeds), self.lists.shape[1]), dtype=np.uint8)
        for row, seed in enumerate(seeds.tolist()):
            slot = seed & (len(self.owners) - 1)
            if self.owners[slot] != seed:
                built = green_rows(np.array([seed], dtype=np.uint32), self.vocab_size, self.steps)[0]
                self.lists[slot], self.owners[slot] = ~built if self.inverted else built, seed
            packed[row] = self.lists[slot]
        return np.unpackbits(packed, axis=1, count=self.vocab_size).view(np.bool_)


def first_reaching(probabilities: Floats, order: Ints, targets: npt.NDArray[np.float64]) -> Ints:
    """For every row the first token, in the order given, at which the running sum reaches the target (in (0, 1]); where rounding
    leaves the whole sum below it, the last token with a probability."""
    try:
        from watermark.kernels.embedding_numba import first_reaching_numba
    except ImportError:
        return first_reaching_plain(probabilities, order, targets)
    return np.asarray(first_reaching_numba(probabilities, order, targets))


def first_reaching_plain(probabilities: Floats, order: Ints, targets: npt.NDArray[np.float64]) -> Ints:
    """The plain twin."""
    ordered = probabilities[:, order].astype(np.float64)
    sums = ordered.cumsum(axis=1)
    places = np.array([np.searchsorted(line, target) for line, target in zip(sums, targets)])
    last = ordered.shape[1] - 1 - (ordered[:, ::-1] > 0).argmax(axis=1)
    return order[np.minimum(places, last)]


def least_arrival(probabilities: Floats, contexts: Ints, keys: Sequence[int]) -> Ints:
    """For every row the token with the least -log(u) / p, u as in `philox.uniform_rows`: the argmax of log p - log(-log u)."""
    try:
        from watermark.kernels.embedding_numba import least_arrival_numba
    except ImportError:
        return least_arrival_plain(probabilities, contexts, keys)
    return np.asarray(least_arrival_numba(probabilities, contexts, keys))


def least_arrival_plain(probabilities: Floats, contexts: Ints, keys: Sequence[int]) -> Ints:
    """The plain twin."""
    arrivals = -np.log(uniform_rows_plain(contexts, keys, probabilities.shape[1]).astype(np.float64))
    with np.errstate(divide="ignore"):
        return (arrivals / probabilities).argmin(axis=1)
