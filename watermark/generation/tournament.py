"""SynthID-Text's tournament sampling (Nature 634, 2024): layer after layer, tokens with g = 1 gain what those with g = 0 lose.

The non-distortionary form with two entrants a match, as transformers' SynthIDTextWatermarkLogitsProcessor computes it (5.23.0).

With a the multiplier of the hash, c the hash of the context and N a power of two, g of token v at a depth with key k is
table[(v a^2 + c a^2 + (k + 1) a + 1) mod N]. Let U[j] = table[j a^2 mod N]; then g = U[v + s mod N] with s = c + (k + 1) / a +
1 / a^2 mod N: over the vocabulary the g-values are a stretch of U, read in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from watermark.errors import ConfigError
from watermark.generation.marks import Ints, row_generator, softmax_on_cpu, uniform_numbers
from watermark.kernels.embedding import Floats, first_reaching
from watermark.kernels.tournament import find_starts, play
from watermark.primitives.synthid_hash import MULTIPLIER
from watermark.schemes.synthid import SynthIDScheme


@dataclass
class TournamentRow:
    """In which step of its text each context was met last (the reference's history begins with zeros), and its own draws."""

    draws: Iterator[float]
    met: dict[int, int] = field(default_factory=lambda: {0: 0})
    steps: int = 0


class TournamentWriter:
    """One configuration. Raises ConfigError for tables that are no power of two, and for debug_mode."""

    reads_prompt, final, vocab_size = False, True, None

    def __init__(self, scheme: SynthIDScheme) -> None:
        config = scheme.config
        size = config.sampling_table_size
        if size & (size - 1):
            raise ConfigError(f"sampling_table_size {size} is no power of two: such texts are read, but not written")
        if config.debug_mode:
            raise ConfigError("debug_mode makes generation ignore the model; leave it out")
        self.config, self.width = config, config.ngram_len - 1
        self._size = size
        multiplier = int(MULTIPLIER) % size
        inverse = pow(multiplier, -1, size) if size > 1 else 0
        order = np.arange(size, dtype=np.uint64) * np.uint64(multiplier * multiplier % size) % np.uint64(size)
        self._in_order = scheme.table[order.astype(np.int64)]
        self._table, self._order = np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.int64)
        self._shifts = np.array([((key + 1) * inverse + inverse * inverse) % size for key in config.keys], dtype=np.int64)

    def start(self, seed: int) -> TournamentRow:
        return TournamentRow(uniform_numbers(row_generator(seed, 1)))

    def step(self, rows: Sequence[TournamentRow], contexts: Ints, written: Ints, scores: torch.Tensor) -> torch.Tensor:
        probabilities = softmax_on_cpu(scores)
        keyed = self._play(rows, contexts, written, probabilities)
        marked = torch.from_numpy(probabilities).log_().clamp_(min=torch.finfo(torch.float32).min).to(scores)
        if len(keyed) < len(rows):
            free = [i for i in range(len(rows)) if i not in keyed]
            marked[free] = scores[free]
        return marked

    def draw(self, rows: Sequence[TournamentRow], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        probabilities = softmax_on_cpu(scores)
        self._play(rows, contexts, written, probabilities)
        # the layers keep the sum up to rounding; a target above it falls on the last token
        if len(self._order) != probabilities.shape[1]:
            self._order = np.arange(probabilities.shape[1])
        return first_reaching(probabilities, self._order, np.array([1 - next(row.draws) for row in rows]))

    def _play(self, rows: Sequence[TournamentRow], contexts: Ints, written: Ints, probabilities: Floats) -> list[int]:
        """Replace the probabilities of the marked rows, and say which those are."""
        hashed, starts = find_starts(contexts, self._shifts, self._size)
        keyed = self._marked(rows, hashed.tolist(), written.tolist())
        size = probabilities.shape[1]
        if len(self._table) != self._size + size:
            self._table = np.resize(self._in_order, self._size + size)
        if len(keyed) == len(rows):
            play(probabilities, self._table, starts)
            return keyed
        part = probabilities[keyed]
        play(part, self._table, starts[keyed])
        probabilities[keyed] = part
        return keyed

    def _marked(self, rows: Sequence[TournamentRow], hashed: Sequence[int], written: Sequence[int]) -> list[int]:
        """Rows whose context was not among the last `context_history_size` ones, and whose text has begun where it has to."""
        history, begins = self.config.context_history_size, self.width if self.config.skip_first_ngram_calls else 0
        found = []
        for i, (row, context, count) in enumerate(zip(rows, hashed, written)):
            if count < begins:
                continue
            row.steps += 1
            last = row.met.get(context)
            row.met[context] = row.steps
            if last is None or row.steps - last > history:
                found.append(i)
        return found
