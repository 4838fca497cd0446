"""`privacy.whitebox`: people who signed or canaries are tuned on and measured; the same person never both."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from audit.canonical import canonical_bytes
from audit.errors import EvidenceError, RequestError
from audit.kinds import build_registry
from audit.privacy.model_audit import REPORT_FILE
from audit.privacy.records import new_records
from audit.registry import Outcome
from audit.requests import AuditRequest
from privacy.people import Person
from privacy.redaction import find_residue
from tests.unit.audit.privacy.people import new_subject, sign
from tests.unit.audit.privacy.runs import FakeRunner, World
from tests.unit.privacy.probes.test_white_box import TEMPLATES, TESTED, TRAINED, Remembering

Json = dict[str, Any]
KIND = "privacy.whitebox"
SMALL = {
    "types": ["phone"], "alpha": 0.1, "decoys": 29, "nulls": 119, "templates": [one.to_json() for one in TEMPLATES],
    "soft_tokens": 2, "steps": 60, "rate": 0.2, "batch": 8, "check_every": 10,
}  # fmt: skip
SECRETS = [value for person in (*TRAINED, *TESTED) for value in person.values.values()]


class Knowing(Remembering):
    name = "asked"


@pytest.fixture(autouse=True, scope="module")
def seen() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("audit.runners.probed_model.RunnerModel", lambda runner, cancelled=None: runner.model)
        patch.setattr("audit.runners.white_box_model.InProcessWhiteBox", lambda runner, cancelled=None: runner.model)
        yield


def new_world(known: Sequence[Person] = (*TRAINED, *TESTED)) -> World:
    model: Any = Knowing(known, 3.5)
    world = World([FakeRunner(model)])
    digest = model.facts().digest
    people = [*TRAINED, *TESTED]
    world.signed = [sign(digest, tuple(person.values.items()), new_subject(n)) for n, person in enumerate(people, 1)]
    groups = {"trained": [dict(person.values) for person in TRAINED], "subject": [dict(person.values) for person in TESTED]}
    data, commitment = new_records(groups)
    world.records[commitment] = data
    return world


def by_consent(world: World, **changed: Any) -> AuditRequest:
    documents = [one.document for one in world.signed]
    return world.request(KIND, **{"train": documents[:20], "consents": documents[20:], **SMALL, **changed})


def by_canaries(world: World, **changed: Any) -> AuditRequest:
    (commitment,) = world.records
    return world.request(KIND, **{"trained": 20, "people": 12, "records": commitment, **SMALL, **changed})


def outcome_of(world: World, request: AuditRequest) -> tuple[bytes, Outcome]:
    evidence = world.run(request)[REPORT_FILE]
    return evidence, world.judge(request, {REPORT_FILE: evidence})


@pytest.fixture(scope="module")
def made() -> tuple[World, AuditRequest, bytes, Outcome]:
    world = new_world()
    request = by_canaries(world)
    return world, request, *outcome_of(world, request)


def test_what_a_prompt_recalls_of_others_is_shown(made: tuple[World, AuditRequest, bytes, Outcome]) -> None:
    _, _, evidence, outcome = made
    assert outcome.verdict == "refuted" and outcome.outputs["word"] == "gain shown", outcome
    assert any("are canaries" in sentence for sentence in outcome.conditions)
    assert not find_residue(evidence + json.dumps(outcome.to_json()).encode(), SECRETS)


def test_a_model_that_knows_nobody_shows_nothing() -> None:
    world = new_world(())
    _, outcome = outcome_of(world, by_canaries(world))
    assert outcome.outputs["word"] == "no gain shown" and outcome.verdict == "holds", outcome


def test_people_who_signed_are_asked_about_by_consent() -> None:
    world = new_world()
    request = by_consent(world)
    needs: Any = build_registry().get(KIND)
    assert needs.needs(request.params).openings == tuple(one.digest for one in world.signed)
    evidence, outcome = outcome_of(world, request)
    assert outcome.outputs["word"] == "gain shown" and "32 signed" in outcome.checks[0].detail
    assert outcome.verdict == "inconclusive"  # without a reference; and real values may gain by what they look like
    assert not find_residue(evidence, SECRETS)


TAMPERED: list[Callable[[Json], Any]] = [
    lambda c: c["result"].update(word="no gain shown"),
    lambda c: c["result"]["prompted"]["people"][0]["items"][0]["measured"].update(rank=9),
    lambda c: c["result"]["prompted"]["people"].pop(),
    lambda c: [c["result"][name]["people"].reverse() for name in ("black_box", "control", "prompted")],
    lambda c: c["result"]["gains"].pop(),
    lambda c: c["result"]["prompts"].pop(),
    lambda c: c["result"]["prompts"][0].update(model="77" * 32),
    lambda c: [prompt.update(subjects=400) for prompt in c["result"]["prompts"]],
    lambda c: c["result"]["plan"]["tuning"].update(seed="x"),
    lambda c: c["result"]["plan"]["tuning"].update(steps=1),
    lambda c: c["result"]["black_box"]["model"].update(digest="77" * 32),
    lambda c: c.update(records=[]),
    lambda c: c.update(result=None),
]


@pytest.mark.parametrize("place", range(len(TAMPERED)))
def test_tampered_evidence_is_refused(place: int, made: tuple[World, AuditRequest, bytes, Outcome]) -> None:
    world, request, evidence, _ = made
    content = json.loads(evidence)
    TAMPERED[place](content)
    with pytest.raises(EvidenceError):
        world.judge(request, {REPORT_FILE: canonical_bytes(content)})


def test_bad_parameters_are_refused() -> None:
    world = new_world()
    documents = [one.document for one in world.signed]
    kind = build_registry().get(KIND)
    for reason, changed in (
        ("name whom to ask", {"train": None}),
        ("goes with", {"train": None, "trained": 20}),
        ("at least 10 people to tune on", {"train": documents[:9]}),
        ("at least 10 people to measure", {"consents": documents[20:29]}),
        ("name the same consent", {"consents": documents[10:]}),
        ("nulls", {"nulls": 118}),
        ("kind of its default", {"steps": "many"}),
        ("steps", {"steps": 0}),
        ("no parameter", {"tuning": {}}),
        ("no parameter", {"tier": "full"}),
    ):
        params = {name: value for name, value in by_consent(world, **changed).params.items() if value is not None}
        with pytest.raises(RequestError, match=reason):
            kind.parse_params(params)
