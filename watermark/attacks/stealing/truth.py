"""The secret side of an audit: who really is green, read from a scheme with its key. Attacks never see it; it scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.protocol import Stolen
from watermark.attacks.stealing.zipf import Bools, GreenRule, Ints
from watermark.errors import AttackError
from watermark.families import Scheme
from watermark.kernels.green_list import green_rows
from watermark.schemes.green_list import GreenListScheme
from watermark.schemes.unigram import UnigramScheme

MAX_ROW_BYTES = 512 * 1024 * 1024


def rule_of(scheme: Scheme) -> GreenRule:
    """The green rule of a green-list scheme. Raises AttackError for any other: nothing green can be stolen there."""
    if isinstance(scheme, UnigramScheme):
        return UnigramRule(scheme)
    if isinstance(scheme, GreenListScheme):
        return PreviousTokenRule(scheme) if _rows_fit(scheme) else PairRule(scheme)
    raise AttackError("stealing is measured on green-list schemes; this scheme has no green list")


def vocabulary_of(scheme: Scheme) -> tuple[int, float]:
    """Vocabulary size and green share of a green-list scheme. Raises AttackError for any other."""
    if isinstance(scheme, UnigramScheme):
        return scheme.vocab_size, scheme.settings.fraction
    if isinstance(scheme, GreenListScheme):
        return scheme.config.vocab_size, scheme.config.settings.fraction
    raise AttackError("stealing is measured on green-list schemes; this scheme has no green list")


def _rows_fit(scheme: GreenListScheme) -> bool:
    config = scheme.config
    return config.context_width == 1 and not config.self_salt and config.vocab_size**2 // 8 <= MAX_ROW_BYTES


@dataclass(frozen=True)
class UnigramRule:
    """Fixed lists, chosen by the previous token where there are several."""

    scheme: UnigramScheme = field(repr=False)
    num_keys: int = 1

    @property
    def context_width(self) -> int:
        return 0 if self.scheme.num_keys == 1 else 1

    def green(self, contexts: Ints, candidates: Ints, keys: Ints) -> Bools:
        lists = self.scheme.lists()
        which = self.scheme.list_index(contexts[:, -1]) if len(lists) > 1 else np.zeros(len(candidates), dtype=np.int64)
        return np.asarray(lists[which[:, None], candidates])


class PreviousTokenRule:
    """One previous token seeds the list: whole lists are built as their tokens turn up, and kept, a bit an entry."""

    context_width = 1
    num_keys = 1

    def __init__(self, scheme: GreenListScheme) -> None:
        self._config = scheme.config
        self._row = np.full(scheme.config.vocab_size, -1, dtype=np.int64)
        self._rows: list[npt.NDArray[np.uint8]] = []
        self._packed = np.zeros((0, (scheme.config.vocab_size + 7) // 8), dtype=np.uint8)

    def green(self, contexts: Ints, candidates: Ints, keys: Ints) -> Bools:
        previous = contexts[:, -1]
        new = np.unique(previous[self._row[previous] < 0])
        if len(new):
            config = self._config
            size = config.list_size if config.select_first else config.vocab_size - config.list_size
            rows = green_rows(config.seeds(new[:, None], config.key), config.vocab_size, size)
            self._row[new] = len(self._packed) + np.arange(len(new))
            self._packed = np.concatenate([self._packed, rows if config.select_first else ~rows])
        bits = self._packed[self._row[previous][:, None], candidates >> 3]
        return np.asarray((bits & (128 >> (candidates & 7)).astype(np.uint8)) != 0)


class PairRule:
    """Any other context: the colour of each (seed, token) pair is asked for once and remembered."""

    num_keys = 1

    def __init__(self, scheme: GreenListScheme) -> None:
        self._scheme = scheme
        self._pairs = np.zeros(0, dtype=np.uint64)
        self._colours = np.zeros(0, dtype=bool)

    @property
    def context_width(self) -> int:
        return self._scheme.config.context_width - int(self._scheme.config.self_salt)

    def green(self, contexts: Ints, candidates: Ints, keys: Ints) -> Bools:
        config, shape = self._scheme.config, candidates.shape
        full = np.repeat(contexts[:, contexts.shape[1] - self.context_width :], shape[1], axis=0)
        if config.self_salt:
            full = np.concatenate([full, candidates.reshape(-1, 1)], axis=1)
        seeds = config.seeds(full, config.key).astype(np.uint64)
        pairs = (seeds << np.uint64(32)) | candidates.ravel().astype(np.uint64)
        unique, back = np.unique(pairs, return_inverse=True)
        self._learn(unique)
        return np.asarray(self._colours[np.searchsorted(self._pairs, unique)][back].reshape(shape))

    def _learn(self, unique: npt.NDArray[np.uint64]) -> None:
        if len(self._pairs):
            at = np.minimum(np.searchsorted(self._pairs, unique), len(self._pairs) - 1)
            unique = unique[self._pairs[at] != unique]
        if not len(unique):
            return
        tokens = (unique & np.uint64(0xFFFFFFFF)).astype(np.int64)
        colours = self._scheme.is_green((unique >> np.uint64(32)).astype(np.uint32), tokens)
        places = np.searchsorted(self._pairs, unique)
        self._pairs, self._colours = np.insert(self._pairs, places, unique), np.insert(self._colours, places, colours)


def draw_contexts(texts: Sequence[Tokens], width: int, count: int, rng: np.random.Generator) -> Ints:
    """Contexts of `width` tokens (at least one) as they stand in texts, drawn with replacement, (count, width).

    Raises AttackError where no text is long enough.
    """
    width = max(1, width)
    able = [text for text in texts if len(text) >= width]
    if not able:
        raise AttackError(f"no text has {width} tokens to draw contexts from")
    which = rng.integers(0, len(able), size=count)
    return np.stack([able[i][at : at + width] for i in which for at in [int(rng.integers(0, len(able[i]) - width + 1))]])


def score_calls(stolen: Stolen, rule: GreenRule, contexts: Ints, rng: np.random.Generator) -> tuple[Ints, Bools]:
    """The tokens an attack calls green after the given contexts, and whether each is. Fixed lists are called once an item,
    whatever the context, so on a context-dependent scheme each call is judged after one context drawn for it."""
    rows, tokens = stolen.calls(contexts, rng)
    if not len(rows):
        return tokens, np.zeros(0, dtype=bool)
    correct = rule.green(contexts[rows], tokens[:, None], np.zeros(len(rows), dtype=np.int64))
    return tokens, correct[:, 0]
