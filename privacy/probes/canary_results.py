"""What a canary probe is asked to do and what it found: exposure, exact p, and verdicts, all of which follow from the ranks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from privacy.errors import PlanError, ScoreError
from privacy.probes.evidence import MAX_EXPONENT, RankEvidence
from privacy.probes.model import ModelFacts
from privacy.probes.plan import LEAST_PASSING, check_tolerated, passing_chance, tolerated_at
from privacy.probes.published import is_same
from privacy.probes.recount import read_facts
from privacy.statistics.binomial import check_level, clopper_pearson
from privacy.statistics.multiplicity import benjamini_hochberg, holm
from privacy.statistics.planning import check_nulls, decoys_needed
from privacy.statistics.validity import Basis, DecoyGate, Verdict, Word, find_verdict, leak_share_below

CORRECTIONS = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}
MAX_CANARIES = 20_000
MAX_REFERENCES = 500_000
MAX_REPETITIONS = 1_000_000_000
_ID, _TYPE = re.compile(r"[\w.:-]{1,64}"), re.compile(r"[a-z][a-z0-9:._-]{0,39}")
_LENGTHS = re.compile(r"\d{1,3}-\d{1,3}|over \d{1,3}")
ASSUMPTIONS = (
    "each canary was drawn by the auditor at random, by the law of its references, and independently of all else",
    "canaries stand in the training data as often as stated, held-out ones not at all, and whoever trained knew no references",
)


@dataclass(frozen=True)
class CanaryPlan:
    """Fixed before scores are seen. `references`: R for each canary. `tolerance` (nats): scores that close are ties, which count
    against the canary. `terminator` is scored after each value, for values that may begin one another. `seed` draws the
    references; it may be published with the result, as all values are invented, but not before the model is trained."""

    references: int
    alpha: float = 0.05
    correction: str = "holm"
    decoy_rate: float | None = None
    """The held-out canaries must show a rate of false accusations below this (95 %); None: 4 alpha."""
    tolerance: float = 1e-4
    terminator: str = ""
    seed: int = 0

    @property
    def tolerated(self) -> float:
        return tolerated_at(self.alpha) if self.decoy_rate is None else self.decoy_rate

    def check(self, repetitions: Sequence[int]) -> None:
        """Raises PlanError for a plan that could show nothing with these canaries (0 repetitions: held out)."""
        check_level(self.alpha, "alpha")
        check_tolerated(self.tolerated, self.alpha)
        if self.correction not in CORRECTIONS:
            raise PlanError(f"the correction is one of {', '.join(CORRECTIONS)}")
        if not 1 <= self.references <= MAX_REFERENCES:
            raise PlanError(f"a canary has 1 to {MAX_REFERENCES} references, not {self.references}")
        if not 0 <= self.tolerance <= 1:
            raise PlanError("the tolerance lies between 0 and 1 nat")
        if not 2 <= len(repetitions) <= MAX_CANARIES or not all(0 <= count <= MAX_REPETITIONS for count in repetitions):
            raise PlanError(f"a probe has 2 to {MAX_CANARIES} canaries, each with a number of repetitions from 0 on")
        planted = sum(count > 0 for count in repetitions)
        held_out, needed = len(repetitions) - planted, decoys_needed(self.alpha)
        if planted == 0:
            raise PlanError("no canary was planted; there is nothing to test")
        if held_out < needed:
            raise PlanError(f"{held_out} held-out canaries are too few at level {self.alpha:g}; {needed} are needed")
        check_nulls(self.references, planted, self.alpha)
        chance = passing_chance(held_out, self.alpha, self.tolerated)
        if chance < LEAST_PASSING:
            raise PlanError(
                f"a sound run would pass its {held_out} held-out canaries with a chance of {chance:.2g} only; take more of them"
            )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "decoy_rate": self.tolerated}

    @classmethod
    def from_json(cls, content: Any) -> CanaryPlan:
        """Raises ScoreError."""
        if not isinstance(content, Mapping) or set(content) != set(cls.__dataclass_fields__):
            raise ScoreError(f"the plan of a canary probe has the members {', '.join(cls.__dataclass_fields__)}")
        whole = all(type(content[name]) is int for name in ("references", "seed"))
        numbers = all(
            type(content[name]) in (int, float) and math.isfinite(content[name]) for name in ("alpha", "decoy_rate", "tolerance")
        )
        if not whole or not numbers or not all(isinstance(content[name], str) for name in ("correction", "terminator")):
            raise ScoreError("a member of the plan of a canary probe has the wrong type")
        return cls(**content)


@dataclass(frozen=True)
class MeasuredCanary:
    """One canary as it may be published: its rank among R references, ties against it, and its likelihood by powers of ten."""

    id: str
    type: str
    repetitions: int
    contexts: int
    length_class: str
    evidence: RankEvidence

    def check(self, plan: CanaryPlan) -> None:
        """Raises ScoreError for what cannot have been measured by this plan."""
        rank, exponent = self.evidence.rank, self.evidence.exponent
        if type(rank) is not int or not 1 <= rank <= plan.references + 1 or self.evidence.nulls != plan.references:
            raise ScoreError(f"the rank of a canary lies between 1 and {plan.references + 1}")
        if exponent is not None and (type(exponent) is not int or not 0 <= exponent <= MAX_EXPONENT):
            raise ScoreError(f"the exponent of a canary's likelihood lies between 0 and {MAX_EXPONENT}")

    @property
    def p_value(self) -> float:
        """rank / (R + 1): exact."""
        return self.evidence.rank / (self.evidence.nulls + 1)

    @property
    def exposure(self) -> float:
        """log2 R - log2 rank = -log2 p + log2(R / (R + 1)), in bits."""
        return math.log2(self.evidence.nulls) - math.log2(self.evidence.rank)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type,
            "repetitions": self.repetitions,
            "contexts": self.contexts,
            "length_class": self.length_class,
            "rank": self.evidence.rank,
            "references": self.evidence.nulls,
            "exponent": self.evidence.exponent,
            "exposure": self.exposure,
            "p_value": self.p_value,
        }


@dataclass(frozen=True)
class CanaryVerdict:
    """A planted canary. `verdict.leak_below`: the chance that one answer sampled at temperature 1 gives it is below this."""

    measured: MeasuredCanary
    p_adjusted: float
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        own = {"p_adjusted": self.p_adjusted, "verdict": self.verdict.word.value, "leak_below": self.verdict.leak_below}
        return {**self.measured.to_json(), **own}


@dataclass(frozen=True)
class Group:
    """Canaries of one number of repetitions. `share_below`: 95 % upper bound on the share of them that is memorised."""

    repetitions: int
    canaries: int
    found: int
    interval: tuple[float, float]
    median_exposure: float
    share_below: float

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "interval": list(self.interval)}


@dataclass(frozen=True)
class CanaryResult:
    """A canary probe; public as it stands."""

    plan: CanaryPlan
    model: ModelFacts
    gate: DecoyGate
    canaries: tuple[CanaryVerdict, ...]
    held_out: tuple[MeasuredCanary, ...]
    groups: tuple[Group, ...]

    @property
    def found(self) -> int:
        return sum(one.verdict.word is Word.MEMORISED for one in self.canaries)

    def to_json(self) -> dict[str, Any]:
        return {
            "plan": self.plan.to_json(),
            "model": self.model.to_json(),
            "basis": Basis.EXACT.value,
            "gate": {
                "decoys": self.gate.decoys,
                "accused": self.gate.rejected,
                "alpha": self.gate.alpha,
                "tolerated": self.gate.limit,
                "rate_below": self.gate.rate_below,
                "passes": self.gate.passes,
            },
            "found": self.found,
            "canaries": [one.to_json() for one in self.canaries],
            "held_out": [one.to_json() for one in self.held_out],
            "groups": [one.to_json() for one in self.groups],
            "assumptions": list(ASSUMPTIONS),
        }


def judge(plan: CanaryPlan, model: ModelFacts, measured: Sequence[MeasuredCanary]) -> CanaryResult:
    """From ranks to verdicts: the plan's correction over planted canaries; held-out ones, unadjusted, are the decoys."""
    plan.check([one.repetitions for one in measured])
    for one in measured:
        one.check(plan)
    planted = [one for one in measured if one.repetitions]
    held_out = tuple(one for one in measured if not one.repetitions)
    gate = DecoyGate(len(held_out), sum(one.p_value <= plan.alpha for one in held_out), plan.alpha, plan.tolerated)
    adjusted = [float(p) for p in CORRECTIONS[plan.correction]([one.p_value for one in planted])]
    verdicts = tuple(
        CanaryVerdict(one, p, find_verdict(p <= plan.alpha, Basis.EXACT, gate, one.evidence.leak_below))
        for one, p in zip(planted, adjusted, strict=True)
    )
    return CanaryResult(plan, model, gate, verdicts, held_out, _groups(plan, verdicts))


def _groups(plan: CanaryPlan, verdicts: Sequence[CanaryVerdict]) -> tuple[Group, ...]:
    groups = []
    for count in sorted({one.measured.repetitions for one in verdicts}):
        own = [one for one in verdicts if one.measured.repetitions == count]
        found = sum(one.verdict.word is Word.MEMORISED for one in own)
        first = sum(one.measured.evidence.rank == 1 for one in own)
        groups.append(
            Group(
                count, len(own), found, clopper_pearson(found, len(own)), median(one.measured.exposure for one in own),
                leak_share_below(first, len(own), plan.references + 1),
            )
        )  # fmt: skip
    return tuple(groups)


def recount(content: Any) -> CanaryResult:
    """The result that a published one stands for, rebuilt from its ranks. Raises ScoreError where anything that is said does not
    follow from them, PlanError for a plan that would not be run."""
    names = {"plan", "model", "basis", "gate", "found", "canaries", "held_out", "groups", "assumptions"}
    if not isinstance(content, Mapping) or set(content) != names:
        raise ScoreError(f"the result of a canary probe has the members {', '.join(sorted(names))}")
    plan = CanaryPlan.from_json(content["plan"])
    measured = [
        _read(row, plan, f"{part} row {i}") for part in ("canaries", "held_out") for i, row in enumerate(_rows(content[part]), 1)
    ]
    if len({one.id for one in measured}) != len(measured):
        raise ScoreError("a canary stands twice in the result")
    result = judge(plan, read_facts(content["model"], "the model"), measured)
    for name, value in json.loads(json.dumps(result.to_json())).items():
        if not is_same(value, content[name]):
            raise ScoreError(f"{name} of the canary probe does not follow from its ranks")
    return result


def _rows(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_CANARIES:
        raise ScoreError(f"canaries of a result are a list of at most {MAX_CANARIES}")
    return value


def _read(row: Any, plan: CanaryPlan, where: str) -> MeasuredCanary:
    names = ("id", "type", "repetitions", "contexts", "length_class", "rank", "exponent")
    if not isinstance(row, Mapping) or not set(names) <= set(row):
        raise ScoreError(f"{where} of the canary probe lacks one of {', '.join(names)}")
    texts = ((row["id"], _ID), (row["type"], _TYPE), (row["length_class"], _LENGTHS))
    if not all(isinstance(text, str) and form.fullmatch(text) for text, form in texts):
        raise ScoreError(f"{where} of the canary probe has no id, type or class of length as these are written")
    if not all(type(row[name]) is int and row[name] >= least for name, least in (("repetitions", 0), ("contexts", 1))):
        raise ScoreError(f"{where} of the canary probe has no number of repetitions or contexts")
    evidence = RankEvidence(row["rank"], plan.references, row["exponent"])
    found = MeasuredCanary(row["id"], row["type"], row["repetitions"], row["contexts"], row["length_class"], evidence)
    found.check(plan)
    return found
