"""Losses of a kept set of claims, and the conformity score r they give an output.

Claims are kept from the highest score down. r is the highest score t at which keeping every claim with score >= t breaks
the loss's budget, -Infinity if no t does: the filter at threshold q is safe on this output exactly if it keeps only scores
above r. Source: arXiv 2402.10978 (all true, a fraction true), 2406.09714 (at most b false).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable
from conformal.errors import LevelError
from conformal.levels import parse_level

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# Counts of claims times this stay exact in 64 bits.
MAX_DENOMINATOR = 10**9
Comparator = Literal[">", ">="]


class Loss(Protocol):
    """A statement about a kept set, with the score r it gives every output."""

    @property
    def name(self) -> str: ...

    def conformity(self, table: ClaimTable, scores: Floats, truth: Bools) -> Floats:
        """r for every output (n)."""
        ...

    def holds(self, table: ClaimTable, kept: Bools, truth: Bools) -> Bools:
        """Whether the statement is true of the kept claims of every output (n). The empty set satisfies it."""
        ...


@dataclass(frozen=True)
class AtMostFalse:
    """At most `allowed` of the kept claims are false; 0: all kept claims are true."""

    allowed: int = 0

    def __post_init__(self) -> None:
        if self.allowed < 0:
            raise LevelError("the number of false claims allowed cannot be negative")

    @property
    def name(self) -> str:
        return "all-true" if self.allowed == 0 else f"at-most-{self.allowed}-false"

    def conformity(self, table: ClaimTable, scores: Floats, truth: Bools) -> Floats:
        false = np.flatnonzero(~truth)
        owners = table.owners[false]
        order = np.lexsort((-scores[false], owners))
        ranked, owner = scores[false][order], owners[order]
        first = np.searchsorted(owner, np.arange(table.n_outputs))
        place = first + self.allowed
        out = np.full(table.n_outputs, -np.inf)
        if len(owner):
            inside = (place < len(owner)) & (owner[np.minimum(place, len(owner) - 1)] == np.arange(table.n_outputs))
            out[inside] = ranked[place[inside]]
        return out

    def holds(self, table: ClaimTable, kept: Bools, truth: Bools) -> Bools:
        return np.asarray(table.count(kept & ~truth) <= self.allowed)


@dataclass(frozen=True)
class FractionTrue:
    """At least the fraction `least` of the kept claims is true (and so at every higher threshold)."""

    least: Fraction

    def __post_init__(self) -> None:
        if self.least.denominator > MAX_DENOMINATOR:
            raise LevelError(f"the fraction that must be true has a denominator of at most {MAX_DENOMINATOR}, not {self.least}")

    @classmethod
    def parse(cls, value: str | float) -> FractionTrue:
        return cls(Fraction(1)) if str(value) in ("1", "1.0") else cls(parse_level(value, "the fraction"))

    @property
    def name(self) -> str:
        return f"fraction-{float(self.least):g}-true"

    def conformity(self, table: ClaimTable, scores: Floats, truth: Bools) -> Floats:
        order = np.lexsort((-scores, table.owners))
        owner, ranked = table.owners[order], scores[order]
        start = table.offsets[:-1][owner]
        total = np.concatenate([[0], np.cumsum(truth[order])])
        true = total[1:] - total[start]
        count = np.arange(len(order)) - start + 1
        last_of_tie = np.ones(len(order), dtype=bool)
        last_of_tie[:-1] = (owner[1:] != owner[:-1]) | (ranked[1:] != ranked[:-1])
        broken = last_of_tie & (true * self.least.denominator < count * self.least.numerator)
        out = np.full(table.n_outputs, -np.inf)
        np.maximum.at(out, owner[broken], ranked[broken])
        return out

    def holds(self, table: ClaimTable, kept: Bools, truth: Bools) -> Bools:
        true, count = table.count(kept & truth), table.count(kept)
        return np.asarray(true * self.least.denominator >= count * self.least.numerator)


ALL_TRUE = AtMostFalse(0)


def close_scores(table: ClaimTable, scores: Floats) -> Floats:
    """Scores under premise closure: a claim counts at most as much as every premise it rests on, directly or not.

    Keeping the claims above a threshold then keeps a claim only together with all its ancestors (arXiv 2505.17126).
    """
    out = scores.copy()
    changed = True
    while changed:  # premises before their conclusions: one pass and one look; circles settle on their least score
        changed = False
        for claim in sorted(table.premises):
            least = min(out[p] for p in table.premises[claim])
            if least < out[claim]:
                out[claim] = least
                changed = True
    return out


def kept_claims(scores: Floats, threshold: float, comparator: Comparator) -> Bools:
    """Which claims a filter keeps. A score that is not a number is never kept."""
    return np.asarray(scores > threshold if comparator == ">" else scores >= threshold)
