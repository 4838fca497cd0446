"""The statistics alone, on scores that somebody else took: exact p-values by subject, corrected over subjects, with verdicts.

A fact's true answer is ranked among its alternatives; a subject's ranks are summed; the sum has an exact null law if, without
memorisation, every rank is equally likely and facts are independent. Raw scores break the first assumption (any fluent true
answer is likely), so that without a reference model the verdict is "association only" whatever p is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.errors import ScoreError
from privacy.score_table import Variant
from privacy.statistics.multiplicity import benjamini_hochberg, bonferroni, holm
from privacy.statistics.planning import check_smallest_p
from privacy.statistics.ranking import rank_among, rank_sum_p_value, smallest_rank_sum_p
from privacy.statistics.scores import Floats
from privacy.statistics.validity import Basis, DecoyGate, Verdict, Word, find_basis, find_verdict, leak_share_below

ASSUMPTIONS = (
    "without memorisation, the true answer's calibrated score is exchangeable with those of its alternatives",
    "the facts of one subject are independent",
)


@dataclass(frozen=True)
class SubjectResult:
    """One subject: sum of ranks, exact p, and p adjusted over subjects."""

    subject: str
    facts: int
    first_ranks: int
    rank_sum: int
    p_value: float
    p_adjusted: float
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "facts": self.facts,
            "first_ranks": self.first_ranks,
            "rank_sum": self.rank_sum,
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "verdict": self.verdict.word.value,
            "leak_below": self.verdict.leak_below,
        }


@dataclass(frozen=True)
class VariantResult:
    """One model variant. `rejected`: subjects with p below alpha after each correction, whatever the basis."""

    labels: dict[str, str]
    reference: str | None
    basis: Basis
    decoys: DecoyGate | None
    candidates: int
    rank_counts: tuple[int, ...]
    rejected: dict[str, int]
    subjects: tuple[SubjectResult, ...]

    @property
    def found(self) -> int:
        """Subjects with the verdict `memorised`."""
        return sum(one.verdict.word is Word.MEMORISED for one in self.subjects)

    def to_json(self) -> dict[str, Any]:
        return {
            "labels": self.labels,
            "reference": self.reference,
            "basis": self.basis.value,
            "decoys": None if self.decoys is None else {"count": self.decoys.decoys, "rejected": self.decoys.rejected},
            "candidates": self.candidates,
            "subjects": len(self.subjects),
            "found": self.found,
            "rejected": self.rejected,
            "rank1_rate": self.rank_counts[0] / sum(self.rank_counts),
            "rank_counts": list(self.rank_counts),
            "results": [one.to_json() for one in self.subjects],
        }


def judge_variant(
    variant: Variant, reference: Variant | None = None, own_reference: bool = False, alpha: float = 0.05
) -> VariantResult:
    """Test every subject of one variant. Raises ScoreError, and PlanError where no subject could be found at level alpha."""
    calibrated = reference is not None or own_reference
    scores = variant.scores(reference, own_reference)
    ranks = rank_among(scores[:, 0], scores[:, 1:])
    subjects = np.array([fact.subject for fact in variant.facts.values()])
    decoy_rows = np.array([fact.decoy for fact in variant.facts.values()])
    decoys = {str(s) for s in subjects[decoy_rows]}
    if decoys & {str(s) for s in subjects[~decoy_rows]}:
        raise ScoreError("a subject is a decoy in one row and none in another")
    names = list(dict.fromkeys(map(str, subjects)))
    candidates = scores.shape[1]
    by_subject = {name: ranks[subjects == name] for name in names}
    own = [name for name in names if name not in decoys]
    if not own:
        raise ScoreError("every subject is a decoy")
    for name in own:
        check_smallest_p(smallest_rank_sum_p([candidates] * by_subject[name].size), len(own), alpha)
    p = {name: rank_sum_p_value([int(r) for r in by_subject[name]], candidates) for name in names}
    gate = DecoyGate(len(decoys), sum(p[name] <= alpha for name in decoys), alpha) if decoys else None
    basis = find_basis(False, calibrated, gate)
    return _assemble(variant, _reference_name(reference, own_reference), basis, gate, candidates, own, by_subject, p, alpha)


def _reference_name(reference: Variant | None, own_reference: bool) -> str | None:
    return "columns of the same rows" if own_reference else reference.name if reference is not None else None


def _assemble(
    variant: Variant, reference: str | None, basis: Basis, gate: DecoyGate | None, candidates: int,
    own: list[str], by_subject: dict[str, npt.NDArray[np.int64]], p: dict[str, float], alpha: float,
) -> VariantResult:  # fmt: skip
    values: Floats = np.array([p[name] for name in own])
    adjusted = benjamini_hochberg(values)
    rows = []
    for name, value, q in zip(own, values, adjusted):
        ranks = by_subject[name]
        first = int((ranks == 1).sum())
        verdict = find_verdict(bool(q <= alpha), basis, gate, leak_share_below(first, ranks.size, candidates))
        rows.append(SubjectResult(name, ranks.size, first, int(ranks.sum()), float(value), float(q), verdict))
    every = np.concatenate([by_subject[name] for name in own])
    counts = tuple(int((every == rank).sum()) for rank in range(1, candidates + 1))
    rejected = {
        "bonferroni": int((bonferroni(values) <= alpha).sum()),
        "holm": int((holm(values) <= alpha).sum()),
        "benjamini_hochberg": int((adjusted <= alpha).sum()),
    }
    return VariantResult(dict(variant.labels), reference, basis, gate, candidates, counts, rejected, tuple(rows))
