"""What every edit attack offers, and what some of them need from the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from watermark.errors import AttackError

Tokens = npt.NDArray[np.int64]
Rewrite = Callable[[Sequence[str]], Sequence[str]]


@runtime_checkable
class TokenAttack(Protocol):
    """An edit of token ids. `rate` in [0, 1]: the share of the text that is touched, as the attack defines it."""

    @property
    def name(self) -> str: ...

    def edit_tokens(self, tokens: Tokens, rate: float, rng: np.random.Generator) -> Tokens:
        """The attacked text. Never changes `tokens`. Raises AttackError."""
        ...


@runtime_checkable
class TextAttack(Protocol):
    """An edit of written text; what it does to tokens depends on the tokenizer."""

    @property
    def name(self) -> str: ...

    def edit_text(self, text: str, rate: float, rng: np.random.Generator) -> str:
        """The attacked text. Raises AttackError."""
        ...


Attack = TokenAttack | TextAttack


@dataclass(frozen=True)
class Codec:
    """How text becomes token ids and back: what a TextAttack needs to be applied to token ids."""

    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]


def check_rate(rate: float) -> float:
    """`rate` as a float in [0, 1]. Raises AttackError."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise AttackError(f"an edit rate lies between 0 and 1, not at {str(rate)[:40]}")
    return float(rate)


def apply_attack(attack: Attack, tokens: Tokens, rate: float, rng: np.random.Generator, codec: Codec | None = None) -> Tokens:
    """Apply either kind of attack to token ids. Raises AttackError, also where a TextAttack comes without a codec."""
    check_rate(rate)
    if isinstance(attack, TokenAttack):
        return attack.edit_tokens(tokens, rate, rng)
    if codec is None:
        raise AttackError(f"the attack {attack.name!r} edits text; give the tokenizer that made the token ids")
    edited = attack.edit_text(codec.decode(tokens.tolist()), rate, rng)
    return np.asarray(list(codec.encode(edited)), dtype=np.int64)


@dataclass(frozen=True)
class AttackResources:
    """What the registry passes on: the replacement tokens, clean texts to mix in, a synonym table, a model that rewrites."""

    replacement: TokenDistribution | None = None
    clean: tuple[Tokens, ...] = ()
    synonyms: Mapping[str, Sequence[str]] | None = None
    rewrite: Rewrite | None = None


class TokenDistribution:
    """Where inserted and substituted tokens come from. `probabilities`: (vocab_size,), not negative, not all zero."""

    def __init__(self, probabilities: npt.ArrayLike) -> None:
        weights = np.asarray(probabilities, dtype=np.float64)
        if weights.ndim != 1 or not weights.size or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0:
            raise AttackError("replacement probabilities must be finite, not negative and not all zero")
        self._edges = np.cumsum(weights) / weights.sum()
        self.vocab_size = weights.size

    @classmethod
    def uniform(cls, vocab_size: int) -> TokenDistribution:
        if vocab_size < 1:
            raise AttackError("the vocabulary of replacement tokens is empty")
        return cls(np.ones(vocab_size))

    @classmethod
    def of_texts(cls, texts: Sequence[Tokens]) -> TokenDistribution:
        """The unigram frequencies of some texts. Raises AttackError where they are empty."""
        counts = np.bincount(np.concatenate([np.zeros(0, dtype=np.int64), *texts]))
        return cls(counts)

    def draw(self, count: int, rng: np.random.Generator) -> Tokens:
        drawn = np.searchsorted(self._edges, rng.random(count), side="right")
        return np.minimum(drawn, self.vocab_size - 1).astype(np.int64)
