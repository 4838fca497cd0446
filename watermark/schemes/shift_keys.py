"""Keys of the shift-keyed family (arXiv 2307.15593): a sequence of n rows of random numbers, read from some offset on.

EXP: row r holds xi[r, v] in [0, 1) for every token v. ITS: row r holds one number, and a permutation pi gives tokens their ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from watermark.primitives.demo_mersenne import demo_generator
from watermark.primitives.mersenne import generator, rand_float32, randperm, words

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
Words = npt.NDArray[np.uint32]
# Words from here on are rounded up to exactly 1 by the cast of the Python demo to single precision.
POISON_FROM = (1 << 32) - 128
MAX_KEPT_BYTES = 128 * 1024 * 1024


@dataclass
class ExpKey:
    """xi of an EXP key as 32-bit words (n x V), drawn row by row; `convert` turns words into numbers."""

    n: int
    vocab_size: int
    start: Callable[[], np.random.RandomState] = field(repr=False)
    convert: Callable[[Words], Floats] = field(repr=False)
    _kept: Words | None = field(default=None, repr=False)
    _drawn: int = field(default=0, repr=False)

    def _rows(self) -> Words | None:
        """All words, kept from the second use on if they are not too many."""
        self._drawn += 1
        if self._kept is None and self._drawn > 1 and self.n * self.vocab_size * 4 <= MAX_KEPT_BYTES:
            self._kept = words(self.start(), self.n * self.vocab_size).reshape(self.n, self.vocab_size)
        return self._kept

    def columns_as_words(self, tokens: Ints) -> Words:
        """(n, len(tokens)): the words of these tokens in every row."""
        kept = self._rows()
        if kept is not None:
            return kept[:, tokens]
        state, out = self.start(), np.empty((self.n, len(tokens)), dtype=np.uint32)
        for row in range(self.n):
            out[row] = words(state, self.vocab_size)[tokens]
        return out

    def columns(self, tokens: Ints) -> Floats:
        """(n, len(tokens)): xi of these tokens in every row."""
        return self.convert(self.columns_as_words(tokens))

    def matrix(self) -> Floats:
        """The whole key, n x V."""
        return self.convert(words(self.start(), self.n * self.vocab_size).reshape(self.n, self.vocab_size))

    def poison(self) -> list[tuple[int, int]]:
        """(row, token) of the entries that single precision rounds to 1: such a token "matches" in any text at all."""
        state, found = self.start(), []
        for row in range(self.n):
            found += [(row, int(token)) for token in np.flatnonzero(words(state, self.vocab_size) >= POISON_FROM)]
        return found


@dataclass(frozen=True)
class ItsKey:
    """`ranks[v]` in 0 .. V - 1 of token v, and xi (n) in [0, 1), single precision."""

    ranks: Ints = field(repr=False)
    xi: Floats = field(repr=False)
    order: Ints = field(repr=False)


def library_exp_key(seed: int, n: int, vocab_size: int) -> ExpKey:
    """jthickstun/watermark's library: torch.rand(n, V) after manual_seed(seed)."""
    return ExpKey(n, vocab_size, lambda: generator(seed), words_to_float24)


def library_its_key(seed: int, n: int, vocab_size: int) -> ItsKey:
    """torch.randperm(V), then torch.rand(n, 1)."""
    state = generator(seed)
    order = randperm(state, vocab_size)
    ranks = np.empty(vocab_size, dtype=np.int64)
    ranks[order] = np.arange(vocab_size)
    return ItsKey(ranks, rand_float32(state, n), order)


def demo_exp_key(key: int, n: int, vocab_size: int, keep_high_bits: bool, single: bool) -> ExpKey:
    """The demos' key: u = w / 2^32, in double precision, or cast to single as the Python one does."""
    convert = words_to_float32 if single else words_to_float64
    return ExpKey(n, vocab_size, lambda: demo_generator(key, keep_high_bits), convert)


def words_to_float24(drawn: Words) -> Floats:
    return (drawn & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)


def words_to_float64(drawn: Words) -> Floats:
    return drawn.astype(np.float64) * 2.0**-32


def words_to_float32(drawn: Words) -> Floats:
    return words_to_float64(drawn).astype(np.float32)
