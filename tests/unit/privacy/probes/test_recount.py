"""A published result is rebuilt from its ranks and counts; whatever does not follow, or cannot be, is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from privacy.errors import ScoreError
from privacy.people import Origin
from privacy.probes.black_box import run_black_box
from privacy.probes.evidence import HitEvidence, IntervalEvidence
from privacy.probes.model import Access
from privacy.probes.plan import ProbePlan
from privacy.probes.recount import recount
from privacy.probes.results import MeasuredItem, MeasuredPerson, judge
from tests.unit.privacy.probes.scored_model import COMMIT, ScoredModel, blind, decoys, invent, knowing, known_to, plan_for

SUBJECTS = invent(2, Origin.CONSENTED, "subject")
PEOPLE = [*SUBJECTS, *decoys()]
PLAN = plan_for(PEOPLE, groups={SUBJECTS[0].id: "twice"})
Json = dict[str, Any]


@pytest.fixture(scope="module")
def content() -> Json:
    model = ScoredModel(knowing(known_to(SUBJECTS[:1]), 14.0))
    reference = ScoredModel(lambda context, value: blind("other" + context, value), name="reference")
    found = run_black_box(PLAN, PEOPLE, model, reference, release=COMMIT, commit=COMMIT)
    assert found.found == 1
    result: Json = json.loads(json.dumps(found.to_json()))
    return result


def test_a_true_result_is_rebuilt(content: Json) -> None:
    again = recount(content, replace(PLAN, seed=0, groups={}))
    assert json.loads(json.dumps(again.to_json())) == content


def person(content: Json, place: int = 0) -> Json:
    found: Json = content["people"][place]
    return found


def measured(content: Json, where: str = "people", place: int = 0) -> Json:
    found: Json = content[where][place]["items"][0]["measured"]
    return found


CHANGES: list[tuple[str, Callable[[Json], object], str]] = [
    ("p of an item", lambda c: person(c)["items"][0].update(p_value=0.5), "p_value does not follow"),
    ("p of a person", lambda c: person(c).update(p_adjusted=1e-9), "p_adjusted does not follow"),
    ("verdict", lambda c: person(c, 1).update(verdict="memorised"), "verdict does not follow"),
    ("bound", lambda c: person(c, 1).update(leak_below=1e-30), "leak_below does not follow"),
    ("basis", lambda c: person(c).update(basis="exact"), "basis does not follow"),
    ("no reference", lambda c: c.update(reference=None), "does not follow"),
    ("found", lambda c: c.update(found=2), "found does not follow"),
    ("gate", lambda c: c["gate"].update(accused=0, rate_below=0.01), "gate"),
    ("share", lambda c: c["reveal"][0].update(revealed=2), "reveal"),
    ("shares", lambda c: c["reveal"].pop(), "reveal does not follow"),
    ("assumptions", lambda c: c["assumptions"].pop(), "assumptions"),
    ("rank", lambda c: measured(c, place=1).update(rank=1), "does not follow"),
    ("rank 0", lambda c: measured(c).update(rank=0), "outside 1..40"),
    ("rank N + 2", lambda c: measured(c).update(rank=41), "outside 1..40"),
    ("no rank", lambda c: measured(c).update(rank=None), "no count"),
    ("half a rank", lambda c: measured(c).update(rank=1.0), "no count"),
    ("true as a rank", lambda c: measured(c).update(rank=True), "no count"),
    ("fewer nulls", lambda c: measured(c).update(nulls=38), "38 nulls; the plan has 39"),
    ("exponent", lambda c: measured(c).update(exponent=99), "exponent"),
    ("another measure", lambda c: measured(c).update(score=-3.2), "has the members"),
    ("fewer decoys", lambda c: c["decoys"].pop(), "58 decoys where 59"),
    ("decoys that are people", lambda c: c["decoys"][0].update(origin="consented"), "origin"),
    ("unknown origin", lambda c: person(c).update(origin="stranger"), "origin"),
    ("unhashable origin", lambda c: person(c).update(origin=[]), "origin"),
    ("person twice", lambda c: person(c, 1).update(id=person(c)["id"]), "twice"),
    ("type twice", lambda c: person(c)["items"].append(person(c)["items"][0]), "type twice"),
    ("no items", lambda c: person(c).update(items=[]), "items"),
    ("type", lambda c: person(c)["items"][0].update(type="email"), "type"),
    ("commitment", lambda c: person(c)["items"][0].update(commitment="212-555-0142"), "commitment"),
    ("length", lambda c: person(c)["items"][0].update(length_class="12"), "length"),
    ("templates", lambda c: person(c)["items"][0].update(templates=0), "templates"),
    ("doubt", lambda c: person(c)["items"][0].update(doubt="as likely with other names"), "does not follow"),
    ("doubt of no kind", lambda c: person(c)["items"][0].update(doubt="perhaps"), "no doubt that there is"),
    ("no doubt", lambda c: person(c)["items"][0].pop("doubt"), "lacks"),
    ("doubt of a large p", lambda c: person(c, 1)["items"][0].update(doubt="follows from the prompt"), "small p"),
    ("doubt of a decoy", lambda c: c["decoys"][0]["items"][0].update(doubt="follows from the prompt"), "small p"),
    ("more members", lambda c: c.update(value="x"), "members"),
    ("fewer members", lambda c: c.pop("reveal"), "members"),
    ("plan", lambda c: c["plan"].update(alpha=0.5), "another plan"),
    ("no plan", lambda c: c.pop("plan"), "another plan"),
    ("access", lambda c: c.update(access="weights"), "tier"),
    ("tier", lambda c: c.update(access="text"), "members"),
    ("model", lambda c: c["model"].update(digest="x"), "description of a model"),
    ("model as text", lambda c: c.update(model="tiny"), "model of the result"),
    ("nothing", lambda c: c.update(people=[]), "people"),
    ("text", lambda c: c.update(people="all"), "people"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [(c, m) for _, c, m in CHANGES], ids=[name for name, _, _ in CHANGES])
def test_what_does_not_follow_is_refused(content: Json, change: Callable[[Json], object], message: str) -> None:
    changed = copy.deepcopy(content)
    change(changed)
    with pytest.raises(ScoreError, match=message):
        recount(changed, PLAN)


def test_no_content_is_refused() -> None:
    for nothing in ({}, [], None, 3):
        with pytest.raises(ScoreError):
            recount(nothing, PLAN)  # type: ignore[arg-type]


def test_another_tier_than_planned_is_refused(content: Json) -> None:
    plan = replace(PLAN, access=Access.TOP_K)
    changed = copy.deepcopy(content)
    changed["plan"]["access"] = "top-k"
    with pytest.raises(ScoreError, match="asks for the tier top-k"):
        recount(changed, plan)


def published(plan: ProbePlan, access: Access, own: object, others: object) -> Json:
    facts = ScoredModel(access=access).facts()
    people = [
        MeasuredPerson(p.id, p.origin, None, (MeasuredItem("phone", "ab" * 32, "9-16", 1, own if p in SUBJECTS else others),))  # type: ignore[arg-type]
        for p in PEOPLE
    ]
    result: Json = json.loads(json.dumps(judge(access, facts, facts, plan, people).to_json()))
    return result


def test_other_tiers_are_rebuilt_too() -> None:
    listed = published(PLAN, Access.TOP_K, IntervalEvidence(1, 1, 39, 3, None), IntervalEvidence(7, 30, 39, None, None))
    assert recount(listed, PLAN).found == 2
    measured(listed).update(best=2)
    with pytest.raises(ScoreError, match=r"outside 1\.\.40"):
        recount(listed, PLAN)
    plan = replace(PLAN, access=Access.TEXT, nulls=0)
    own, others = HitEvidence(40, 120, 0, 17_000, 0, 17_000, 0, 300, True), HitEvidence(0, 300, 0, 17_000, 0, 17_000, 0, 300)
    told = published(plan, Access.TEXT, own, others)
    assert recount(told, plan).found == 2
    for change, message in (
        ({"hits": 121}, "above the number"),
        ({"stopped": False}, "as often as planned"),
        ({"samples": 301}, "as often as planned"),
        ({"stopped": 1}, "no count"),
        ({"reference_hits": None}, "reference"),
        ({"decoy_samples": 0}, "no answers"),
        ({"hits": 2}, "does not follow"),
    ):
        changed = copy.deepcopy(told)
        measured(changed).update(change)
        with pytest.raises(ScoreError, match=message):
            recount(changed, plan)
