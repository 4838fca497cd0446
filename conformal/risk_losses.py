"""Bounded losses for conformal risk control: what keeping the top j claims of an output costs, as exact ratios.

A loss is asked for every prefix of every output at once. It need not be monotone: `conformal.risk` controls its upper envelope
over all higher thresholds, which is at least the loss itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable
from conformal.errors import LedgerError, LevelError
from conformal.losses import Loss

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Ratios = tuple[Ints, Ints]
MAX_WEIGHT, MAX_CAP = 1000, 1_000_000


@dataclass(frozen=True)
class Prefixes:
    """The prefixes of every output, j = 0 .. M of its claims from the highest score down, m + n in all.

    `starts` (n + 1) marks output i's prefixes, `owners` (m + n) their output, `last_scores` the lowest score kept (+Infinity for
    j = 0), `cuts` whether a threshold can keep exactly these: not between two claims of one score.
    """

    table: ClaimTable
    truth: Bools
    scores: Floats
    order: Ints
    starts: Ints
    owners: Ints
    last_scores: Floats
    cuts: Bools

    @classmethod
    def build(cls, table: ClaimTable, scores: Floats, truth: Bools) -> Prefixes:
        """Raises LedgerError for scores that are not one finite number a claim."""
        if scores.shape != (table.n_claims,) or truth.shape != scores.shape or not np.isfinite(scores).all():
            raise LedgerError("risk control needs one finite score and one truth value a claim")
        n, claim_owners = table.n_outputs, table.owners
        order = np.lexsort((-scores, claim_owners))
        starts = np.asarray(table.offsets + np.arange(n + 1), dtype=np.int64)
        owners = np.repeat(np.arange(n), np.diff(starts))
        last = np.full(len(owners), np.inf)
        last[np.arange(table.n_claims) + claim_owners + 1] = scores[order]
        cuts = np.ones(len(owners), dtype=bool)
        cuts[:-1] = (owners[1:] != owners[:-1]) | (last[1:] != last[:-1])
        return cls(table, truth, scores, order, starts, owners, last, cuts)

    def cumulate(self, values: npt.NDArray[np.generic]) -> Ints:
        """For every prefix the sum of whole numbers (m, in the table's order) over its claims."""
        steps = np.zeros(len(self.owners), dtype=np.int64)
        steps[np.arange(self.table.n_claims) + self.table.owners + 1] = values[self.order]
        total = np.cumsum(steps)
        return np.asarray(total - total[self.starts[:-1]][self.owners], dtype=np.int64)

    def whole(self, values: npt.NDArray[np.generic]) -> Ints:
        """For every prefix the sum over all claims of its output."""
        return np.asarray(self.cumulate(values)[self.starts[1:] - 1][self.owners], dtype=np.int64)


class BoundedLoss(Protocol):
    """A loss from 0 to `bound`. `abstention` is the most that keeping nothing can cost; a level below it cannot be promised."""

    @property
    def name(self) -> str: ...

    @property
    def bound(self) -> Fraction: ...

    @property
    def abstention(self) -> Fraction: ...

    def ratios(self, prefixes: Prefixes) -> Ratios:
        """Numerators and denominators (> 0) of the loss of every prefix (m + n)."""
        ...


@dataclass(frozen=True)
class FalseFraction:
    """The share of the kept claims that is false; 0 where nothing is kept.

    It does not fall with the threshold (one false claim on top is a share of 1), so its envelope is what is controlled, and the
    loss itself comes out well below alpha.
    """

    name: str = "false-fraction"
    bound: Fraction = Fraction(1)
    abstention: Fraction = Fraction(0)

    def ratios(self, prefixes: Prefixes) -> Ratios:
        kept = prefixes.cumulate(np.ones(prefixes.table.n_claims, dtype=np.int64))
        return prefixes.cumulate(~prefixes.truth), np.maximum(kept, 1)


@dataclass(frozen=True)
class FalseCount:
    """The number of kept false claims, counted up to `cap`; in claims, so that the bound is `cap`."""

    cap: int

    def __post_init__(self) -> None:
        if not 1 <= self.cap <= MAX_CAP:
            raise LevelError(f"the cap of a count of false claims is a whole number from 1 to {MAX_CAP}")

    @property
    def name(self) -> str:
        return f"false-count-capped-at-{self.cap}"

    @property
    def bound(self) -> Fraction:
        return Fraction(self.cap)

    @property
    def abstention(self) -> Fraction:
        return Fraction(0)

    def ratios(self, prefixes: Prefixes) -> Ratios:
        false = np.minimum(prefixes.cumulate(~prefixes.truth), self.cap)
        return false, np.ones_like(false)


@dataclass(frozen=True)
class SeverityWeighted:
    """The severity of the kept false claims, as a share of the severity of all claims of the output.

    `severities` are whole numbers from 0 to MAX_WEIGHT, one a claim of the table it is used on, set before scores are seen.
    """

    severities: tuple[int, ...]
    name: str = "severity-weighted"
    bound: Fraction = Fraction(1)
    abstention: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if not all(type(value) is int and 0 <= value <= MAX_WEIGHT for value in self.severities):
            raise LevelError(f"severities are whole numbers from 0 to {MAX_WEIGHT}")

    def ratios(self, prefixes: Prefixes) -> Ratios:
        if len(self.severities) != prefixes.table.n_claims:
            raise LedgerError(f"{len(self.severities)} severities for {prefixes.table.n_claims} claims; one a claim is needed")
        weights = np.array(self.severities, dtype=np.int64)
        return prefixes.cumulate(weights * ~prefixes.truth), np.maximum(prefixes.whole(weights), 1)


@dataclass(frozen=True)
class OmissionWeighted:
    """(false claims kept + weight * true claims dropped) / claims: an answer cut to nothing is not free.

    Keeping nothing costs up to `weight`, so a level below it is refused.
    """

    weight: Fraction

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1 or self.weight.denominator > MAX_WEIGHT:
            raise LevelError(f"the weight of an omission lies above 0, up to 1, with a denominator up to {MAX_WEIGHT}")

    @property
    def name(self) -> str:
        return f"omission-weighted-{self.weight}"

    @property
    def bound(self) -> Fraction:
        return Fraction(1)

    @property
    def abstention(self) -> Fraction:
        return self.weight

    def ratios(self, prefixes: Prefixes) -> Ratios:
        false, dropped = prefixes.cumulate(~prefixes.truth), prefixes.whole(prefixes.truth) - prefixes.cumulate(prefixes.truth)
        sizes = np.maximum(prefixes.whole(np.ones(prefixes.table.n_claims, dtype=np.int64)), 1)
        part, of = self.weight.numerator, self.weight.denominator
        return false * of + dropped * part, sizes * of


@dataclass(frozen=True)
class Broken:
    """1 where a statement of `conformal.losses` is broken, else 0: risk control then is the plain conformal threshold."""

    loss: Loss
    bound: Fraction = Fraction(1)
    abstention: Fraction = Fraction(0)

    @property
    def name(self) -> str:
        return f"broken-{self.loss.name}"

    def ratios(self, prefixes: Prefixes) -> Ratios:
        conformity = self.loss.conformity(prefixes.table, prefixes.scores, prefixes.truth)
        broken = (prefixes.last_scores <= conformity[prefixes.owners]).astype(np.int64)
        return broken, np.ones_like(broken)
