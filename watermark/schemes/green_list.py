"""The green-list family (KGW, arXiv 2301.10226 and 2306.04634): what every dialect of it shares.

A context of h tokens and a key give a generator seed; the first G entries of a permutation of the vocabulary drawn with it are
green. Dialects differ in the function from context to seed, in which tokens make the context, and in how repeats count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from watermark.detection import Detection, DetectOptions
from watermark.detectors.green_count import GreenEvidence, GreenSettings, count_green, first_of_each, row_codes
from watermark.kernels.green_list import contains
from watermark.primitives.mersenne import generator, randperm
from watermark.schemes.green_rows import GreenRows

Ints = npt.NDArray[np.int64]
Seeds = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]
SeedFunction = Callable[[Ints, int], Seeds]
KnownFunction = Callable[[Ints, int, Seeds], Bools]
# Contexts hashed at a time, which bounds the memory of long texts.
CHUNK = 1 << 18
# Where there are few seeds, whole lists are kept from so many pairs on: building one costs three answers.
KEEP_FROM = 4096


@dataclass(frozen=True)
class GreenListConfig:
    """A green list: `seeds(contexts, key)` maps contexts (n x context_width) to generator seeds (n).

    With `self_salt` the last entry of the context is the candidate token itself. `select_first` False takes the last G entries
    of the permutation (the reference's legacy form). `few_seeds`: a key has at most V seeds, so that keeping whole lists pays.
    `known(contexts, key, seeds)` says which seeds need no key (see `primitives.known_seeds`); the valid test leaves them out.
    """

    settings: GreenSettings
    vocab_size: int
    context_width: int
    self_salt: bool
    key: int = field(repr=False)
    seeds: SeedFunction = field(repr=False)
    known: KnownFunction = field(repr=False)
    select_first: bool = True
    ignore_repeats: bool = True
    bos_token_id: int | None = None
    candidates: int = 41
    few_seeds: bool = False

    @property
    def gamma(self) -> float:
        return self.settings.gamma

    @property
    def delta(self) -> float | None:
        return self.settings.delta

    @property
    def list_size(self) -> int:
        """G = int(gamma V)."""
        return int(self.vocab_size * self.settings.gamma)

    @property
    def steps(self) -> int:
        """How many entries of the permutation decide: the green ones, or the red ones where the last are green."""
        return self.list_size if self.select_first else self.vocab_size - self.list_size

    @property
    def window(self) -> int:
        """Length of the n-grams that are scored."""
        return self.context_width + (0 if self.self_salt else 1)


@dataclass
class GreenListScheme:
    """A configuration with its key. Keeps what it has learned about (seed, token) pairs, so many texts are quick."""

    config: GreenListConfig
    warnings: tuple[str, ...] = ()
    _rows: GreenRows = field(init=False, repr=False)
    _asked: int = 0

    def __post_init__(self) -> None:
        self._rows = GreenRows(self.config.vocab_size, self.config.steps)

    def hazards(self) -> tuple[str, ...]:
        return self.warnings

    def detect(self, tokens: Ints, options: DetectOptions) -> Detection:
        """See `watermark.families.Scheme`."""
        return count_green(self.evidence(tokens), len(tokens), self.config.settings, options)

    def evidence(self, tokens: Ints) -> GreenEvidence:
        """Seeds, targets and colours of every position with a full context. A leading BOS is dropped."""
        config = self.config
        dropped = int(len(tokens) > 0 and config.bos_token_id is not None and tokens[0] == config.bos_token_id)
        body = tokens[dropped:]
        if len(body) < config.window:
            empty = np.zeros(0, dtype=bool)
            return GreenEvidence(np.zeros(0, dtype=np.int64), empty, empty, empty)
        ngrams = np.lib.stride_tricks.sliding_window_view(body, config.window)
        pairs, known = self._pairs(ngrams)
        unique, first, back = np.unique(pairs, return_index=True, return_inverse=True)
        colours = self.is_green((unique >> np.uint64(32)).astype(np.uint32), (unique & np.uint64(0xFFFFFFFF)).astype(np.int64))
        counted = np.zeros(len(pairs), dtype=bool)
        counted[first] = True
        return GreenEvidence(
            positions=np.arange(len(ngrams), dtype=np.int64) + config.window - 1 + dropped,
            green=colours[back],
            scored=first_of_each(row_codes(ngrams, config.vocab_size))
            if config.ignore_repeats
            else np.ones(len(pairs), dtype=bool),
            counted=counted & ~known,
        )

    def _pairs(self, ngrams: Ints) -> tuple[npt.NDArray[np.uint64], Bools]:
        """Seed and target of every n-gram as seed << 32 | target, and which of the seeds need no key."""
        config = self.config
        pairs, known = np.empty(len(ngrams), dtype=np.uint64), np.empty(len(ngrams), dtype=bool)
        for start in range(0, len(ngrams), CHUNK):
            part = slice(start, start + CHUNK)
            contexts = ngrams[part] if config.self_salt else ngrams[part, :-1]
            seeds = config.seeds(contexts, config.key)
            pairs[part] = (seeds.astype(np.uint64) << np.uint64(32)) | ngrams[part, -1].astype(np.uint64)
            known[part] = config.known(contexts, config.key, seeds)
        return pairs, known

    def green_mask(self, tokens: Ints) -> Bools:
        """Colour of every scored position, in text order."""
        return self.evidence(tokens).green

    def is_green(self, seeds: Seeds, tokens: Ints) -> Bools:
        """Colour of every pair (seed, token); lists that were built before (`remember`) answer at once."""
        self._asked += len(seeds)
        if self.config.few_seeds and self._asked > KEEP_FROM:
            self._rows.ask(seeds)
        kept, inside = self._rows.look_up(seeds, tokens)
        if not kept.all():
            missing = ~kept
            inside[missing] = contains(seeds[missing], tokens[missing], self.config.vocab_size, self.config.steps)
        return inside if self.config.select_first else ~inside

    def remember(self, seeds: Seeds) -> None:
        """Build the whole lists of these seeds and keep them, as many as `GreenRows` has room for."""
        self._rows.add(seeds)

    def seed_of(self, context: Ints) -> int:
        """Generator seed of one context: its last `context_width` tokens (with the candidate, for a self-salted scheme)."""
        return int(self.config.seeds(np.asarray(context, dtype=np.int64)[None, -self.config.context_width :], self.config.key)[0])

    def green_list(self, context: Ints) -> Ints:
        """The whole green list after a context, sorted. For a self-salted scheme, the list that the last token seeds."""
        entries = randperm(generator(self.seed_of(context)), self.config.vocab_size)
        size = self.config.list_size
        return np.sort(entries[:size] if self.config.select_first else entries[self.config.vocab_size - size :])
