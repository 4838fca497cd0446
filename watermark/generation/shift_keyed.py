"""Distortion-free sampling with a shift-keyed sequence (arXiv 2307.15593, section 2): inverse transform and exponential minimum.

Every text reads the key from an offset drawn from its seed. One token of one text has exactly the model's distribution over
keys; texts that share a key and an offset are dependent, and so is a text with itself from n tokens on. Tokens beyond the key's
vocabulary (padding of an embedding) are never written. The Python demo's key is used in double precision, without the entries
that its cast rounds to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from watermark.errors import ConfigError
from watermark.generation.marks import Ints, only, row_generator, softmax_on_cpu
from watermark.kernels.embedding import first_reaching
from watermark.primitives.mersenne import words
from watermark.schemes.shift_keyed import ShiftScheme
from watermark.schemes.shift_keys import ExpKey, ItsKey

MAX_KEY_BYTES = 1 << 31
_LEAST_TARGET = 1e-9


def shift_writer(scheme: ShiftScheme) -> ExpWriter | ItsWriter:
    """The writer of an EXP or ITS key. Raises ConfigError when the key is too large to hold."""
    return ExpWriter(scheme.key) if isinstance(scheme.key, ExpKey) else ItsWriter(scheme.key)


class ShiftWriter:
    """What both share: a row is its offset into a key of n rows."""

    width, reads_prompt, final = 0, False, True

    def __init__(self, n: int, vocab_size: int) -> None:
        self.n, self.vocab_size = n, vocab_size

    def start(self, seed: int) -> int:
        return int(row_generator(seed, 0).integers(self.n))

    def draw(self, rows: Sequence[int], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        """See `watermark.generation.marks.DrawingWriter`."""
        raise NotImplementedError

    def step(self, rows: Sequence[int], contexts: Ints, written: Ints, scores: torch.Tensor) -> torch.Tensor:
        return only(scores, torch.from_numpy(self.draw(rows, contexts, written, scores)).to(scores.device))

    def key_rows(self, offsets: Sequence[int], written: Ints) -> Ints:
        """Which key row each text has come to."""
        return np.asarray((np.array(offsets) + written) % self.n)


class ExpWriter(ShiftWriter):
    """argmax over v of xi_v ^ (1 / p_v), which is argmax of log p_v - log(-log xi_v)."""

    def __init__(self, key: ExpKey) -> None:
        super().__init__(key.n, key.vocab_size)
        if 4 * key.n * key.vocab_size > MAX_KEY_BYTES:
            raise ConfigError(f"a key of {key.n} rows of {key.vocab_size} numbers is too large to write with; take a smaller n")
        self._key = key
        self._words: npt.NDArray[np.uint32] | None = None
        self._noise = torch.empty((key.n, key.vocab_size))
        self._missing = np.ones(key.n, dtype=bool)

    def draw(self, rows: Sequence[int], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        places = self.key_rows(rows, written)
        if self._missing[places].any():
            self._convert(np.unique(places[self._missing[places]]))
        noise = self._noise.index_select(0, torch.from_numpy(places)).to(scores.device)
        return np.asarray((scores[:, : self.vocab_size].float() + noise).argmax(dim=1).cpu().numpy())

    def _convert(self, places: Ints) -> None:
        """-log(-log xi) of key rows, made when they are first used: a short text under a fresh key needs few of them."""
        if self._words is None:
            self._words = words(self._key.start(), self.n * self.vocab_size).reshape(self.n, self.vocab_size)
        xi = self._key.convert(self._words[places]).astype(np.float64)
        with np.errstate(divide="ignore"):
            self._noise[torch.from_numpy(places)] = torch.from_numpy((-np.log(-np.log(xi))).astype(np.float32))
        self._missing[places] = False
        if not self._missing.any():
            self._words = None


class ItsWriter(ShiftWriter):
    """The first token, in the key's order, at which the cumulative probability reaches xi."""

    def __init__(self, key: ItsKey) -> None:
        super().__init__(len(key.xi), len(key.order))
        self._xi = np.asarray(key.xi, dtype=np.float64).clip(min=_LEAST_TARGET)
        self._order = key.order

    def draw(self, rows: Sequence[int], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        probabilities = softmax_on_cpu(scores[:, : self.vocab_size])
        return first_reaching(probabilities, self._order, self._xi[self.key_rows(rows, written)])
