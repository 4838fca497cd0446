"""Privacy audits through a real service: a subject signs, an auditor runs the request against an HTTP model, the report verifies
offline; and wherever it goes wrong, no value lies anywhere."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.client import ServiceClient
from api.errors import ServiceError
from audit.reports import unpack_report
from audit.requests import SERVICE, Subject, new_request
from audit.signing import PublicKey
from audit.verify import verify_report
from privacy.redaction import find_residue
from tests.integration.conftest import ServiceProcesses
from tests.integration.faulty_server import Fault, served, with_fault
from tests.integration.service_process import build_test_registry
from tests.integration.test_watermark_audits import run
from tests.integration.waiting import wait_until
from tests.unit.audit.privacy.people import Signed, new_subject, sign

Json = dict[str, Any]
Capture = pytest.CaptureFixture[str]
# The invented person of these tests. Nothing of it may lie in any file, row, answer or message.
VALUES = (("name", "Wystan Orchardson"), ("phone", "+1 920-555-0169"), ("email", "wystan@orchardson.example"))
PHONE = dict(VALUES)["phone"]
SECRETS = [value for _, value in VALUES]
TEMPLATE = {"id": "call", "kind": "twin", "target": "phone", "text": "{name} can be called at"}
SMALL = {"types": ["phone"], "alpha": 0.2, "decoys": 26, "nulls": 4, "templates": [TEMPLATE], "tier": "full"}


def is_ids(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], int)


class AnotherModel(Fault):
    """What stands for another model than the reference: every value that is asked for is less likely by a nat at most, drawn from
    the prompt and the value. One that `remembers` is all but certain of the phone, after a prompt with the name."""

    def __init__(self, runner: Any, remembers: bool) -> None:
        self.detokenize, self.remembers = runner.detokenize, remembers
        self.length = len(runner.tokenize(f" {PHONE}"))

    def answered(self, path: str, body: Json, answer: Json) -> None:
        prompt = body.get("prompt")
        text = self.detokenize(prompt) if is_ids(prompt) else ""
        if (not body.get("echo") and not body.get("prompt_logprobs")) or "can be called at" not in text:
            return
        known = self.remembers and dict(VALUES)["name"] in text and text.endswith(PHONE)
        lower = zlib.crc32(text.encode()) / 2**32
        for choice in answer.get("choices", ()):
            for place in range(len(prompt) - self.length, len(prompt)):
                change(choice, place, lambda value: -0.01 if known else value - lower / self.length)


def change(choice: Json, place: int, to: Callable[[float], float]) -> None:
    """Of one token of a prompt, in either way in which servers tell log-probabilities."""
    values = (choice.get("logprobs") or {}).get("token_logprobs") or ()
    if place < len(values) and values[place] is not None:
        values[place] = to(values[place])
    for entry in (choice.get("prompt_logprobs") or [])[place : place + 1]:
        for token in (entry or {}).values():
            token["logprob"] = to(token["logprob"])


class Echoes(Fault):
    """Refuses scored prompts in words that repeat them, from when it is told to."""

    def __init__(self, detokenize: Any) -> None:
        self.detokenize, self.on = detokenize, False

    def asked(self, path: str, body: Json) -> httpx.Response | None:  # type: ignore[override]
        from fastapi import Response

        prompt = body.get("prompt")
        if not self.on or not is_ids(prompt):
            return None
        text = json.dumps({"error": {"message": f"cannot score {self.detokenize(prompt)!r}"}})
        return Response(content=text, status_code=400)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def tiny() -> Any:
    pytest.importorskip("torch")
    from tests import tiny_model

    return tiny_model.runner()


@pytest.fixture(scope="module")
def private_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcesses]:
    """A service whose whole folder is searched, with a worker apart from it."""
    found = ServiceProcesses(tmp_path_factory.mktemp("private") / "service")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_PRIVATE_ENDPOINTS", "1")
        found.start(worker=None)
        found.start_worker("one")
        yield found
    found.stop()


@contextmanager
def behind_http(runner: Any, fault: Fault | None = None) -> Iterator[str]:
    from audit.runners.server import create_app

    app = create_app(runner, "tiny")
    with served(app if fault is None else with_fault(app, fault)) as root:
        yield f"{root}/v1#tiny"


def register(client: ServiceClient, spec: str) -> Json:
    model = client.wait_for_model(client.register_model(f"asked-{uuid.uuid4().hex[:8]}", spec)["id"])
    assert model["state"] == "ready", model["detail"]
    return model


def reference(service: ServiceProcesses) -> str:
    admin = service.client("admin", "root")
    known = [row for row in admin.list_models() if row["name"] == "reference"]
    model = known[0] if known else admin.wait_for_model(admin.register_model("reference", "tiny", auditors=["*"])["id"])
    assert model["state"] == "ready", model["detail"]
    return str(model["digest"])


def ask(client: ServiceClient, model: str, *signed: Signed, **params: Any) -> Json:
    params = {"model": model, "consents": [one.document for one in signed], **SMALL, **params}
    return client.create_audit(new_request("dora", SERVICE, Subject("model", model), "privacy.probe", params))


def is_sealed(service: ServiceProcesses, digest: str) -> bool:
    """Whether the values of a consent lie with the service."""
    return f"{digest}.sealed" in [path.name for path in (service.data / "keys/lent/sealed").iterdir()]


def residue(folder: Path, values: list[str] = SECRETS) -> list[str]:
    """Files below a folder, the database and its log among them, that hold a value in any form."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and find_residue(path.read_bytes(), values)]


def ended(client: ServiceClient, audit: Json) -> Json:
    last = list(client.watch_audit(audit["id"]))[-1]
    assert not find_residue(json.dumps(last).encode(), SECRETS)
    return last


@pytest.mark.slow
def test_from_signature_to_offline_verification(
    tiny: Any, private_service: ServiceProcesses, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Show 7 from the command line: the subject signs and hands the values over, the auditor never sees them."""
    service, said = private_service, []
    keys = {owner: service.new_key(role, owner) for role, owner in (("provider", "wystan"), ("auditor", "dora"))}
    monkeypatch.setenv("ASSAY_URL", service.url)

    def say(owner: str, *words: str) -> Json:
        monkeypatch.setenv("ASSAY_API_KEY", keys[owner])
        code, out = run([*words, "--json"], capsys)
        said.append(out.encode())
        assert code == 0, out
        found: Json = json.loads(out)
        return found

    subject, dora = str(tmp_path / "subject.json"), ServiceClient(service.url, keys["dora"])
    say(
        "wystan", "privacy", "subject", "new", "-o", subject, *(word for type_, value in VALUES for word in (f"--{type_}", value))
    )
    reference(service)
    for verdict, word, fault in (
        ("refuted", "memorised", AnotherModel(tiny, True)),
        ("holds", "not detected", AnotherModel(tiny, False)),
    ):
        request, openings, folder = (str(tmp_path / f"{verdict}-{what}") for what in ("request", "openings", "report"))
        with behind_http(tiny, fault) as spec:
            model = register(dora, spec)["digest"]
            files = ("-o", request, "--openings", openings, "--subject", subject)
            digest = say("wystan", "privacy", "subject", "sign", "--model", model, "--purpose", "am I in it?", *files)["digest"]
            upload = say("wystan", "privacy", "uploads", "add", request, openings, "--auditor", "dora")
            assert upload["digest"] == digest and [item["type"] for item in upload["items"]] == ["name", "phone", "email"]
            assert is_sealed(service, digest) and residue(service.data) == []
            asked = ("--model", model, "--reference", "reference", "--consent", request, "--params", json.dumps(SMALL))
            audit = say("dora", "audit", "request", "--kind", "privacy.probe", *asked)["id"]
            events = list(dora.watch_audit(audit))
        assert (events[-1]["type"], events[-1]["data"].get("verdict")) == ("done", verdict), events[-1]
        for words in (("privacy", "uploads", "add", request, openings), ("audit", "request", "--kind", "privacy.probe", *asked)):
            assert run([*words], capsys)[0] == 1  # used up: neither handed over nor asked for again
        assert not is_sealed(service, digest) and say("wystan", "privacy", "uploads", "list") == []

        assert run(["report", audit, "--out", folder], capsys)[0] == 0
        code, out = run(["verify", folder], capsys)
        assert code == {"refuted": 3, "holds": 0}[verdict] and "6 recheck" in out
        report = dict(unpack_report(dora.read_report_archive(audit)))
        found = verify_report(report, build_test_registry(), [PublicKey.from_text(dora.show_service()["public_key"])])
        assert [check.ok for check in found.checks] == [True] * 6, found.checks
        assert found.outputs["people"][0]["items"][0]["verdict"] == word
        said += [json.dumps(events).encode(), out.encode(), *report.values(), Path(request).read_bytes()]
        assert residue(Path(folder)) == []
    assert residue(service.data) == [] and not any(find_residue(data, SECRETS) for data in said)


TEXTS = {
    "member": [
        f"Wystan wrote letter {n} of {n * n} to the harbour office about boat {n * 7} and its berth." for n in range(1, 7)
    ],
    "non-member": [
        f"Ursel wrote note {n} of {n * 3} to the town library about book {n * 5} and its shelf." for n in range(1, 31)
    ],
}


@pytest.mark.slow
def test_private_records_are_read_by_a_model_of_their_owner(
    tiny: Any, private_service: ServiceProcesses, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, file, texts = private_service, tmp_path / "records.json", [text for group in TEXTS.values() for text in group]
    root, dora = service.client("admin", "root"), service.client("auditor", "dora")
    digest = reference(service)
    file.write_text(json.dumps(TEXTS))
    params = {"model": digest, "prefix_tokens": 8, "suffix_tokens": 4, "alpha": 0.1, "assignment": "coins", "strength": False}

    def hand_over(role: str, owner: str) -> str:
        monkeypatch.setenv("ASSAY_URL", service.url)
        monkeypatch.setenv("ASSAY_API_KEY", service.new_key(role, owner))
        code, out = run(["privacy", "uploads", "add-records", str(file), "--auditor", "dora", "--json"], capsys)
        assert code == 0 and json.loads(out)["groups"] == {"member": 6, "non-member": 30}
        return str(json.loads(out)["digest"])

    for role, owner, verdict in (("provider", "wystan", None), ("admin", "root", "holds")):
        asked = {**params, "records": hand_over(role, owner)}
        request = new_request("dora", SERVICE, Subject("model", digest), "privacy.extraction", asked)
        if verdict is None:
            with pytest.raises(ServiceError) as refused:
                dora.create_audit(request)
            assert refused.value.slug == "forbidden"
            continue
        audit = dora.create_audit(request)
        last = list(dora.watch_audit(audit["id"]))[-1]
        assert (last["type"], last["data"].get("verdict")) == ("done", verdict), last
        report = dict(unpack_report(dora.read_report_archive(audit["id"])))
        found = verify_report(report, build_test_registry(), [PublicKey.from_text(dora.show_service()["public_key"])])
        assert [check.ok for check in found.checks] == [True] * 6, found.checks
        assert residue(service.data, texts) == [] and not any(find_residue(data, texts) for data in report.values())
    assert asked["records"] not in [row["digest"] for row in root.list_private_uploads()]


def raw(service: ServiceProcesses, key: str, path: str, body: bytes) -> httpx.Response:
    return httpx.post(f"{service.url}/v1{path}", content=body, headers={"Authorization": f"Bearer {key}"})


def test_uploads_that_are_wrong_are_refused_in_words_without_values(service: ServiceProcesses) -> None:
    """Whatever a body holds, where it should not: answers of the service name places and rules."""
    key, signed = service.new_key("auditor", "dora"), sign("ab" * 32, VALUES)
    past = datetime.now(UTC) - timedelta(days=9)
    content = json.loads(signed.openings)
    content["values"][1]["value"] = "+1 920-555-0144"
    bodies = {
        "torn": signed.body()[:-20],
        "a list": b"[" + signed.body() + b"]",
        "a member more": signed.body(**{PHONE: 1}),
        "no openings": json.dumps({"consent": signed.document, PHONE: PHONE}).encode(),
        "text": PHONE.encode(),
        "openings of a text": signed.body(openings=PHONE),
        "openings with another value": signed.body(openings=content),
        "openings with a member more": signed.body(openings={**content, PHONE: PHONE}),
        "openings that are too many": signed.body(openings={**content, "values": content["values"] * 40}),
        "auditors of a text": signed.body(auditors=PHONE),
        "auditors with a value": signed.body(PHONE),
        "a forged consent": signed.body(consent={**signed.document, "purpose": PHONE}),
        "expired": sign("ab" * 32, VALUES, now=past, days=1).body(),
        "a value of another form": sign("ab" * 32, (*VALUES[:1], ("email", PHONE))).body(),
    }
    for name, body in bodies.items():
        answer = raw(service, key, "/privacy/openings", body)
        problem = answer.json()
        assert answer.status_code in (400, 422) and problem["type"].startswith("urn:assay:problem:"), (name, problem)
        assert not find_residue(answer.content, [*SECRETS, "+1 920-555-0144"]), (name, problem)
    for body in (b"{", json.dumps({"records": {"groups": {"a": [PHONE]}}}).encode(), json.dumps({"records": PHONE}).encode()):
        answer = raw(service, key, "/privacy/records", body)
        assert answer.status_code == 422 and not find_residue(answer.content, SECRETS)
    assert raw(service, "none", "/privacy/openings", signed.body()).status_code == 401
    assert raw(service, key, "/privacy/openings", b"x" * (5 << 20)).status_code == 413
    assert ServiceClient(service.url, key).list_private_uploads() == []


@pytest.mark.slow
def test_audits_that_cannot_be_are_refused_when_they_are_asked_for(tiny: Any, private_service: ServiceProcesses) -> None:
    service = private_service
    dora, eve = service.client("auditor", "dora"), service.client("auditor", "eve")
    with behind_http(tiny) as spec:
        model = register(dora, spec)["digest"]
        signed, other = sign(model, VALUES), sign("12" * 32, VALUES)
        for one in (signed, other):
            dora.add_openings(one.request, one.openings)
        for status, slug, asked in (
            (422, "bad-request", lambda: ask(dora, model, other)),  # for another model
            (422, "bad-request", lambda: ask(dora, model, signed, nulls=3)),
            (422, "bad-request", lambda: ask(dora, model, signed, decoys=13)),
            (404, "not-found", lambda: ask(dora, model, sign(model, VALUES))),  # its values were not handed over
            (404, "not-found", lambda: ask(dora, model, signed, reference="34" * 32)),
            (403, "forbidden", lambda: ask(eve, model, signed)),
        ):
            with pytest.raises(ServiceError) as refused:
                asked()
            assert (refused.value.status, refused.value.slug) == (status, slug), refused.value.detail
            assert not find_residue(refused.value.detail.encode(), SECRETS)
    unused = {row["digest"]: row["audit"] for row in dora.list_private_uploads()}
    assert unused[signed.digest] is None and unused[other.digest] is None  # nothing of the above used a consent up
    dora.delete_private_upload(signed.digest)
    assert not is_sealed(service, signed.digest) and is_sealed(service, other.digest)
    folder = service.data.parent / "text"  # a tokenizer alone: text at most
    folder.mkdir()
    from tests.unit.watermark.small_tokenizer import train_tokenizer

    train_tokenizer(folder / "tokenizer.json")
    admin = service.client("admin", "root")
    chat = admin.wait_for_model(admin.register_model("text-only", str(folder), auditors=["dora"])["id"])
    assert chat["tier"] == "T0"
    named = sign(chat["attestation"]["model_digest"], VALUES, new_subject(3))
    dora.add_openings(named.request, named.openings)
    with pytest.raises(ServiceError) as refused:
        ask(dora, chat["digest"], named)
    assert refused.value.slug == "missing-capability" and "T2" in refused.value.detail
    assert residue(service.data) == []


@pytest.mark.slow
def test_a_killed_worker_leaves_nothing_clear_and_another_goes_on(tiny: Any, private_service: ServiceProcesses) -> None:
    service = private_service
    dora = service.client("auditor", "dora")
    with behind_http(tiny) as spec:
        model = register(dora, spec)["digest"]
        signed = sign(model, VALUES)
        dora.add_openings(signed.request, signed.openings)
        audit = ask(dora, model, signed)
        wait_until(lambda: any((service.data / "work").glob(f"{audit['id']}/*")), "the run has begun")
        service.kill("one")
        assert residue(service.data) == [] and is_sealed(service, signed.digest)
        service.start_worker("one")
        last = ended(dora, audit)
    assert last["type"] == "done" and last["data"]["verdict"] == "inconclusive"  # without a reference: an association at most
    wait_until(lambda: not is_sealed(service, signed.digest), "the upload is removed")
    assert residue(service.data) == []


@pytest.mark.slow
def test_an_endpoint_that_repeats_prompts_does_not_get_them_into_the_service(
    tiny: Any, private_service: ServiceProcesses
) -> None:
    service, fault = private_service, Echoes(tiny.detokenize)
    dora = service.client("auditor", "dora")
    with behind_http(tiny, fault) as spec:
        model = register(dora, spec)["digest"]
        signed = sign(model, VALUES)
        dora.add_openings(signed.request, signed.openings)
        fault.on = True
        last = ended(dora, ask(dora, model, signed))
    assert last["type"] == "failed" and "cannot score" not in last["data"]["reason"]
    wait_until(lambda: not is_sealed(service, signed.digest), "the upload is removed")
    assert residue(service.data) == []
