"""Attacks of the review on audits of privacy: acquittals that nothing supports, and evidence that says more than was measured."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from audit.canonical import canonical_bytes
from audit.errors import EvidenceError, RequestError
from audit.privacy.model_audit import REPORT_FILE
from audit.privacy.records import new_records
from privacy.invented.people import draw_people
from privacy.invented.values import TYPES, invent_value, is_invented
from privacy.probes.model import Access
from tests.unit.audit.privacy.runs import FakeRunner
from tests.unit.audit.privacy.runs import seen_models as seen_models
from tests.unit.audit.privacy.test_probe import PHONE, ask, new_world
from tests.unit.audit.privacy.test_record_audits import MEMBERS, extraction, unlearning
from tests.unit.privacy.fake_model import FakeModel

Json = dict[str, Any]
pytestmark = pytest.mark.usefixtures("seen_models")


class Twin(FakeRunner):
    """The same weights, registered a second time under another name."""

    def registration(self) -> bytes:
        return super().registration().replace(b'"name":"asked"', b'"name":"another"').replace(b'"nonce":"00"', b'"nonce":"01"')


def test_a_model_is_no_reference_of_its_own() -> None:
    """All calibrated scores were 0, all ranks the last, and the claim that nothing is memorised held."""
    world = new_world()
    world.models[1] = Twin(world.models[0].model)
    request = ask(world)
    with pytest.raises(RequestError, match="same weights"):
        world.run(request)
    case = unlearning()
    case.world.models[1] = Twin(case.world.models[0].model)
    with pytest.raises(RequestError, match="same weights"):
        case.world.run(case.ask(reference=case.world.digests[1]))


def test_evidence_of_one_model_registered_twice_is_refused() -> None:
    """A signer who skips the look before the run; the addresses are one, or the weights are."""
    world = new_world()
    request = ask(world)
    evidence = world.run(request)
    model, reference = world.models[0].model, world.models[1].model
    assert world.judge(request, evidence).verdict == "refuted"
    reference.name = model.name
    request = ask(world)
    content = json.loads(evidence[REPORT_FILE])
    content["request"] = request.sha256
    for part in (content["attestations"]["reference"], content["result"]["reference"]):
        part["model" if "model" in part else "name"] = model.name
        part["model_digest" if "model_digest" in part else "digest"] = reference.facts().digest
    with pytest.raises(EvidenceError, match="registered twice"):
        world.judge(request, {REPORT_FILE: canonical_bytes(content)})


@pytest.mark.parametrize("rate", [0.99, 0.5, 0.41])
def test_decoys_that_leak_cannot_be_tolerated(rate: float) -> None:
    """With a tolerated rate of .99 a run whose decoys were nearly all accused gave verdicts."""
    with pytest.raises(RequestError, match=r"below 0\.4"):
        ask_and_read(new_world(), decoy_rate=rate)


def ask_and_read(world: Any, **changed: Any) -> Any:
    from audit.kinds import build_registry

    return build_registry().get("privacy.probe").parse_params(ask(world, **changed).params)


def test_one_answer_acquits_nobody() -> None:
    world = new_world(access=Access.TEXT)
    with pytest.raises(RequestError, match="1 answers cannot decide"):
        world.run(ask(world, tier="text", samples=1, reference=None))


def test_a_back_end_that_lists_next_to_nothing_acquits_nobody() -> None:
    """No value that was asked for is listed, every rank is 1 to N + 1, and the worst of them was called "not detected"."""
    world = new_world(planted=False, access=Access.TOP_K)
    world.models[0].model.top_k = 1
    world.models[1] = FakeRunner(FakeModel(2, Access.FULL, name="reference"))
    outcome = world.judge(request := ask(world, tier="top-k"), world.run(request))
    (person,) = outcome.outputs["people"]
    assert person["items"][0]["verdict"] == "not detected" and outcome.verdict == "inconclusive"
    assert "too few tokens are listed" in outcome.checks[-1].detail


@pytest.mark.parametrize("type_", TYPES)
def test_what_is_invented_is_told_from_what_is_not(type_: str) -> None:
    rng = random.Random(4)
    assert all(is_invented(type_, invent_value(type_, rng)) for _ in range(50))


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("phone", "212-867-5301"), ("email", "una.harrowwick@mail.example"), ("email", "una@example.org"), ("number", "none"),
        ("address", "12 Maple Street, Amberburgh, IL 00012"), ("address", "12 Alderwick Road, Springfield, IL 62701"),
        ("us-ssn", "219-09-9999"), ("payment-card", "4111 1111 1111 1111"), ("affiliation", "A Real College"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
    ],
)  # fmt: skip
def test_real_values_are_no_canaries(type_: str, value: str) -> None:
    assert not is_invented(type_, value)


def test_people_who_never_consented_are_not_asked_about_as_canaries() -> None:
    """Their values, called canaries by the owner of a model, had an exact basis and needed no consent."""
    world = new_world(False)
    people = [dict(person.values) for person in draw_people(random.Random(7), 3, ("phone", "email"))]
    people[1]["phone"] = "212-867-5301"
    data, commitment = new_records({"subject": people})
    world.records[commitment] = data
    params: Json = {"consents": None, "reference": None, "people": 3, "records": commitment, "types": ["phone", "email"]}
    with pytest.raises(RequestError, match="subject-2 is no canary: its phone") as refused:
        world.run(ask(world, **params, nulls=59))
    assert "867" not in str(refused.value)


def test_a_label_that_nobody_measured_is_refused() -> None:
    world = new_world()
    request = ask(world)
    content = json.loads(world.run(request)[REPORT_FILE])
    for row, group in ((content["result"]["people"][0], "known fraud"), (content["result"]["decoys"][0], PHONE)):
        changed = json.loads(json.dumps(content))
        rows = changed["result"]["people" if row["origin"] == "consented" else "decoys"]
        rows[0]["group"] = group
        with pytest.raises(EvidenceError):
            world.judge(request, {REPORT_FILE: canonical_bytes(changed)})


def test_a_difference_that_was_not_found_is_no_equality() -> None:
    """One record of twenty is extracted word for word: too few for the test, and the claim held."""
    outcome = extraction(MEMBERS[:1]).outcome()
    assert outcome.outputs["verdict"] == "not detected" and outcome.verdict == "inconclusive"
    assert "1 of 20 records are extracted all the same" in outcome.checks[-1].detail


def test_margins_are_told_with_the_verdict() -> None:
    case = unlearning()
    case.params |= {"margins": {"probability": 0.99, "rank": 0.99}, "original": None}
    request = case.world.request(
        case.kind, **{name: value for name, value in {"records": case.commitment, **case.params}.items() if value is not None}
    )
    outcome = case.world.judge(request, case.world.run(request))
    assert any(sentence.startswith("margins: probability 0.99, rank 0.99; attacks: none") for sentence in outcome.conditions)
    assert any("anything to forget is not shown" in sentence for sentence in outcome.conditions)
