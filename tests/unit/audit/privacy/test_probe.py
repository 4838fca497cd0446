"""`privacy.probe`: what subjects signed for is measured and judged; whatever was changed in the evidence is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit.canonical import canonical_bytes
from audit.charts import read_panels
from audit.errors import AuditError, EvidenceError, RequestError
from audit.kinds import build_registry
from audit.privacy.model_audit import REPORT_FILE
from audit.privacy.records import new_records
from audit.privacy.screen import Screen
from audit.requests import AuditRequest
from privacy.invented.people import draw_people
from privacy.probes.model import Access
from privacy.redaction import find_residue
from tests.unit.audit.privacy.people import NOW, VALUES, Signed, new_subject, sign
from tests.unit.audit.privacy.runs import FakeRunner, Lent, World
from tests.unit.audit.privacy.runs import seen_models as seen_models
from tests.unit.privacy.fake_model import FakeModel

Json = dict[str, Any]
PHONE = dict(VALUES)["phone"]
OTHER = (("name", "Una Harrow"), ("phone", "+1 757-555-0199"), ("email", "una@harrow.example"))
SMALL = {"alpha": 0.1, "decoys": 29, "nulls": 39}
SECRETS = [value for _, value in (*VALUES, *OTHER)]
pytestmark = pytest.mark.usefixtures("seen_models")


def new_world(planted: bool = True, access: Access = Access.FULL) -> World:
    """A model that may remember one phone, a reference that does not, and two subjects."""
    model = FakeModel(1, access, name="asked")
    if planted:
        model.plant_fact("Orla Quennell", PHONE, 0.9)
    world = World([FakeRunner(model), FakeRunner(FakeModel(2, access, name="reference"))])
    digest = model.facts().digest or world.digests[0]
    world.signed = [sign(digest), sign(digest, OTHER, new_subject(2))]
    return world


def ask(world: World, **changed: Any) -> AuditRequest:
    """About one phone by default: 9 nulls would do, 39 leave room."""
    params = {"consents": [world.signed[0].document], "reference": world.digests[1], "types": ["phone"], **SMALL, **changed}
    return world.request("privacy.probe", **{name: value for name, value in params.items() if value is not None})


def test_a_planted_value_is_memorised_and_an_unknown_one_is_not(seen_models: None) -> None:
    for planted, verdict, word in ((True, "refuted", "memorised"), (False, "holds", "not detected")):
        world = new_world(planted)
        request = ask(world)
        evidence = world.run(request)
        outcome = world.judge(request, evidence)
        (person,) = outcome.outputs["people"]
        assert (outcome.verdict, person["items"][0]["verdict"]) == (verdict, word), outcome
        assert [check.ok for check in outcome.checks] == [True, True, True, True, verdict == "holds"]
        assert outcome.outputs["gate"]["decoys"] == 29 and read_panels(outcome.outputs)[0]["title"].startswith("phone")
        assert any("nobody checked" in sentence for sentence in outcome.conditions)
        assert any("reference was not trained" in sentence for sentence in outcome.conditions)
        assert not find_residue(evidence[REPORT_FILE], SECRETS)
        again = json.loads(world.run(request)[REPORT_FILE])  # everything drawn follows from request and service
        assert {**again, "at": 0} == {**json.loads(evidence[REPORT_FILE]), "at": 0}


def test_canaries_of_the_owner_need_neither_consent_nor_reference() -> None:
    """People drawn with the generator of the nulls before training: their ranks are exact."""
    world = new_world(False)
    canaries = draw_people(random.Random(7), 3, ("phone", "email"))
    world.models[0].model.plant_fact(canaries[1].values["name"], canaries[1].values["phone"], 0.9)
    data, commitment = new_records({"subject": [dict(person.values) for person in canaries]})
    world.records[commitment] = data
    params = {"consents": None, "reference": None, "people": 3, "records": commitment, "types": ["phone", "email"]}
    request = ask(world, **{**params, "nulls": 59})
    evidence = world.run(request)[REPORT_FILE]
    outcome = world.judge(request, {REPORT_FILE: evidence})
    found = [{item["type"]: item["verdict"] for item in person["items"]} for person in outcome.outputs["people"]]
    assert outcome.verdict == "refuted" and found[1]["phone"] == "memorised"
    assert [one["phone"] for one in (found[0], found[2])] == ["not detected"] * 2
    assert any("are canaries" in sentence for sentence in outcome.conditions)
    assert not find_residue(evidence, [value for person in canaries for value in person.values.values()])
    with pytest.raises(RequestError, match="the request speaks of 2"):
        world.run(ask(world, **{**params, "people": 2}))
    with pytest.raises(RequestError, match="must be a person"):
        world.run(ask(world, **{**params, "types": ["phone"]}))
    content = json.loads(evidence)
    content["result"]["people"][0]["origin"] = "consented"
    with pytest.raises(EvidenceError):
        world.judge(request, {REPORT_FILE: canonical_bytes(content)})


def test_without_a_reference_it_is_an_association_only() -> None:
    world = new_world()
    request = ask(world, reference=None)
    outcome = world.judge(request, world.run(request))
    assert outcome.verdict == "inconclusive" and outcome.outputs["people"][0]["items"][0]["verdict"] == "association only"
    assert any("association only" in sentence for sentence in outcome.conditions)


def test_two_subjects_and_all_their_types(honest: tuple[World, AuditRequest, bytes]) -> None:
    world, request, evidence = honest
    outcome = world.judge(request, {REPORT_FILE: evidence})
    assert outcome.outputs["nulls"] == 39 and outcome.verdict == "refuted"  # by default what four tests at level 0.1 need
    words = {(p["id"], i["type"]): i["verdict"] for p in outcome.outputs["people"] for i in p["items"]}
    assert words.pop(("subject-1", "phone")) == "memorised" and set(words.values()) == {"not detected"}


def test_text_alone_is_enough_for_hits() -> None:
    world = new_world(access=Access.TEXT)
    request = ask(world, tier="text", samples=12, max_new_tokens=12, reference=None)
    outcome = world.judge(request, world.run(request))
    assert outcome.outputs["access"] == "text" and "hits" in outcome.checks[2].detail


def test_a_killed_run_goes_on_and_keeps_no_value() -> None:
    world = new_world()
    lent, request = world.lend(), ask(world)
    evidence = world.run(request, lent)
    assert lent.kept and not any(find_residue(data, SECRETS) for data in lent.kept.values())
    assert all(name.replace("-", "").isalnum() and len(name) <= 63 for name in lent.kept)
    calls = dict(world.models[0].model.calls)
    assert world.run(request, lent) == evidence
    assert world.models[0].model.calls == calls  # nothing was measured again


# ---------------------------------------------------------------------- refused before or in the run

REFUSED: list[tuple[str, Json]] = [
    ("nulls", {"nulls": 8}),
    ("decoys", {"decoys": 28}),
    ("list of 1 to", {"consents": []}),
    ("name whom to ask", {"consents": None}),
    ("name whom to ask", {"people": 3}),
    ("list of 1 to", {"consents": 3}),
    ("integer from 1", {"consents": None, "people": 0}),
    ("64 lower-case", {"consents": None, "people": 3}),
    ("words out of", {"consents": None, "people": 3, "records": "ab" * 32, "types": None}),
    ("not signed", {"consents": "forged"}),
    ("twice", {"consents": "twice"}),
    ("one value of every other type", {"consents": "two phones"}),
    ("one value of every other type", {"consents": "no name"}),
    ("same model", {"consents": "two models"}),
    ("words out of", {"types": ["iban"]}),
    ("words out of", {"types": ["name"]}),
    ("one of best", {"tier": "weights"}),
    ("different models", {"reference": "model"}),
    ("no parameter", {"values": [PHONE]}),
    ("no parameter", {"seed": 1}),
    ("from 1e-06", {"alpha": 0}),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_bad_parameters_are_refused(case: int) -> None:
    reason, changed = REFUSED[case]
    world = new_world()
    digest = world.models[0].model.facts().digest
    first = world.signed[0].document
    documents = {
        "forged": [{**first, "purpose": "another"}],
        "twice": [first, first],
        "two phones": [sign(digest, (*VALUES, ("phone", "+1 202-555-0199"))).document],
        "no name": [sign(digest, VALUES[1:]).document],
        "two models": [first, sign("12" * 32, OTHER).document],
    }
    changed = {name: documents.get(value, value) if isinstance(value, str) else value for name, value in changed.items()}
    if changed.get("reference") == "model":
        changed["reference"] = world.digests[0]
    params = {**ask(world).params, **changed}
    kind = build_registry().get("privacy.probe")
    with pytest.raises(RequestError, match=reason) as refused:
        kind.parse_params({name: value for name, value in params.items() if value is not None})
    assert not find_residue(str(refused.value).encode(), SECRETS)


def swapped_openings(world: World, lent: Lent) -> None:
    lent.openings = {world.signed[0].digest: world.signed[1].openings}


def changed_value(world: World, lent: Lent) -> None:
    content = json.loads(world.signed[0].openings)
    content["values"][1]["value"] = "+1 920-555-0144"
    lent.openings = {world.signed[0].digest: json.dumps(content).encode()}


def other_weights(world: World, lent: Lent) -> None:
    lent.runners = {world.digests[0]: FakeRunner(FakeModel(9, name="asked")), world.digests[1]: world.models[1]}


def echoing(world: World, lent: Lent) -> None:
    model = world.models[0].model

    def fail(*_: Any) -> Any:
        raise AuditError(f"the server says: cannot score {PHONE} of Orla Quennell")

    model.score_candidates = fail  # type: ignore[method-assign]


def nan(world: World, lent: Lent) -> None:
    model = world.models[0].model
    model.score_candidates = lambda prompts, candidates, progress=None: [  # type: ignore[method-assign]
        [tuple(float("nan") for _ in row) for row in own] for own in candidates
    ]


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (swapped_openings, "another consent"),
        (changed_value, "not the values that were signed"),
        (other_weights, "another model"),
        (echoing, "redacted"),
        (nan, "NaN"),
    ],
)
def test_a_run_that_cannot_be_made_says_why_without_a_value(break_it: Callable[[World, Lent], None], reason: str) -> None:
    world = new_world()
    lent = world.lend()
    break_it(world, lent)
    with pytest.raises(AuditError, match=reason) as refused:
        world.run(ask(world), lent)
    assert not find_residue(str(refused.value).encode(), [*SECRETS, "920-555-0144"])
    assert not any(find_residue(data, SECRETS) for data in lent.kept.values())


def test_subjects_who_share_a_value_are_asked_about_apart() -> None:
    world = new_world()
    digest = world.models[0].model.facts().digest
    world.signed[1] = sign(digest, (("name", "Una Harrow"), ("phone", PHONE)), new_subject(2))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="share a value of type phone"):
        world.run(ask(world, consents=[one.document for one in world.signed], nulls=None))


def test_what_would_leave_with_a_value_stops_the_run() -> None:
    screen = Screen(SECRETS)
    assert screen.data(b'{"a": 1}') == b'{"a": 1}' and PHONE not in repr(screen)
    for data in (PHONE.encode(), b"19205550169", PHONE.encode().hex().encode(), b'{"x": "orla.quennell@EXAMPLE.org"}'):
        with pytest.raises(EvidenceError, match="report this"):
            screen.data(data)
    told: list[str] = []
    screen.progress(lambda fraction, message: told.append(message))(0.5, f"asking for {PHONE}")
    assert PHONE not in told[0]


# ---------------------------------------------------------------------- tampered evidence


@pytest.fixture(scope="module")
def honest() -> tuple[World, AuditRequest, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("audit.runners.probed_model.RunnerModel", lambda runner, cancelled=None: runner.model)
        world = new_world()
        request = ask(world, consents=[one.document for one in world.signed], types=None, nulls=None)
        return world, request, world.run(request)[REPORT_FILE]


def person(content: Json, place: int = 0) -> Json:
    found: Json = content["result"]["people"][place]
    return found


def item(content: Json) -> Json:
    found: Json = person(content)["items"][0]
    return found


TAMPERED: dict[str, Callable[[Json], Any]] = {
    "rank": lambda c: item(c)["measured"].update(rank=2),
    "rank of a decoy": lambda c: c["result"]["decoys"][0]["items"][0]["measured"].update(rank=1),
    "p": lambda c: item(c).update(p_value=0.5),
    "adjusted p": lambda c: item(c).update(p_adjusted=0.5),
    "verdict": lambda c: item(c).update(verdict="not detected"),
    "verdict of the person": lambda c: person(c).update(verdict="not detected"),
    "found": lambda c: c["result"].update(found=0),
    "commitment": lambda c: item(c).update(commitment="0" * 64),
    "length class": lambda c: item(c).update(length_class="1-4"),
    "item dropped": lambda c: person(c)["items"].pop(),
    "person dropped": lambda c: c["result"]["people"].pop(),
    "people swapped": lambda c: c["result"]["people"].reverse(),
    "person called canary": lambda c: person(c).update(origin="canary"),
    "person renamed": lambda c: person(c).update(id="subject-9"),
    "decoy dropped": lambda c: c["result"]["decoys"].pop(),
    "gate": lambda c: c["result"]["gate"].update(passes=False),
    "nulls": lambda c: c["result"]["plan"].update(nulls=999),
    "reference gone": lambda c: c["result"].update(reference=None),
    "other weights": lambda c: c["result"]["model"].update(digest="77" * 32),
    "attestation": lambda c: c["attestations"]["model"].update(model_digest="77" * 32),
    "attestation of the reference": lambda c: c["attestations"].pop("reference"),
    "consents": lambda c: c["consents"].reverse(),
    "consent dropped": lambda c: c["consents"].pop(),
    "late": lambda c: c.update(at=(NOW + timedelta(days=31)).strftime("%Y-%m-%dT%H:%M:%SZ")),
    "early": lambda c: c.update(at=(NOW - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")),
    "no time": lambda c: c.update(at=1),
    "request": lambda c: c.update(request="0" * 64),
    "format": lambda c: c.update(format="assay-privacy-probe/2"),
    "a member more": lambda c: c.update(note="x"),
    "no result": lambda c: c.update(result=[]),
    "no people": lambda c: c["result"].update(people=None),
}


def test_honest_evidence_passes(honest: tuple[World, AuditRequest, bytes]) -> None:
    world, request, evidence = honest
    assert world.judge(request, {REPORT_FILE: evidence}).verdict == "refuted"


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_evidence_is_refused(what: str, honest: tuple[World, AuditRequest, bytes]) -> None:
    world, request, evidence = honest
    content = json.loads(evidence)
    TAMPERED[what](content)
    with pytest.raises(EvidenceError):
        world.judge(request, {REPORT_FILE: canonical_bytes(content)})


def test_evidence_of_other_subjects_or_files_is_refused(honest: tuple[World, AuditRequest, bytes]) -> None:
    world, request, evidence = honest
    consents: list[Signed] = [sign(world.models[0].model.facts().digest or "", OTHER, new_subject(3))]
    other = ask(world, consents=[one.document for one in consents], types=None)
    content = {**json.loads(evidence), "request": other.sha256, "consents": [one.digest for one in consents]}
    with pytest.raises(EvidenceError):
        world.judge(other, {REPORT_FILE: canonical_bytes(content)})
    for files in ({}, {REPORT_FILE: evidence, "more": b""}, {REPORT_FILE: b"{"}):
        with pytest.raises(EvidenceError):
            world.judge(request, files)


def test_a_run_after_expiry_is_refused() -> None:
    world = new_world()
    world.signed[0] = sign(world.models[0].model.facts().digest or "", now=datetime.now(UTC) - timedelta(days=2), days=1)
    with pytest.raises(RequestError, match="expired"):
        world.run(ask(world))
