"""Whole green lists that were built once and are kept, a bit an entry, so that later texts under the same key are quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import numpy.typing as npt

from watermark.kernels.green_list import Bools, Ints, Seeds, green_rows

MAX_BYTES = 256 * 1024 * 1024
_BUILT_AT_ONCE = 2048
# A list costs as much as so many answers; whoever asked that often will ask again.
WORTH_ASKS = 3
_COUNTER_BITS = 18
_GOLDEN = np.uint32(0x9E3779B1)


@dataclass
class GreenRows:
    """Lists of the first `steps` entries, by seed, up to MAX_BYTES: of frequent contexts first. Threads may share it."""

    vocab_size: int
    steps: int
    _seeds: Seeds = field(default_factory=lambda: np.zeros(0, dtype=np.uint32), repr=False)
    _rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    _bits: npt.NDArray[np.uint8] | None = field(default=None, repr=False)
    _asks: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1 << _COUNTER_BITS, dtype=np.uint8), repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def limit(self) -> int:
        """How many lists are kept: no more than there are tokens, as the functions worth it have a seed a token."""
        return max(1, min(MAX_BYTES // ((self.vocab_size + 7) // 8), self.vocab_size))

    def __len__(self) -> int:
        return len(self._seeds)

    def ask(self, seeds: Seeds) -> None:
        """Seeds that are asked for, as often as they are; the lists of those asked for more than WORTH_ASKS times are built.

        Seeds share counters, so that now and then a list is built before it is worth it.
        """
        if len(self) >= self.limit:
            return
        slots = (seeds * _GOLDEN) >> np.uint32(32 - _COUNTER_BITS)
        with self._lock:
            found, counts = np.unique(slots, return_counts=True)
            self._asks[found] = np.minimum(self._asks[found] + counts, 255)
        self.add(seeds[self._asks[slots] > WORTH_ASKS])

    def add(self, seeds: Seeds) -> None:
        """Build the lists of these seeds, given as often as they are asked for; where room is short, of the most frequent."""
        with self._lock:
            unique, counts = np.unique(seeds, return_counts=True)
            fresh = np.ones(len(unique), dtype=bool)
            if len(self):
                fresh = self._seeds[np.minimum(np.searchsorted(self._seeds, unique), len(self) - 1)] != unique
            new, room = unique[fresh], self.limit - len(self)
            if not len(new) or room <= 0:
                return
            if len(new) > room:
                new = new[np.argsort(-counts[fresh], kind="stable")[:room]]
            if self._bits is None:  # untouched pages take no memory
                self._bits = np.empty((self.limit, (self.vocab_size + 7) // 8), dtype=np.uint8)
            used = len(self)
            for start in range(0, len(new), _BUILT_AT_ONCE):
                part = new[start : start + _BUILT_AT_ONCE]
                self._bits[used + start : used + start + len(part)] = green_rows(part, self.vocab_size, self.steps)
            merged, rows = np.concatenate([self._seeds, new]), np.concatenate([self._rows, used + np.arange(len(new))])
            order = np.argsort(merged)
            self._seeds, self._rows = merged[order], rows[order]

    def look_up(self, seeds: Seeds, tokens: Ints) -> tuple[Bools, Bools]:
        """For pairs: whether the list is kept, and whether the token is in it (False where it is not kept)."""
        with self._lock:
            known, rows, bits = self._seeds, self._rows, self._bits
        if bits is None or not len(known):
            return np.zeros(len(seeds), dtype=bool), np.zeros(len(seeds), dtype=bool)
        places = np.minimum(np.searchsorted(known, seeds), len(known) - 1)
        kept = known[places] == seeds
        inside = (bits[rows[places], tokens >> 3] & (128 >> (tokens & 7)).astype(np.uint8)) != 0
        return kept, kept & inside
