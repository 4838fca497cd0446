"""SynthID-Text's tournament sampling (Nature 634, 2024): layer after layer, tokens with g = 1 gain what those with g = 0 lose.

The non-distortionary form with two entrants a match, as transformers' SynthIDTextWatermarkLogitsProcessor computes it (5.23.0).

With a the multiplier of the hash, c the hash of the context and N a power of two, g of token v at a depth with key k is
table[(v a^2 + c a^2 + (k + 1) a + 1) mod N]. Let U[j] = table[j a^2 mod N]; then g = U[v + s mod N] with s = c + (k + 1) / a +
1 / a^2 mod N: over the vocabulary the g-values are a stretch of U, read in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from watermark.errors import ConfigError
from watermark.generation.marks import Ints, row_generator, softmax_on_cpu
from watermark.kernels.embedding import Floats, first_reaching
from watermark.kernels.tournament import play
from watermark.schemes.synthid import MULTIPLIER, SynthIDScheme, UInts, accumulate


@dataclass
class TournamentRow:
    """In which step of its text each context was met last (the reference's history begins with zeros), and its own draws."""

    draws: np.random.Generator
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
        self._table = np.zeros(0, dtype=np.uint8)
        self._shifts = np.array([((key + 1) * inverse + inverse * inverse) % size for key in config.keys], dtype=np.int64)

    def start(self, seed: int) -> TournamentRow:
        return TournamentRow(row_generator(seed, 1))

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
        targets = np.array([1 - row.draws.random() for row in rows])
        return first_reaching(probabilities, np.arange(probabilities.shape[1]), targets)

    def _play(self, rows: Sequence[TournamentRow], contexts: Ints, written: Ints, probabilities: Floats) -> list[int]:
        """Replace the probabilities of the marked rows, and say which those are."""
        hashed = self._hash(contexts)
        keyed = [i for i, row in enumerate(rows) if self._is_marked(row, int(hashed[i]), int(written[i]))]
        size = probabilities.shape[1]
        if len(self._table) != self._size + size:
            self._table = np.resize(self._in_order, self._size + size)
        starts = (hashed[keyed] % np.uint64(self._size)).astype(np.int64)[:, None] + self._shifts
        starts %= self._size
        if len(keyed) == len(rows):
            play(probabilities, self._table, starts)
            return keyed
        part = probabilities[keyed]
        play(part, self._table, starts)
        probabilities[keyed] = part
        return keyed

    def _hash(self, contexts: Ints) -> UInts:
        """The hash of each context; what comes before the text counts as token 0."""
        state = np.ones(len(contexts), dtype=np.uint64)
        for column in np.maximum(contexts, 0).astype(np.uint64).T:
            state = accumulate(state, column)
        return state

    def _is_marked(self, row: TournamentRow, context: int, written: int) -> bool:
        """Whether its context was not among the last `context_history_size` ones, and the text has begun where it has to."""
        if self.config.skip_first_ngram_calls and written < self.width:
            return False
        row.steps += 1
        last = row.met.get(context)
        row.met[context] = row.steps
        return last is None or row.steps - last > self.config.context_history_size
