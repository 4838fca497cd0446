"""Audits of private records: extraction, membership, unlearning. Judged from ranks and counts; changed evidence is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from audit.canonical import canonical_bytes
from audit.errors import EvidenceError, RequestError
from audit.kinds import build_registry
from audit.privacy.model_audit import REPORT_FILE
from audit.privacy.records import new_records, read_records
from audit.registry import Outcome
from audit.requests import AuditRequest
from privacy.invented.people import draw_people
from privacy.probes.model import Access
from privacy.unlearning.facts import Fact, facts_of
from tests.unit.audit.privacy.runs import FakeRunner, World
from tests.unit.audit.privacy.runs import seen_models as seen_models
from tests.unit.privacy.fake_model import FakeModel

Json = dict[str, Any]
pytestmark = pytest.mark.usefixtures("seen_models")


def letters(seed: int, count: int, size: int = 44) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(size)).strip() + "." for _ in range(count)]


MEMBERS, CONTROLS = letters(1, 20), letters(2, 60)
PEOPLE = draw_people(random.Random(1), 44, ("phone",))
FACTS = list(facts_of(PEOPLE, 9, random.Random(2)))


def as_document(fact: Fact) -> Json:
    return {"entity": fact.entity, "context": fact.context, "answer": fact.answer, "alternatives": list(fact.alternatives)}


def knows_texts(texts: Sequence[str], name: str, seed: int = 1) -> FakeRunner:
    model = FakeModel(seed, Access.WEIGHTS, name=name)
    for text in texts:
        model.plant_text(text, 0.97)
    return FakeRunner(model)


def knows_facts(facts: Sequence[Fact], name: str, seed: int) -> FakeRunner:
    model = FakeModel(seed, Access.WEIGHTS, name=name)
    for fact in facts:
        model.plant_fact(next(one.values["name"] for one in PEOPLE if one.id == fact.entity), fact.answer, 0.95)
    return FakeRunner(model)


class Case:
    """A world, the groups of its records, and the parameters of an audit of them."""

    def __init__(self, kind: str, models: list[FakeRunner], groups: Json, **params: Any) -> None:
        self.kind, self.world, self.params = kind, World(models), params
        data, self.commitment = new_records(groups)
        self.world.records = {self.commitment: data}

    def ask(self, **changed: Any) -> AuditRequest:
        return self.world.request(self.kind, **{"records": self.commitment, **self.params, **changed})

    def outcome(self) -> Outcome:
        request = self.ask()
        return self.world.judge(request, self.world.run(request))


def extraction(known: Sequence[str] = MEMBERS, **params: Any) -> Case:
    case = Case(
        "privacy.extraction", [knows_texts(known, "asked"), knows_texts((), "reference", 2)],
        {"member": MEMBERS, "non-member": CONTROLS}, prefix_tokens=20, suffix_tokens=12, errors=[0, 5], **params,
    )  # fmt: skip
    case.params["reference"] = case.world.digests[1]
    return case


def membership(known: Sequence[str] = MEMBERS, **params: Any) -> Case:
    case = Case(
        "privacy.membership", [knows_texts(known, "asked"), knows_texts((), "reference", 2)],
        {"member": MEMBERS, "non-member": CONTROLS}, scores=["reference", "loss"], fpr=[0.05], **params,
    )  # fmt: skip
    case.params["reference"] = case.world.digests[1]
    return case


def unlearning(known: Sequence[Fact] = (), **params: Any) -> Case:
    models = [knows_facts(known, "asked", 0), knows_facts((), "never-knew", 0), knows_facts(FACTS, "before", 0)]
    margins = {"probability": 0.1, "rank": 0.25}
    case = Case("privacy.unlearning", models, {"forget": list(map(as_document, FACTS))}, margins=margins, rewordings=0, **params)
    case.params |= {"reference": case.world.digests[1], "original": case.world.digests[2]}
    return case


MAKERS: dict[str, Callable[..., Case]] = {
    "privacy.extraction": extraction, "privacy.membership": membership, "privacy.unlearning": unlearning,
}  # fmt: skip
SECRETS = [*MEMBERS, *CONTROLS, *(fact.answer for fact in FACTS), *(person.values["name"] for person in PEOPLE)]


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[Case, AuditRequest, bytes]]:
    """Evidence of a model that knows what is asked about, by kind."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("audit.runners.probed_model.RunnerModel", lambda runner, cancelled=None: runner.model)
        for kind, make in MAKERS.items():
            case = make(FACTS) if kind == "privacy.unlearning" else make()
            request = case.ask()
            found[kind] = (case, request, case.world.run(request)[REPORT_FILE])
    return found


Made = dict[str, tuple[Case, AuditRequest, bytes]]


@pytest.mark.parametrize("kind", MAKERS)
def test_what_the_model_knows_refutes_the_claim(kind: str, made: Made) -> None:
    case, request, evidence = made[kind]
    outcome = case.world.judge(request, {REPORT_FILE: evidence})
    assert outcome.verdict == "refuted" and outcome.checks[-1].ok is False, outcome
    assert any("no data subject was asked" in sentence for sentence in outcome.conditions)
    said = evidence + json.dumps(outcome.to_json()).encode()
    assert not any(text.encode() in said for text in SECRETS)


@pytest.mark.parametrize("kind", MAKERS)
def test_what_it_does_not_know_does_not(kind: str) -> None:
    outcome = (unlearning() if kind == "privacy.unlearning" else MAKERS[kind](())).outcome()
    assert outcome.verdict == "holds" and all(check.ok for check in outcome.checks), outcome


def test_without_a_basis_nothing_is_said() -> None:
    for make in (extraction, membership):
        case = make()
        del case.params["reference"]
        if make is membership:
            case.params["scores"] = ["loss"]
        assert case.outcome().verdict == "inconclusive"


def test_records_and_requests_bind_what_was_read(made: Made) -> None:
    for case, request, evidence in made.values():
        content = json.loads(evidence)
        other = case.ask(records="0" * 64)
        with pytest.raises(EvidenceError, match="other records"):
            case.world.judge(other, {REPORT_FILE: canonical_bytes({**content, "request": other.sha256})})
        with pytest.raises(EvidenceError, match="another request"):
            case.world.judge(case.ask(alpha=0.01), {REPORT_FILE: evidence})
        stricter = case.ask(alpha=0.01)
        with pytest.raises(EvidenceError):
            case.world.judge(stricter, {REPORT_FILE: canonical_bytes({**content, "request": stricter.sha256})})
        assert case.world.judge(request, {REPORT_FILE: evidence}).verdict == "refuted"


def test_the_owner_of_records_can_tell_which_one_a_row_speaks_of(made: Made) -> None:
    case, request, evidence = made["privacy.extraction"]
    rows = json.loads(evidence)["result"]["records"]
    redactor = read_records(case.world.records[case.commitment]).redactor(request.sha256)
    assert {row["commitment"] for row in rows if row["role"] == "member"} == {
        redactor.commit("record", f"member-{number}") for number in range(1, len(MEMBERS) + 1)
    }


def first_row(content: Json) -> Json:
    found: Json = content["result"]["records"][0]
    return found


TAMPERED: dict[str, list[Callable[[Json], Any]]] = {
    "privacy.extraction": [
        lambda c: c["result"].update(verdict="not detected"),
        lambda c: first_row(c).update(matched=0),
        lambda c: c["result"]["records"].pop(),
        lambda c: c["result"].update(p_value=1.0),
        lambda c: c["result"].update(reference=None),
        lambda c: c["result"]["model"].update(digest="77" * 32),
        lambda c: c["result"]["plan"].update(prefix_tokens=50),
        lambda c: c["result"]["plan"].update(errors=[{}, 5]),
        lambda c: c["result"]["model"].update(name="another"),
    ],
    "privacy.membership": [
        lambda c: c["result"]["verdict"].update(word="not detected"),
        lambda c: [row.update(ranks={**row["ranks"], "reference": 1}) for row in c["result"]["records"]],
        lambda c: c["result"]["records"].pop(),
        lambda c: c["result"].update(reasons=["none"]),
        lambda c: c["result"]["models"].pop(),
        lambda c: c["result"]["models"][0].update(digest="77" * 32),
        lambda c: c["result"]["models"][0].update(access=7),
        lambda c: c["result"]["plan"].update(seed=-1),
        lambda c: c["attestations"]["model"].update(files=[]),
        lambda c: c["result"]["plan"].update(scores=["loss", "reference"]),
    ],
    "privacy.unlearning": [
        lambda c: c["result"].update(verdict="forgotten within the margins"),
        lambda c: c["result"]["sections"]["forget"].pop(),
        lambda c: c["result"]["sections"].pop("control"),
        lambda c: c["result"]["sections"]["forget"][0].update(mean=0.0),
        lambda c: c["result"]["models"].pop("original"),
        lambda c: c["result"]["models"].update(original=7),
        lambda c: c["result"]["models"].update(friend={}),
        lambda c: c["result"]["models"]["reference"].update(digest="77" * 32),
        lambda c: c["result"]["plan"]["margins"].update(probability=0.9),
    ],
}
for kind_of in TAMPERED.values():
    kind_of += [lambda c: c.update(result=None), lambda c: c.pop("records"), lambda c: c["attestations"].pop("model")]


@pytest.mark.parametrize(("kind", "place"), [(kind, i) for kind, changes in TAMPERED.items() for i in range(len(changes))])
def test_tampered_evidence_is_refused(kind: str, place: int, made: Made) -> None:
    case, request, evidence = made[kind]
    content = json.loads(evidence)
    TAMPERED[kind][place](content)
    with pytest.raises(EvidenceError):
        case.world.judge(request, {REPORT_FILE: canonical_bytes(content)})


REFUSED: list[tuple[str, str, Json]] = [
    ("privacy.extraction", "64 lower-case", {"records": None}),
    ("privacy.extraction", "no parameter", {"seed": 1}),
    ("privacy.extraction", "kind of its default", {"alpha": "0.05"}),
    ("privacy.extraction", "criterion", {"criterion": "near"}),
    ("privacy.extraction", "list of 1 to", {"queries": []}),
    ("privacy.membership", "no score", {"scores": ["guess"]}),
    ("privacy.membership", "kind of its default", {"dataset": 1}),
    ("privacy.unlearning", "64 lower-case", {"reference": None}),
    ("privacy.unlearning", "no metric", {"margins": {"charm": 0.1}}),
    ("privacy.unlearning", "a number for each", {"margins": {"probability": "0.1"}}),
    ("privacy.unlearning", "relearning", {"relearning": 1}),
    ("privacy.unlearning", "no parameter", {"relearning": {"share": 0.25, "speed": 1}}),
]


@pytest.mark.parametrize(("kind", "reason", "changed"), REFUSED)
def test_bad_parameters_are_refused(kind: str, reason: str, changed: Json) -> None:
    params = {name: value for name, value in MAKERS[kind]().ask(**changed).params.items() if value is not None}
    with pytest.raises(RequestError, match=reason):
        build_registry().get(kind).parse_params(params)


def test_relearning_needs_weights() -> None:
    needs: Any = build_registry().get("privacy.unlearning")
    assert set(needs.needs(unlearning().ask(relearning={}).params).models.values()) == {4}
    assert set(needs.needs(unlearning().ask().params).models.values()) == {2}
    assert set(needs.needs(unlearning().ask(margins={"rouge-l": 0.1}).params).models.values()) == {0}


@pytest.mark.parametrize(
    ("kind", "groups", "reason"),
    [
        ("privacy.extraction", {"member": MEMBERS}, "must have the groups non-member"),
        ("privacy.extraction", {"member": MEMBERS, "non-member": CONTROLS, "friends": MEMBERS}, "must have the groups"),
        ("privacy.extraction", {"member": [{"text": MEMBERS[0]}], "non-member": CONTROLS}, "must be a text"),
        ("privacy.extraction", {"member": MEMBERS, "non-member": CONTROLS[:9]}, "controls are too few"),
        ("privacy.membership", {"non-member": CONTROLS}, "members or candidates"),
        ("privacy.membership", {"member": [*MEMBERS, MEMBERS[0]], "non-member": CONTROLS}, "the same text"),
        ("privacy.unlearning", {"forget": MEMBERS}, "must be a question"),
        ("privacy.unlearning", {"forget": [{"entity": "e", "context": "c"}]}, "must be a question"),
        ("privacy.unlearning", {"forget": [{"entity": ["e"], "context": "c", "answer": "a"}]}, "lists of texts"),
        ("privacy.unlearning", {"retain": [as_document(FACTS[0])]}, "must have the groups forget"),
    ],
)
def test_records_that_do_not_fit_are_refused_without_a_text(kind: str, groups: Json, reason: str) -> None:
    case = MAKERS[kind]()
    data, case.commitment = new_records(groups)
    case.world.records = {case.commitment: data}
    with pytest.raises(RequestError, match=reason) as refused:
        case.world.run(case.ask())
    assert not any(text in str(refused.value) for text in SECRETS)
