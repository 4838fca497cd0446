"""A synthetic language model with Zipf's law: what the stealing attacks are measured on where no real model is at hand.

The next token depends on the last `order` tokens: they seed draws from a Zipf law over meanings, each written by one of
`synonyms` tokens, with logistic logits. What follows depends on meanings only, so a synonym fits wherever its like stood, and
perplexity tells a careful edit from a careless one. Everything is a hash of the context: the model is a function, costs
nothing to store, and marked, natural and forged texts follow the same distribution. It has no grammar: contexts repeat as often
as independent Zipf draws make them (more so with `local`), less often than in natural text, which favours wide contexts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.hashing import GOLDEN, hash_rows, mix, unit
from watermark.errors import AttackError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MAX_TEXTS = 1_000_000
PROMPT_LENGTH = 8
_HALF_STEP = 2.0**-54
_SYNONYM_SPREAD = 0.5
_CHUNK = 4096


class GreenRule(Protocol):
    """Who is green: the secret side of a green-list scheme, as generation and the scoring of an attack need it."""

    @property
    def context_width(self) -> int:
        """How many tokens before the candidate the rule looks at."""
        ...

    @property
    def num_keys(self) -> int:
        """How many keys texts are marked with, one a text."""
        ...

    def green(self, contexts: Ints, candidates: Ints, keys: Ints) -> Bools:
        """Whether each candidate is green. `contexts`: (n, context_width), `candidates`: (n, c), `keys`: (n,); answer (n, c)."""
        ...


@dataclass(frozen=True)
class FixedLists:
    """The rule of Unigram: one list a key, whatever the context. `masks`: (num_keys, vocab_size)."""

    masks: Bools
    context_width: int = 0

    @property
    def num_keys(self) -> int:
        return len(self.masks)

    def green(self, contexts: Ints, candidates: Ints, keys: Ints) -> Bools:
        return np.asarray(self.masks[keys[:, None], candidates])


@dataclass(frozen=True)
class ZipfModel:
    """Tokens m s to m s + s - 1 are the `synonyms` s of meaning m; a lower m is more frequent. `spread` scales the logits (1:
    about 2.4 nats a token with 40 candidates), `local` of the candidates depend on the last token only, `floor` is the
    probability spread over the whole vocabulary by the Zipf law itself, so that every token has a finite cost."""

    vocab_size: int = 50272
    candidates: int = 40
    synonyms: int = 4
    order: int = 4
    local: int = 0
    spread: float = 1.0
    floor: float = 1e-3
    salt: int = 0

    def __post_init__(self) -> None:
        s = self.synonyms
        if (
            s < 1
            or self.vocab_size < 2 * s
            or self.vocab_size % s
            or self.candidates % s
            or self.local % s
            or self.candidates < s
        ):
            raise AttackError("vocabulary, candidates and local ones of a Zipf model are multiples of the number of synonyms")
        if not 1 <= self.order <= PROMPT_LENGTH or not 0 <= self.local <= self.candidates:
            raise AttackError(
                f"a Zipf model wants an order of 1 to {PROMPT_LENGTH}, and no more local candidates than candidates"
            )

    def next_candidates(self, contexts: Ints) -> tuple[Ints, npt.NDArray[np.float64]]:
        """The candidates of each context (n, >= order) and their logits, both (n, candidates). A token may stand there twice;
        its probability is then the sum."""
        meanings, s = contexts // self.synonyms, self.synonyms
        state = np.repeat(hash_rows(meanings[:, -self.order :], 2 * self.salt)[:, None], self.candidates // s, axis=1)
        if self.local:
            state[:, : self.local // s] = hash_rows(meanings[:, -1:], 2 * self.salt + 1)[:, None]
        words = mix(state + np.arange(1, self.candidates // s + 1, dtype=np.uint64) * GOLDEN)
        ids = np.repeat(self._zipf_draws(unit(words)) * s, s, axis=1) + np.tile(np.arange(s), self.candidates // s)
        logits = np.repeat(_logistic(mix(words ^ GOLDEN)), s, axis=1)
        each = mix(np.repeat(words, s, axis=1) + np.tile(np.arange(1, s + 1, dtype=np.uint64), self.candidates // s))
        return ids, self.spread * (logits + _SYNONYM_SPREAD * _logistic(each))

    def synonyms_of(self, text: Tokens, positions: Sequence[int]) -> list[Tokens]:
        """The other tokens of the same meaning, position by position: an `Alternatives` of scrubbing."""
        firsts = [int(text[at]) // self.synonyms * self.synonyms for at in positions]
        groups = [np.arange(first, first + self.synonyms, dtype=np.int64) for first in firsts]
        return [group[group != text[at]] for group, at in zip(groups, positions)]

    def next_logits(self, contexts: Sequence[Sequence[int] | Tokens]) -> npt.NDArray[np.float32]:
        """Log-probabilities of the next token, (n, vocab_size). Contexts shorter than `order` are filled up with token 0."""
        rows = np.zeros((len(contexts), self.order), dtype=np.int64)
        for row, context in zip(rows, contexts):
            last = np.asarray(context[-self.order :], dtype=np.int64)
            if last.size:
                row[-last.size :] = last
        ids, logits = self.next_candidates(rows)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights *= (1 - self.floor) / weights.sum(axis=1, keepdims=True)
        dense = np.repeat((self.floor * self._zipf())[None, :], len(contexts), axis=0)
        np.add.at(dense, (np.arange(len(contexts))[:, None], ids), weights)
        return np.log(dense).astype(np.float32)

    def prompts(self, count: int, rng: np.random.Generator) -> Ints:
        """Independent Zipf draws, (count, PROMPT_LENGTH)."""
        shape = (count, PROMPT_LENGTH)
        return np.asarray(self._zipf_draws(rng.random(shape)) * self.synonyms + rng.integers(0, self.synonyms, size=shape))

    def natural(self, count: int, length: int, rng: np.random.Generator) -> list[Tokens]:
        """Unmarked texts."""
        return self._write(length, rng, None, 0.0, np.zeros(_checked(count, length), dtype=np.int64))

    def marked(self, count: int, length: int, rng: np.random.Generator, rule: GreenRule, delta: float) -> list[Tokens]:
        """Texts whose green candidates got `delta` on their logits; with several keys, one drawn for each text."""
        return self._write(length, rng, rule, delta, rng.integers(0, rule.num_keys, size=_checked(count, length)))

    def _write(self, length: int, rng: np.random.Generator, rule: GreenRule | None, delta: float, keys: Ints) -> list[Tokens]:
        texts: list[Tokens] = []
        for start in range(0, len(keys), _CHUNK):
            part = keys[start : start + _CHUNK]
            rows = np.concatenate([self.prompts(len(part), rng), np.zeros((len(part), length), dtype=np.int64)], axis=1)
            for at in range(PROMPT_LENGTH, PROMPT_LENGTH + length):
                ids, logits = self.next_candidates(rows[:, at - self.order : at])
                if rule is not None:
                    logits += delta * rule.green(rows[:, at - rule.context_width : at], ids, part)
                drawn = np.argmax(logits - np.log(rng.standard_exponential(logits.shape)), axis=1)
                rows[:, at] = ids[np.arange(len(part)), drawn]
            texts += list(rows[:, PROMPT_LENGTH:])
        return texts

    def _zipf_draws(self, uniform: npt.NDArray[np.float64]) -> Ints:
        """Meanings: m with probability log((m + 2) / (m + 1)) / log(M + 1), close to 1 / m, from uniform numbers."""
        count = self.vocab_size // self.synonyms
        return np.minimum(np.exp(uniform * math.log(count + 1)).astype(np.int64) - 1, count - 1)

    def _zipf(self) -> npt.NDArray[np.float64]:
        """The probabilities of all tokens under these draws."""
        count = self.vocab_size // self.synonyms
        ranks = np.arange(count)
        return np.repeat(np.log((ranks + 2) / (ranks + 1)) / (math.log(count + 1) * self.synonyms), self.synonyms)


def _checked(count: int, length: int) -> int:
    if not 0 <= count <= MAX_TEXTS or length < 1:
        raise AttackError(f"a Zipf model writes up to {MAX_TEXTS} texts of 1 or more tokens")
    return count


def _logistic(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    uniform = unit(words) + _HALF_STEP
    return np.asarray(np.log(uniform / (1 - uniform)))
