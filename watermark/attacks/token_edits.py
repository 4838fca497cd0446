"""Random edits of token ids: substitution, insertion, deletion, swaps of neighbours.

An edit rate r touches exactly round(r n) of n tokens, at positions drawn without replacement, as a share that is met exactly
leaves less noise in power curves than independent coins (Kuditipudi et al., arXiv 2307.15593, section 4, draws them likewise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watermark.attacks.protocol import TokenDistribution, Tokens, check_rate

_REDRAWS = 8


def _positions(size: int, rate: float, rng: np.random.Generator) -> Tokens:
    count = round(check_rate(rate) * size)
    return np.sort(rng.permutation(size)[:count])


@dataclass(frozen=True)
class Substitution:
    """round(rate n) tokens are replaced by drawn ones, which differ from the original wherever eight redraws allow it."""

    replacement: TokenDistribution
    name: str = "substitution"

    def edit_tokens(self, tokens: Tokens, rate: float, rng: np.random.Generator) -> Tokens:
        where = _positions(tokens.size, rate, rng)
        drawn = self.replacement.draw(where.size, rng)
        for _ in range(_REDRAWS):
            same = drawn == tokens[where]
            if not same.any():
                break
            drawn[same] = self.replacement.draw(int(same.sum()), rng)
        edited = tokens.copy()
        edited[where] = drawn
        return edited


@dataclass(frozen=True)
class Insertion:
    """round(rate n) drawn tokens are inserted, each into its own gap (before a token): the text grows by `rate`."""

    replacement: TokenDistribution
    name: str = "insertion"

    def edit_tokens(self, tokens: Tokens, rate: float, rng: np.random.Generator) -> Tokens:
        where = _positions(tokens.size, rate, rng)
        return np.insert(tokens, where, self.replacement.draw(where.size, rng))


@dataclass(frozen=True)
class Deletion:
    """round(rate n) tokens are removed."""

    name: str = "deletion"

    def edit_tokens(self, tokens: Tokens, rate: float, rng: np.random.Generator) -> Tokens:
        return np.delete(tokens, _positions(tokens.size, rate, rng))


@dataclass(frozen=True)
class Swap:
    """Disjoint pairs of neighbours change places, so that round(rate n) tokens (an even number) move."""

    name: str = "swap"

    def edit_tokens(self, tokens: Tokens, rate: float, rng: np.random.Generator) -> Tokens:
        pairs = round(check_rate(rate) * tokens.size / 2)
        single = tokens.size - 2 * pairs
        # a random arrangement of `pairs` pairs and `single` singles along the text
        kinds = rng.permutation(np.repeat([2, 1], [pairs, max(single, 0)]))
        starts = (np.cumsum(kinds) - kinds)[kinds == 2]
        starts = starts[starts + 1 < tokens.size]
        edited = tokens.copy()
        edited[starts], edited[starts + 1] = tokens[starts + 1], tokens[starts]
        return edited
