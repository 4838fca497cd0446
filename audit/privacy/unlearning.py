"""`privacy.unlearning`: is a model that was to forget like one that never knew? Equivalence within stated margins, under attacks.

The claim that is judged is "forgotten within the margins"; that no difference was found is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import EvidenceError, RequestError
from audit.params import Fields
from audit.privacy.model_audit import ModelAudit, Run
from audit.privacy.params import (
    MODEL,
    REFERENCE,
    Asked,
    Registered,
    check_facts,
    check_plan,
    check_records,
    model_conditions,
    read_members,
    read_models,
)
from audit.privacy.records import Record
from audit.privacy.texts import AUTHORITY
from audit.registry import Check, Outcome, Verdict
from privacy.probes.model import Access
from privacy.probes.unlearning_plan import Relearning, UnlearningPlan
from privacy.unlearning.facts import Fact
from privacy.unlearning.metrics import OF_TOKENS

NAME = "privacy.unlearning"
ORIGINAL = "original"
FORGET, RETAIN = "forget", "retain"
_FACT = {"entity", "context", "answer"}
_LISTS = {"alternatives", "rewordings"}
_ROLES = {"unlearned": MODEL, "reference": REFERENCE, "original": ORIGINAL}
_VERDICTS: Mapping[str, Verdict] = {
    "forgotten within the margins": "holds",
    "not forgotten": "refuted",
    "unlike the reference": "refuted",
    "inconclusive": "inconclusive",
}
_LIMITS = (
    "the reference was trained alike without what should be forgotten, by the word of whoever named it",
    "forgotten means: within the stated margins, on these questions, metrics and attacks",
)


@dataclass(frozen=True)
class UnlearningAsked(Asked):
    plan: UnlearningPlan


def _read_plan(fields: Fields) -> UnlearningPlan:
    default = UnlearningPlan()
    found = read_members(fields, default, "alpha", "rewordings", "max_new_tokens")
    for name in ("margins", "retain_margins"):
        margins = fields.take(name)
        if margins is not None:
            found[name] = _read_margins(margins, name)
    attack = fields.take("relearning")
    if attack is not None:
        if not isinstance(attack, Mapping):
            raise RequestError("params.relearning must be an object with share, steps, rate and batch")
        own = Fields(attack, NAME)
        found["relearning"] = Relearning(**read_members(own, Relearning(), "share", "steps", "rate", "batch", "seed"))
        own.done()
    return UnlearningPlan(**found)


def _read_margins(value: Any, name: str) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(type(margin) in (int, float) for margin in value.values()):
        raise RequestError(f"params.{name} must be an object: a number for each metric")
    return {str(metric): float(margin) for metric, margin in value.items()}


class PrivacyUnlearning(ModelAudit):
    """The registered kind."""

    name = NAME
    title = "Whether a model has forgotten: equivalent to one that never knew, within stated margins, also after attacks"
    format = "assay-privacy-unlearning/1"
    members = frozenset(("records", "result"))

    def read(self, params: Mapping[str, Any]) -> UnlearningAsked:
        fields = Fields(params, NAME)
        plan = _read_plan(fields)
        access = Access.FULL if {*plan.margins, *plan.retained} & set(OF_TOKENS) else Access.TEXT
        access = Access.WEIGHTS if plan.relearning is not None else access
        models = read_models(fields, access, needed=(REFERENCE,), optional=(ORIGINAL,))
        records = fields.digest("records")
        fields.done()
        return UnlearningAsked(models, (), (records,), plan)

    def measure(self, asked: UnlearningAsked, run: Run) -> Mapping[str, Any]:
        from privacy.probes.relearning import relearn
        from privacy.probes.unlearning import run_unlearning

        (commitment,) = asked.records
        groups = run.open_records(commitment).take(FORGET, optional=[RETAIN])
        facts = {
            name: [_read_fact(record, number, name) for number, record in enumerate(groups.get(name, ()), 1)]
            for name in (FORGET, RETAIN)
        }
        result = run_unlearning(
            asked.plan,
            facts[FORGET],
            facts[RETAIN],
            run.models[MODEL],
            run.models[REFERENCE],
            run.models.get(ORIGINAL),
            tune=relearn if asked.plan.relearning is not None else None,
            keep=run.keep,
            progress=run.progress,
            cancelled=run.cancelled,
        )
        return {"records": commitment, "result": result.to_json()}

    def judge(self, asked: UnlearningAsked, content: Mapping[str, Any], registered: Registered) -> Outcome:
        from privacy.probes.recount import read_facts
        from privacy.probes.unlearning_recount import recount

        check_records([content["records"]], asked)
        check_plan(content["result"], asked.plan.to_json())
        models = content["result"].get("models")
        if not isinstance(models, Mapping) or not set(models) <= set(_ROLES):
            raise EvidenceError(f"the models of the result are {', '.join(_ROLES)}")
        check_facts({_ROLES[name]: read_facts(one, name) for name, one in models.items()}, asked.models, registered)
        result = recount(content["result"])
        shown, verdict = content["result"], _VERDICTS[result.verdict.value]
        ok = {"holds": True, "refuted": False}.get(verdict)
        kept = "no retain set" if result.utility is None else f"what should be kept: {result.utility.value}"
        why = "; ".join(result.reasons)[:300]
        checks = (
            Check("1 comparisons", True, f"{sum(map(len, result.sections.values()))} in {', '.join(sorted(result.sections))}"),
            Check("2 recount", True, f"outcomes follow from the differences; {kept}"),
            Check("3 claim", ok, f"claimed that it is forgotten: {result.verdict.value}{f' ({why})' if why else ''}"),
        )
        outputs = {name: shown[name] for name in ("verdict", "utility", "sections", "reasons")}
        conditions = (*model_conditions(registered), AUTHORITY, *_LIMITS, *_terms(asked))
        return Outcome(verdict, checks, {**outputs, "alpha": asked.plan.alpha}, conditions)


def _terms(asked: UnlearningAsked) -> tuple[str, ...]:
    """What "within the margins" meant: a margin wide enough lets anything pass."""
    margins = ", ".join(f"{metric} {margin:g}" for metric, margin in sorted(asked.plan.margins.items()))
    attacks = [
        f"{asked.plan.rewordings} rewordings" if asked.plan.rewordings else "",
        "relearning" if asked.plan.relearning else "",
    ]
    found = f"margins: {margins}; attacks: {', '.join(filter(None, attacks)) or 'none but asking'}"
    if ORIGINAL in asked.models.digests:
        return (found,)
    return found, "no original was asked: that there was anything to forget is not shown"


def _read_fact(record: Record, number: int, group: str) -> Fact:
    """One question of the records. Raises RequestError without its text."""
    where = f"record {number} of the group {group}"
    if isinstance(record, str) or not _FACT <= set(record) <= _FACT | _LISTS | {"separator"}:
        raise RequestError(
            f"{where} must be a question: entity, context, answer, and at will alternatives, rewordings, separator"
        )
    texts = {name: record[name] for name in (*_FACT, "separator") if name in record}
    lists = {name: record[name] for name in _LISTS if name in record}
    if not all(isinstance(text, str) for text in texts.values()) or any(isinstance(one, str) for one in lists.values()):
        raise RequestError(f"{where}: alternatives and rewordings are lists of texts, everything else is a text")
    return Fact(**texts, **{name: tuple(one) for name, one in lists.items()})  # type: ignore[arg-type]
