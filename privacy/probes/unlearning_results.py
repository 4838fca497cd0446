"""What an unlearning audit found, as it may be published, and the one way from differences to what is said.

"Forgotten" is said only where equivalence with the reference is shown on every metric and under every attack; a difference that
was not found is nothing (TOFU's forget quality is a p-value of a Kolmogorov-Smirnov test, which a small sample always passes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from privacy.probes.unlearning_plan import UnlearningPlan
from privacy.statistics.equivalence import MIN_ENTITIES, Outcome
from privacy.unlearning.comparison import Comparison, Differences, compare

FORGET, REWORDED, RELEARNED, CONTROL, RETAIN = "forget", "forget-reworded", "forget-relearned", "control", "retain"
ATTACKS = (FORGET, REWORDED, RELEARNED)
UNLEARNED, REFERENCE, ORIGINAL = "unlearned", "reference", "original"

Measured = Mapping[str, Mapping[str, Differences]]
"""By section and metric. All sections but CONTROL compare the unlearned model with the reference (RETAIN with the original, where
there is one); CONTROL the original with the reference."""


class Forgetting(StrEnum):
    """The verdicts on the forget set."""

    FORGOTTEN = "forgotten within the margins"
    REMEMBERED = "not forgotten"
    UNLIKE = "unlike the reference"
    """It answers worse than a model that never saw the data, which tells that it did."""
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class UnlearningResult:
    """`utility`: the retain set against the original, or against the reference without one; None where there is no retain set."""

    plan: UnlearningPlan
    models: Mapping[str, Mapping[str, Any]]
    sections: Mapping[str, tuple[Comparison, ...]]
    verdict: Forgetting
    utility: Outcome | None
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "plan": self.plan.to_json(),
            "models": {name: dict(facts) for name, facts in self.models.items()},
            "sections": {name: [one.to_json() for one in rows] for name, rows in self.sections.items()},
            "verdict": self.verdict.value,
            "utility": None if self.utility is None else self.utility.value,
            "reasons": list(self.reasons),
        }


def judge(plan: UnlearningPlan, models: Mapping[str, Mapping[str, Any]], measured: Measured) -> UnlearningResult:
    """All that is said of measured differences. Raises PlanError."""
    sections = {
        name: tuple(compare(metric, found, margins_of(plan, name)[metric], plan.alpha) for metric, found in rows.items())
        for name, rows in measured.items()
    }
    attacks = [(name, one) for name in ATTACKS for one in sections.get(name, ())]
    verdict, reasons = _judge_attacks(attacks, plan.alpha)
    if CONTROL in sections and verdict is Forgetting.FORGOTTEN and not _found_different(sections[CONTROL], plan.alpha):
        verdict = Forgetting.INCONCLUSIVE
        reasons = [
            "control: not even the original is shown to differ from the reference; nothing is seen that could be forgotten"
        ]
    utility = None
    if RETAIN in sections:
        utility, more = _judge_utility(sections[RETAIN], plan.alpha)
        reasons += more
    return UnlearningResult(plan, models, sections, verdict, utility, tuple(reasons))


def margins_of(plan: UnlearningPlan, section: str) -> Mapping[str, float]:
    return plan.retained if section == RETAIN else plan.margins


def _judge_attacks(attacks: Sequence[tuple[str, Comparison]], alpha: float) -> tuple[Forgetting, list[str]]:
    different = _found_different([one for _, one in attacks], alpha)
    if different:
        named = [f"{name}, {one.metric}: {_describe(one)}" for name, one in attacks if one in different]
        more = any(one.differences.mean > 0 for one in different)
        return (Forgetting.REMEMBERED if more else Forgetting.UNLIKE), named
    open_ = [(name, one) for name, one in attacks if one.outcome is not Outcome.EQUIVALENT]
    if not open_:
        return Forgetting.FORGOTTEN, []
    return Forgetting.INCONCLUSIVE, [f"{name}, {one.metric}: {_describe(one)}" for name, one in open_]


def _judge_utility(rows: Sequence[Comparison], alpha: float) -> tuple[Outcome, list[str]]:
    different = _found_different(rows, alpha)
    if different:
        return Outcome.DIFFERENT, [f"{RETAIN}, {one.metric}: {_describe(one)}" for one in different]
    open_ = [one for one in rows if one.outcome is not Outcome.EQUIVALENT]
    if not open_:
        return Outcome.EQUIVALENT, []
    return Outcome.INCONCLUSIVE, [f"{RETAIN}, {one.metric}: {_describe(one)}" for one in open_]


def _found_different(rows: Sequence[Comparison], alpha: float) -> list[Comparison]:
    """Differences that hold for all rows together (Bonferroni)."""
    return [one for one in rows if one.interval is not None and one.p_different <= alpha / len(rows)]


def _describe(one: Comparison) -> str:
    if one.outcome is Outcome.DIFFERENT:
        return f"differs by more than {one.margin:g}"
    if one.interval is None:
        return f"{one.differences.n} entities are too few for any statement; at least {max(MIN_ENTITIES, one.needed)} are needed"
    return f"equivalence within {one.margin:g} is not shown; about {one.needed} entities would do if there is no difference"
