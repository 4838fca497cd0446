"""Learning context-dependent green lists from n-gram counts (arXiv 2402.19361, ICML 2024; eth-sri/watermark-stealing at b8d207d).

For every subset of the last h tokens, unordered, the attack counts what followed in marked and in natural texts. A token whose
share after a subset is larger in marked texts is boosted, up to a ratio of `clip`. Three boosts are added: of the whole
context, of the one token that seems to decide (minhash and selfhash take a minimum: the deciding token alone predicts the pair
better than the other does), and of no context at all. The source's look-ahead, a masked language model, is left out; its
published runs switch it off (w_future 0).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.hashing import hash_rows
from watermark.attacks.stealing.zipf import Ints
from watermark.errors import AttackError

Floats = npt.NDArray[np.float64]
Sparse = tuple[Ints, Floats]
MAX_WIDTH = 5
MAX_ROWS = 100_000_000
# A token counts as called green from here on: the deciding token and the empty context at full strength reach 0.43, the whole
# context 0.57 alone, the empty context 0.14 alone.
CALLED = 0.4
_CACHE = 65_536
_TIE_BREAK = 1e-4
_TINY = 1e-6


@dataclass(frozen=True)
class NgramSettings:
    """The source's names and values: weights w_abcd, w_partials, w_empty; clip; min_wm_count_nonempty; min_wm_mass_empty."""

    whole: float = 2.0
    partial: float = 1.0
    empty: float = 0.5
    clip: float = 2.0
    min_count: int = 2
    min_mass_empty: float = 7e-5


@dataclass(frozen=True)
class _Table:
    """Counts after the subsets of one size: rows of `tokens` and `counts` from starts[i] to starts[i + 1] belong to keys[i]."""

    keys: npt.NDArray[np.uint64]
    starts: Ints
    tokens: Ints
    counts: Ints

    def get(self, key: np.uint64) -> tuple[Ints, Ints]:
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return self.tokens[:0], self.counts[:0]
        rows = slice(int(self.starts[at]), int(self.starts[at + 1]))
        return self.tokens[rows], self.counts[rows]


class ContextCounts:
    """What followed every subset of `width` tokens. Subsets are sorted, so order and place do not matter, as in the source."""

    def __init__(self, texts: Sequence[Tokens], width: int) -> None:
        if type(width) is not int or not 0 <= width <= MAX_WIDTH:
            raise AttackError(f"n-gram learning looks at 0 to {MAX_WIDTH} previous tokens")
        long_enough = [text for text in texts if len(text) > width]
        if not long_enough:
            raise AttackError(f"n-gram learning wants texts of more than {width} tokens")
        if (1 << width) * sum(len(text) for text in long_enough) > MAX_ROWS:
            raise AttackError("so many tokens and contexts do not fit in memory; take fewer texts or a narrower context")
        windows = np.concatenate([np.lib.stride_tricks.sliding_window_view(text, width + 1) for text in long_enough])
        self.width = width
        self._tables = [_count(windows, size) for size in range(width + 1)]

    def get(self, subset: tuple[int, ...]) -> tuple[Ints, Ints]:
        """Tokens that followed this sorted subset, ascending, and how often."""
        key = hash_rows(np.array([subset], dtype=np.int64).reshape(1, -1), len(subset))[0]
        return self._tables[len(subset)].get(key)


def _count(windows: Ints, size: int) -> _Table:
    width = windows.shape[1] - 1
    keys, targets = [], []
    for chosen in combinations(range(width), size):
        keys.append(hash_rows(np.sort(windows[:, list(chosen)], axis=1), size))
        targets.append(windows[:, -1])
    key, target = np.concatenate(keys), np.concatenate(targets)
    order = np.lexsort((target, key))
    key, target = key[order], target[order]
    new = np.ones(len(key), dtype=bool)
    new[1:] = (key[1:] != key[:-1]) | (target[1:] != target[:-1])
    first = np.flatnonzero(new)
    counts = np.diff(np.append(first, len(key)))
    unique, starts = np.unique(key[first], return_index=True)
    return _Table(unique, np.append(starts, len(first)), target[first], counts)


@dataclass
class NgramBoost:
    """The learned boosts. As a `Stolen` (see `protocol`): boosts in [0, 1] for the tokens after a context."""

    marked: ContextCounts
    natural: ContextCounts
    vocab_size: int
    settings: NgramSettings = NgramSettings()
    name: str = "n-grams"
    details: dict[str, float] = field(default_factory=dict)
    estimated_precision: float | None = None
    _cache: OrderedDict[tuple[int, ...], Sparse] = field(default_factory=OrderedDict, repr=False)

    @property
    def context_width(self) -> int:
        return self.marked.width

    def boosts(self, contexts: Sequence[Tokens]) -> npt.NDArray[np.float32]:
        """Boosts of the whole vocabulary, (n, vocab_size); zero after contexts that are too short."""
        out = np.zeros((len(contexts), self.vocab_size), dtype=np.float32)
        for row, context in zip(out, contexts):
            for weight, (tokens, values) in self._parts(context):
                row[tokens] += weight * values
        return out

    def boost_of(self, context: Tokens, tokens: Ints) -> npt.NDArray[np.float32]:
        """Boosts of some tokens after one context."""
        out = np.zeros(len(tokens), dtype=np.float32)
        for weight, (known, values) in self._parts(context):
            if len(known):
                at = np.minimum(np.searchsorted(known, tokens), len(known) - 1)
                out += np.where(known[at] == tokens, weight * values[at], 0.0).astype(np.float32)
        return out

    def calls(self, contexts: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Every token whose boost is at least CALLED after each context, as (row of `contexts`, token). Without context (width 0)
        every such token once, with a context drawn by `rng`."""
        if not self.context_width:
            tokens = np.flatnonzero(self.boosts([contexts[0]])[0] >= CALLED)
            return rng.integers(0, len(contexts), size=len(tokens)), tokens
        found = [np.flatnonzero(self.boosts([context])[0] >= CALLED) for context in list(contexts)]
        rows = np.repeat(np.arange(len(found)), [len(tokens) for tokens in found])
        return rows, np.concatenate([np.zeros(0, dtype=np.int64), *found])

    def _parts(self, context: Tokens) -> list[tuple[float, Sparse]]:
        """The boosts that apply after a context and their weights, which sum to 1."""
        width = self.context_width
        if len(context) < width:
            return []
        last = tuple(int(token) for token in context[len(context) - width :])
        parts = [(self.settings.whole, self._ratios(tuple(sorted(last))))]
        if self.settings.partial > 0 and width:
            decider = self._decider(last)
            if decider is not None:
                parts.append((self.settings.partial, self._ratios((decider,))))
        if self.settings.empty > 0:
            parts.append((self.settings.empty, self._ratios(())))
        total = sum(weight for weight, _ in parts)
        return [(weight / total, part) for weight, part in parts]

    def _decider(self, last: tuple[int, ...]) -> int | None:
        """The one context token whose own boosts resemble those of every pair it is in more than its partner's do."""
        solo = [self._ratios((token,)) for token in last]
        strong = []
        for i, token in enumerate(last):
            wins = True
            for j, other in enumerate(last):
                if i != j and wins:
                    pair = self._ratios(tuple(sorted((token, other))))
                    wins = _cosine(pair, solo[i]) > _cosine(pair, solo[j])
            if wins:
                strong.append(token)
        return strong[0] if len(strong) == 1 else None

    def _ratios(self, subset: tuple[int, ...]) -> Sparse:
        """The source's get_boosts: clipped ratios of shares, in [0, 1], of tokens that are ahead in marked texts."""
        known = self._cache.get(subset)
        if known is not None:
            self._cache.move_to_end(subset)
            return known
        settings = self.settings
        tokens, counts = self.marked.get(subset)
        base_tokens, base_counts = self.natural.get(subset)
        base_total = float(base_counts.sum())
        least = settings.min_count if subset else max(1, round(settings.min_mass_empty * base_total))
        share = counts / (counts.sum() + _TINY)
        enough = counts >= least
        tokens, counts, share = tokens[enough], counts[enough], share[enough]
        base = np.zeros(len(tokens))
        if len(base_tokens):
            at = np.minimum(np.searchsorted(base_tokens, tokens), len(base_tokens) - 1)
            base = np.where(base_tokens[at] == tokens, base_counts[at], 0.0) / (base_total + _TINY)
        ratios = np.divide(share, base, out=np.zeros(len(tokens)), where=base > 0)
        ratios[base == 0] = max(1.0, float(ratios.max(initial=0.0))) + 1e-3
        ahead = ratios >= 1
        tokens, counts, ratios = tokens[ahead], counts[ahead], np.minimum(ratios[ahead], settings.clip) / settings.clip
        if len(ratios):
            ratios = ratios + _TIE_BREAK * counts / counts.max()
            ratios = ratios / ratios.max()
        self._cache[subset] = (tokens, ratios)
        if len(self._cache) > _CACHE:
            self._cache.popitem(last=False)
        return tokens, ratios


def _cosine(left: Sparse, right: Sparse) -> float:
    norm = float(np.linalg.norm(left[1]) * np.linalg.norm(right[1]))
    if norm == 0.0:
        return 0.0
    _, at, there = np.intersect1d(left[0], right[0], assume_unique=True, return_indices=True)
    return float(left[1][at] @ right[1][there]) / norm


def learn_ngrams(
    marked: Sequence[Tokens], natural: Sequence[Tokens], vocab_size: int, width: int, settings: NgramSettings | None = None
) -> NgramBoost:
    """Count and return the boosts. `width` is the number of previous tokens that decide (known to the attacker): 1 for
    lefthash, 3 for selfhash (the fourth is the candidate), 4 for minhash, 0 for Unigram. Raises AttackError."""
    return NgramBoost(ContextCounts(marked, width), ContextCounts(natural, width), vocab_size, settings or NgramSettings())
