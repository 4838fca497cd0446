"""What a membership run found, as it may be published, and the one way from ranks to what is said.

Measured, and public: for every record a commitment to its id, its role, and its rank among all records of the run under each
score (1 the lowest, ties equal). All that is said depends on scores through their order alone, so that a reader without the model
recomputes it; a rank among other records tells no likelihood. The controls that need the texts are stated as measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from privacy.membership.blind import Control, score_control
from privacy.membership.dataset_inference import MIN_ITEMS, infer_dataset
from privacy.membership.rates import Auc, RateAtThreshold, compute_auc, conformal_threshold
from privacy.membership.records import Role
from privacy.probes.membership_plan import CALIBRATED, MembershipPlan
from privacy.statistics.binomial import clopper_pearson, clopper_pearson_lower, clopper_pearson_upper
from privacy.statistics.multiplicity import benjamini_hochberg
from privacy.statistics.ranking import rank_p_value
from privacy.statistics.scores import Floats
from privacy.statistics.validity import Basis, DecoyGate, Verdict, Word, find_verdict

BLIND = "blind"
REFERENCE_LOSS = "reference-loss"
"""Columns of ranks beside those of the plan's scores: the blind classifier, and the loss of the i-th reference model alone."""


@dataclass(frozen=True)
class RankedRecord:
    """One record as it is published."""

    commitment: str
    role: Role
    ranks: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {"commitment": self.commitment, "role": self.role.value, "ranks": dict(self.ranks)}


@dataclass(frozen=True)
class LevelResult:
    """Members and held-out non-members above a threshold that the other half of the non-members fixed; 95 % intervals."""

    rate: RateAtThreshold
    false_above: int
    non_members: int
    fpr_interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        threshold = self.rate.threshold
        return {
            "fpr": threshold.fpr,
            "rank": threshold.rank,
            "calibration": threshold.calibration,
            "members": {"above": self.rate.above, "of": self.rate.members, "interval": list(self.rate.interval)},
            "non_members": {"above": self.false_above, "of": self.non_members, "interval": list(self.fpr_interval)},
        }


@dataclass(frozen=True)
class ScoreResult:
    """One score: its rates at each level of the plan and its AUC, which never decides."""

    score: str
    levels: tuple[LevelResult, ...]
    auc: Auc

    def to_json(self) -> dict[str, Any]:
        return {"score": self.score, "levels": [one.to_json() for one in self.levels], "auc": _plain(asdict(self.auc))}


@dataclass(frozen=True)
class CandidateResult:
    """One candidate: exact p among all non-members under the first score, and p adjusted over candidates."""

    commitment: str
    p_value: float
    p_adjusted: float
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        return {
            "commitment": self.commitment,
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "verdict": self.verdict.word.value,
        }


@dataclass(frozen=True)
class DatasetResult:
    """The candidates (members where there are none) as one collection: exact p of a two-sample test on unseen halves."""

    p_value: float
    suspect: int
    validation: int
    permutations: int
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.word.value}


@dataclass(frozen=True)
class MembershipResult:
    """`verdict`: whether members are recognised, None where there are none; `reasons` say why a verdict is withheld."""

    plan: MembershipPlan
    models: tuple[Mapping[str, Any], ...]
    records: tuple[RankedRecord, ...]
    controls: tuple[Control, ...]
    scores: tuple[ScoreResult, ...]
    verdict: Verdict | None
    gate: DecoyGate | None
    candidates: tuple[CandidateResult, ...]
    dataset: DatasetResult | None
    reasons: tuple[str, ...]

    @property
    def found(self) -> int:
        """Candidates with the verdict `memorised`."""
        return sum(one.verdict.word is Word.MEMORISED for one in self.candidates)

    def to_json(self) -> dict[str, Any]:
        return {
            "plan": self.plan.to_json(),
            "models": [dict(one) for one in self.models],
            "records": [one.to_json() for one in self.records],
            "controls": [one.to_json() for one in self.controls],
            **self.said(),
        }

    def said(self) -> dict[str, Any]:
        """What follows from the ranks, the plan and the controls."""
        return {
            "scores": [one.to_json() for one in self.scores],
            "verdict": None if self.verdict is None else {"word": self.verdict.word.value, "leak_below": self.verdict.leak_below},
            "decoys": None if self.gate is None else {**asdict(self.gate), "passes": self.gate.passes},
            "candidates": [one.to_json() for one in self.candidates],
            "found": self.found,
            "dataset": None if self.dataset is None else self.dataset.to_json(),
            "reasons": list(self.reasons),
        }


def judge(
    plan: MembershipPlan, models: Sequence[Mapping[str, Any]], records: Sequence[RankedRecord], measured: Sequence[Control]
) -> MembershipResult:
    """All that is said of ranked records. `measured`: the controls that need texts. Raises PlanError and ScoreError."""
    rows = sorted(records, key=lambda one: one.commitment)
    table = _Table(plan, rows)
    controls = [*measured, *table.reference_controls()]
    # Each comparison of a pair of groups that sees a difference counts, so that they share the level.
    shifted = [one for one in controls if one.p_value <= plan.shift_alpha / len(controls)]
    reasons = [f"{one.name}: the groups differ without the model being asked (p = {one.p_value:.3g})" for one in shifted]
    scores = tuple(table.evaluate(name) for name in table.columns) if table.counts[Role.MEMBER] else ()
    basis = _basis(plan, plan.scores[:1])
    if basis is Basis.NONE:
        reasons.append("the first score is not relative to a reference model, and no coins decided who is a member")
    verdict = None
    if scores:
        recognised, below, reason = table.recognise(scores)
        reasons += [reason] if reason else []
        verdict = _withhold(recognised, basis, bool(shifted or reason), below)
    gate, candidates = table.judge_candidates(basis, bool(shifted))
    if gate is not None and not gate.passes:
        reasons.append(f"decoys: {gate}")
    dataset = table.infer(bool(shifted)) if plan.dataset else None
    return MembershipResult(
        plan, tuple(models), tuple(rows), tuple(controls), scores, verdict, gate, candidates, dataset, tuple(reasons)
    )


def blind_name(role: Role) -> str:
    """The control that compares the texts of members, or of candidates and decoys, with those of the non-members."""
    return f"{BLIND}, {role.value}s"


def _basis(plan: MembershipPlan, scores: Sequence[str]) -> Basis:
    if plan.assignment == "coins":
        return Basis.EXACT
    return Basis.CALIBRATED if any(name in CALIBRATED for name in scores) else Basis.NONE


def _withhold(rejected: bool, basis: Basis, withheld: bool, below: float | None) -> Verdict:
    return Verdict(Word.NO_VERDICT) if withheld else find_verdict(rejected, basis, None, below)


class _Table:
    """Ranks by column and role, rows sorted by commitment."""

    def __init__(self, plan: MembershipPlan, rows: Sequence[RankedRecord]) -> None:
        self.plan, self.rows = plan, rows
        names = list(dict.fromkeys(name for one in rows for name in one.ranks))
        self.columns = [*plan.scores, *([BLIND] if BLIND in names else [])]
        self.references = sorted(name for name in names if name.startswith(REFERENCE_LOSS))
        roles = np.array([one.role.value for one in rows])
        self.place = {role: np.flatnonzero(roles == role.value) for role in Role}
        self.counts = {role: len(at) for role, at in self.place.items()}
        self.values = {name: np.array([one.ranks.get(name, np.nan) for one in rows], dtype=np.float64) for name in names}
        self.calibration, self.held_out = self._split()

    def _split(self) -> tuple[Any, Any]:
        """Halves of the non-members, by a hash of seed and commitment: nobody's choice."""
        at = self.place[Role.NON_MEMBER]
        salt = b"assay-membership-split/1 %d " % self.plan.seed
        order = sorted(at, key=lambda i: hashlib.sha256(salt + self.rows[int(i)].commitment.encode()).digest())
        return np.array(order[: len(order) // 2], dtype=np.int64), np.array(order[len(order) // 2 :], dtype=np.int64)

    def of(self, column: str, role: Role) -> Floats:
        return np.asarray(self.values[column][self.place[role]])

    def reference_controls(self) -> list[Control]:
        """Reference models that saw none of the records: alone, they tell the roles apart no better than chance."""
        found = []
        for name in self.references:
            for role in (Role.MEMBER, Role.CANDIDATE):
                if self.counts[role]:
                    own, others = self.of(name, role), self.of(name, Role.NON_MEMBER)
                    if role is Role.CANDIDATE:
                        own = np.concatenate([own, self.of(name, Role.DECOY)])
                    found.append(score_control(own, others, f"{name}, {role.value}s", self.plan.seed))
        return found

    def evaluate(self, column: str) -> ScoreResult:
        members, values = self.of(column, Role.MEMBER), self.values[column]
        levels = []
        for fpr in self.plan.fpr:
            threshold = conformal_threshold(values[self.calibration], fpr)
            above, false = (int((x > threshold.value).sum()) for x in (members, values[self.held_out]))
            rate = RateAtThreshold(threshold, above, members.size, clopper_pearson(above, members.size))
            size = self.held_out.size
            levels.append(LevelResult(rate, false, size, clopper_pearson(false, size)))
        return ScoreResult(column, tuple(levels), compute_auc(members, values[self.held_out], seed=self.plan.seed))

    def recognise(self, scores: Sequence[ScoreResult]) -> tuple[bool, float, str | None]:
        """Whether members are recognised at any level, the share that may have been missed, and why no verdict is given.

        At level alpha over all levels: both rates at each level have one-sided exact bounds at alpha / (2 levels).
        """
        primary, blind = scores[0], next((one for one in scores if one.score == BLIND), None)
        tail = self.plan.alpha / (2 * len(self.plan.fpr))
        recognised, beaten, below = False, False, 1.0
        for place, level in enumerate(primary.levels):
            above, members = level.rate.above, level.rate.members
            low_fpr = clopper_pearson_lower(level.false_above, level.non_members, tail)
            high_fpr = clopper_pearson_upper(level.false_above, level.non_members, tail)
            low, high = clopper_pearson_lower(above, members, tail), clopper_pearson_upper(above, members, tail)
            below = min(below, max(0.0, (high - low_fpr) / (1 - low_fpr)))
            if low > high_fpr:
                as_good = blind is not None and blind.levels[place].rate.above >= above
                recognised, beaten = recognised or not as_good, beaten or as_good
        if beaten and not recognised:
            return False, below, f"{BLIND}: it recognises as many members as the score, without the model being asked"
        return recognised, below, None

    def judge_candidates(self, basis: Basis, shifted: bool) -> tuple[DecoyGate | None, tuple[CandidateResult, ...]]:
        """Exact p among all non-members, Benjamini-Hochberg over candidates; valid for p-values that share their nulls, which
        depend on one another positively (Bates et al., arXiv 2104.08279, Theorem 2)."""
        at = self.place[Role.CANDIDATE]
        if not at.size:
            return None, ()
        values, nulls = self.values[self.plan.primary], self.of(self.plan.primary, Role.NON_MEMBER)
        accused = sum(rank_p_value(v, nulls) <= self.plan.alpha for v in self.of(self.plan.primary, Role.DECOY))
        gate = (
            DecoyGate(self.counts[Role.DECOY], accused, self.plan.alpha, self.plan.tolerated) if self.counts[Role.DECOY] else None
        )
        p = [rank_p_value(v, nulls) for v in values[at]]
        found = []
        for i, value, q in zip(at, p, benjamini_hochberg(p)):
            verdict = _withhold(bool(q <= self.plan.alpha), basis, shifted or (gate is not None and not gate.passes), None)
            found.append(CandidateResult(self.rows[int(i)].commitment, value, float(q), verdict))
        return gate, tuple(found)

    def infer(self, shifted: bool) -> DatasetResult | None:
        role = Role.CANDIDATE if self.counts[Role.CANDIDATE] else Role.MEMBER
        if min(self.counts[role], self.counts[Role.NON_MEMBER]) < MIN_ITEMS:
            return None
        joined = np.stack([self.values[name] for name in self.plan.scores], axis=1) / len(self.rows)
        suspect, validation = joined[self.place[role]], joined[self.place[Role.NON_MEMBER]]
        found = infer_dataset(suspect, validation, seed=self.plan.seed, alpha=self.plan.alpha)
        verdict = _withhold(found.p_value <= self.plan.alpha, _basis(self.plan, self.plan.scores), shifted, None)
        return DatasetResult(found.p_value, found.suspect, found.validation, found.permutations, verdict)


def dense_ranks(scores: Floats) -> list[int]:
    """Ranks from 1, ties equal and without gaps."""
    return [int(i) + 1 for i in np.unique(scores, return_inverse=True)[1]]


def _plain(content: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(content, Mapping):
        return {name: _plain(value) for name, value in content.items()}
    return [_plain(one) for one in content] if isinstance(content, tuple) else content
