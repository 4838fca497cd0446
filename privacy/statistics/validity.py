"""What a p-value may be called. A score alone is never a verdict, and a p-value only on an exact or calibrated basis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from privacy.statistics.binomial import clopper_pearson_lower, clopper_pearson_upper
from privacy.statistics.planning import decoys_needed


class Basis(StrEnum):
    """Why the null law of a p-value holds."""

    EXACT = "exact"
    """The auditor drew the value at random with the generator of the nulls."""
    CALIBRATED = "calibrated"
    """Scores are relative to a reference model; the decoys, where there were any, passed."""
    NONE = "none"
    """Neither: the value may be likely for any model."""


class Word(StrEnum):
    """The four verdicts."""

    MEMORISED = "memorised"
    NOT_DETECTED = "not detected"
    ASSOCIATION = "association only"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True)
class Verdict:
    """One word; `leak_below` goes with `not detected` alone: the 95 % upper bound on the leak that could have been missed."""

    word: Word
    leak_below: float | None = None

    def __str__(self) -> str:
        if self.leak_below is None:
            return self.word.value
        return f"{self.word.value} (leak < {self.leak_below:.3g} at 95 %)"


@dataclass(frozen=True)
class DecoyGate:
    """Invented subjects that went through the same pipeline, and how many of them were accused at level alpha.

    `tolerated`: the false-positive rate that they must show not to be reached; None: alpha itself, for pipelines that accuse
    rarely. Exact p-values at level alpha accuse a share of alpha, which no number of decoys shows to lie below alpha.
    """

    decoys: int
    rejected: int
    alpha: float
    tolerated: float | None = None

    @property
    def limit(self) -> float:
        """`tolerated`, or alpha."""
        return self.alpha if self.tolerated is None else self.tolerated

    @property
    def rate_below(self) -> float:
        """95 % upper bound of the false-positive rate (Clopper-Pearson, one-sided)."""
        return clopper_pearson_upper(self.rejected, self.decoys, 0.05)

    @property
    def passes(self) -> bool:
        """The decoys show a false-positive rate of at most the limit."""
        return self.rate_below <= self.limit

    @property
    def refutes(self) -> bool:
        """The decoys show a false-positive rate above the limit: not too few of them, but a broken calibration."""
        return clopper_pearson_lower(self.rejected, self.decoys, 0.05) > self.limit

    def __str__(self) -> str:
        found = (
            f"{self.rejected} of {self.decoys} decoys accused at level {self.alpha:g}: rate below {self.rate_below:.3g} at 95 %"
        )
        if self.passes:
            return found
        return f"{found}, not below {self.limit:g}; with none accused {decoys_needed(self.limit)} decoys would do"


def find_basis(drawn_by_auditor: bool, reference_calibrated: bool, decoys: DecoyGate | None) -> Basis:
    """The basis of a run. `decoys` None: none were run, which leaves the calibration unchecked; a report must say so."""
    if drawn_by_auditor:
        return Basis.EXACT
    if reference_calibrated and (decoys is None or decoys.passes):
        return Basis.CALIBRATED
    return Basis.NONE


def find_verdict(rejected: bool, basis: Basis, decoys: DecoyGate | None, leak_below: float | None = None) -> Verdict:
    """The verdict on one subject or item.

    Decoys that fail leave no verdict for the whole run, canaries included; without a basis every outcome is an association
    only, whether or not it was rejected.
    """
    if decoys is not None and not decoys.passes:
        return Verdict(Word.NO_VERDICT)
    if basis is Basis.NONE:
        return Verdict(Word.ASSOCIATION)
    return Verdict(Word.MEMORISED) if rejected else Verdict(Word.NOT_DETECTED, leak_below)


def leak_share_below(first_ranks: int, facts: int, candidates: int) -> float:
    """95 % upper bound on the share of facts that are memorised, from how many ranked first among M candidates.

    A memorised fact ranks first, another one with probability 1/M: the rate of first ranks is c + (1 - c) / M.
    """
    rate = clopper_pearson_upper(first_ranks, facts, 0.05)
    return max(0.0, (rate - 1 / candidates) / (1 - 1 / candidates))
