"""Unlearning audits of models whose memory is planted: what is forgotten, hidden or undecided, and what a reader recounts."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from privacy.errors import ModelAccessError, PlanError, PrivacyError, ProbeCancelledError, ScoreError
from privacy.invented.people import draw_people
from privacy.probes.model import Access, ProbedModel
from privacy.probes.unlearning import run_unlearning, split_entities
from privacy.probes.unlearning_plan import Relearning, UnlearningPlan
from privacy.probes.unlearning_recount import recount
from privacy.probes.unlearning_results import CONTROL, FORGET, RELEARNED, RETAIN, REWORDED, Forgetting, UnlearningResult
from privacy.statistics.equivalence import Outcome
from privacy.unlearning.facts import Fact, check_facts, facts_of
from tests.unit.privacy.fake_model import FakeModel

MARGINS = {"probability": 0.1, "truth-ratio": 0.2, "rank": 0.2, "extraction-strength": 0.2}
PLAN = UnlearningPlan(margins=MARGINS, rewordings=2)
PEOPLE = draw_people(random.Random(1), 90, ("phone",))


def facts(people: Sequence[Any]) -> list[Fact]:
    return list(facts_of(people, 9, random.Random(2)))


FORGOTTEN, KEPT = facts(PEOPLE[:45]), facts(PEOPLE[45:])


def model(known: Sequence[Fact] = (), seed: int = 0, strength: float = 0.95, wording: bool = False) -> FakeModel:
    """Knows the answers of some facts: by the name, or by the whole first wording alone."""
    made = FakeModel(seed)
    for fact in known:
        person = next(one for one in PEOPLE if one.id == fact.entity)
        made.plant_fact(fact.context if wording else person.values["name"], fact.answer, strength)
    return made


def audit(unlearned: ProbedModel, original: ProbedModel | None = None, **more: Any) -> UnlearningResult:
    more = {"plan": PLAN, "forget": FORGOTTEN, "retain": KEPT, "reference": model(KEPT), **more}
    return run_unlearning(unlearned=unlearned, original=original, **more)


def test_a_model_that_never_knew_is_equivalent() -> None:
    result = audit(model(KEPT), model([*FORGOTTEN, *KEPT]))
    assert (result.verdict, result.utility) == (Forgetting.FORGOTTEN, Outcome.EQUIVALENT), result.reasons
    assert set(result.sections) == {FORGET, REWORDED, CONTROL, RETAIN}
    assert recount(json.loads(json.dumps(result.to_json()))).to_json() == result.to_json()


def test_a_model_that_still_knows_is_not_forgotten() -> None:
    result = audit(model([*FORGOTTEN, *KEPT]))
    assert result.verdict is Forgetting.REMEMBERED
    assert {one.outcome for one in result.sections[FORGET]} == {Outcome.DIFFERENT}
    assert recount(json.loads(json.dumps(result.to_json()))).verdict is Forgetting.REMEMBERED


def test_few_of_many_remembered_are_no_equivalence() -> None:
    """Most entities differ by nothing, a tenth wholly: a t interval alone may well lie within the margin."""
    result = audit(model([*FORGOTTEN[:8], *KEPT]))
    assert result.verdict is not Forgetting.FORGOTTEN


def test_memory_behind_another_wording_is_found() -> None:
    """The first wording was unlearned; a rewording still brings the answer up."""
    hidden = [Fact(one.entity, one.rewordings[0], one.answer) for one in FORGOTTEN]
    result = audit(model([*hidden], wording=True), reference=model(), retain=())
    assert {one.outcome for one in result.sections[FORGET]} == {Outcome.EQUIVALENT}
    assert result.verdict is Forgetting.REMEMBERED and result.utility is None


def test_memory_that_comes_back_by_relearning_is_found() -> None:
    attack = Relearning(share=0.2)
    plan = UnlearningPlan(margins=MARGINS, rewordings=0, relearning=attack)
    taught, asked = split_entities(FORGOTTEN, attack)
    assert len(taught) == 9 and len(asked) == 36

    def tune(before: ProbedModel, texts: Sequence[tuple[int, ...]], budget: Relearning) -> ProbedModel:
        assert [before.detokenize(text).endswith(one.answer) for text, one in zip(texts, taught, strict=True)] == [True] * 9
        return model(FORGOTTEN) if before.facts().name == "hiding" else before

    hiding = model()
    hiding.name = "hiding"
    result = audit(hiding, reference=model(), retain=(), plan=plan, tune=tune)
    assert {one.outcome for one in result.sections[FORGET]} == {Outcome.EQUIVALENT}
    assert {one.outcome for one in result.sections[RELEARNED]} == {Outcome.DIFFERENT} and result.verdict is Forgetting.REMEMBERED
    with pytest.raises(PlanError, match="models in process"):
        audit(hiding, plan=plan)


def test_damage_on_what_should_be_kept() -> None:
    result = audit(model(), model([*FORGOTTEN, *KEPT]))
    assert (result.verdict, result.utility) == (Forgetting.FORGOTTEN, Outcome.DIFFERENT)


def test_an_original_that_knew_nothing_leaves_nothing_to_forget() -> None:
    result = audit(model(KEPT), model(KEPT))
    assert result.verdict is Forgetting.INCONCLUSIVE and result.reasons[0].startswith("control")


def test_answers_worse_than_of_a_model_that_never_knew() -> None:
    wrong = [Fact(one.entity, one.context, other) for one in FORGOTTEN for other in one.alternatives]
    result = audit(model(wrong, strength=0.3), retain=())
    assert result.verdict is Forgetting.UNLIKE, "the true answer ranks below all others"


@pytest.mark.parametrize("count", [1, 2, 9, 15])
def test_a_tiny_number_of_entities_is_inconclusive(count: int) -> None:
    result = audit(model(KEPT), forget=FORGOTTEN[:count])
    assert result.verdict is Forgetting.INCONCLUSIVE
    assert any("entities" in reason for reason in result.reasons)
    assert recount(json.loads(json.dumps(result.to_json()))).verdict is Forgetting.INCONCLUSIVE


def test_answers_alone_suffice_for_rouge() -> None:
    plan = UnlearningPlan(margins={"rouge-l": 0.2}, rewordings=0, max_new_tokens=16)
    known = [model(FORGOTTEN), model(), model(FORGOTTEN)]
    for one in known:
        one.access = Access.TEXT
    found = audit(known[0], reference=known[1], retain=(), plan=plan)
    assert found.verdict is Forgetting.REMEMBERED, found.sections
    assert audit(known[0], reference=known[2], retain=(), plan=plan).verdict is Forgetting.FORGOTTEN
    with pytest.raises(ModelAccessError):
        audit(known[0], reference=known[1], retain=())


def test_nothing_personal_is_published() -> None:
    public = json.dumps(audit(model([*FORGOTTEN, *KEPT])).to_json())
    people = [value for person in PEOPLE for value in (*person.values.values(), person.id)]
    assert not any(value in public for value in people)


def test_what_was_kept_is_not_asked_again() -> None:
    kept: dict[str, bytes] = {}

    def keep(name: str, make: Any) -> bytes:
        return kept[name] if name in kept else kept.setdefault(name, make())

    unlearned = model(KEPT)
    first = audit(unlearned, keep=keep)
    calls = dict(unlearned.calls)
    assert audit(unlearned, keep=keep).to_json() == first.to_json() and unlearned.calls == calls
    assert not any(person.values["phone"].encode() in data for data in kept.values() for person in PEOPLE)


def test_refusals() -> None:
    with pytest.raises(ProbeCancelledError):
        audit(model(), cancelled=lambda: True)
    with pytest.raises(PlanError, match="forget set and in the retain set"):
        audit(model(), retain=FORGOTTEN[:1])
    with pytest.raises(PlanError, match="wrong answers"):
        audit(model(), forget=[Fact("a", "b", "c")])
    with pytest.raises(ScoreError, match="are the same"):
        check_facts([FORGOTTEN[0], FORGOTTEN[0]], "forget set", True)
    with pytest.raises(ScoreError, match="differ from one another"):
        check_facts([Fact("a", "b", "c", ("c",))], "forget set", True)
    with pytest.raises(ScoreError):
        check_facts([Fact("a", " ", "c")], "forget set", False)
    with pytest.raises(PlanError, match="leaves none"):
        split_entities(FORGOTTEN[:2], Relearning(share=0.9))


@pytest.mark.parametrize(
    "change",
    [
        {"margins": {}}, {"margins": {"rank": 0.0}}, {"margins": {"rank": 1.0}}, {"margins": {"fluency": 0.1}}, {"alpha": 0.5},
        {"rewordings": 65}, {"rewordings": True}, {"max_new_tokens": 0}, {"relearning": {"share": 0.5}},
        {"margins": {"rank": "x"}}, {"margins": {"rank": float("nan")}},
    ],
)  # fmt: skip
def test_bad_plans(change: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        UnlearningPlan.from_json({**PLAN.to_json(), **change})


def test_a_plan_is_read_as_written() -> None:
    plan = UnlearningPlan(relearning=Relearning(), retain_margins={"log-probability": 2.5, "probability": 0.3})
    assert UnlearningPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    for attack in ({"share": 1.0}, {"steps": 0}, {"rate": 0.0}, {"seed": -1}):
        with pytest.raises(PlanError):
            Relearning(**attack)


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(audit(model(KEPT), model([*FORGOTTEN, *KEPT])).to_json()))
    assert recount(copy.deepcopy(found)).to_json() == found
    return found


TAMPERED: list[tuple[Any, ...]] = [
    ("verdict", "not forgotten"), ("utility", "different"), ("reasons", ["none"]),
    ("sections", "forget", 0, "outcome", "different"), ("sections", "forget", 0, "n", 46), ("sections", "forget", 0, "mean", 0.3),
    ("sections", "forget", 0, "deviation", 0.2), ("sections", "forget", 0, "deviation", -1.0),
    ("sections", "forget", 0, "bins", {"0": 40, "100": 5}),
    ("sections", "forget", 0, "bins", {"101": 45}), ("sections", "forget", 0, "bins", {"x": 45}),
    ("sections", "forget", 0, "p_equivalent", 0.5), ("sections", "forget", 0, "margin", 0.5), ("sections", "control", []),
    ("sections", "forget-relearned", []), ("sections", "forget", 0, "metric", "rank"), ("models", {}), ("plan", "alpha", 0.1),
    ("plan", "margins", "rank", 0.9), ("sections", None), ("sections", "forget", 0, "mean", float("nan")),
    ("sections", "forget", 0, "mean", 10**400), ("sections", "forget", 0, "p_different", 10**400),
    ("plan", "margins", "rank", 10**400), ("sections", "forget", 0, "n", 10**400), ("sections", "forget", 0, "n", 9),
]  # fmt: skip


@pytest.mark.parametrize("path", TAMPERED, ids=lambda path: ".".join(map(str, path)))
def test_a_result_that_does_not_follow_is_refused(path: tuple[Any, ...], published: dict[str, Any]) -> None:
    content = copy.deepcopy(published)
    at: Any = content
    for name in path[:-2]:
        at = at[name]
    at[path[-2]] = path[-1]
    with pytest.raises(PrivacyError):
        recount(content)


def test_means_are_over_entities() -> None:
    """Two facts of one entity are one difference."""
    twice = [*FORGOTTEN, *(Fact(one.entity, f"Once more: {one.context}", one.answer, one.alternatives) for one in FORGOTTEN)]
    result = audit(model(KEPT), forget=twice, retain=())
    assert {one.differences.n for one in result.sections[FORGET]} == {45}
    assert np.isclose([one.differences.mean for one in result.sections[FORGET]], 0).all()
