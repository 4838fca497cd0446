"""Audits that the service runs itself, with keys that have owners: whatever goes wrong, no key leaves the vault."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.client import ServiceClient
from api.errors import ServiceError
from audit.reports import unpack_report
from audit.requests import SERVICE, Subject, new_request
from audit.signing import PrivateKey, PublicKey
from audit.subjects import text_subject
from audit.verify import verify_report
from tests.integration.conftest import ServiceProcesses
from tests.integration.service_process import build_test_registry
from tests.integration.waiting import wait_for_lines, wait_until
from tests.unit.watermark.gumbel_texts import gumbel_text
from tests.unit.watermark.small_tokenizer import TEXT, train_tokenizer
from watermark.keys import WatermarkKey, new_key, to_json

DOCUMENTS = [{"id": "a", "input_ids": [1, 2, 3]}]


@pytest.fixture(scope="module")
def key() -> WatermarkKey:
    return new_key("vllm-gumbel", {})[0]


def lend(service: ServiceProcesses, key: WatermarkKey, owner: str, auditors: list[str]) -> dict[str, Any]:
    client = service.client("provider", owner)
    return client.add_watermark_key(to_json(key), auditors)


def detect(client: ServiceClient, auditor: str, key: str, documents: list[dict[str, Any]], **params: Any) -> dict[str, Any]:
    """At a level that no clean text reaches by chance, whatever the key."""
    params = {"key": key, "documents": documents, "alpha": 1e-8, **params}
    return client.create_audit(new_request(auditor, SERVICE, text_subject(documents), "watermark.detect", params))


def count(client: ServiceClient, auditor: str, **params: Any) -> dict[str, Any]:
    """With `gate`, a file that does not exist, the count goes on until the test makes it."""
    params = {"documents": DOCUMENTS, **params}
    return client.create_audit(new_request(auditor, SERVICE, text_subject(DOCUMENTS), "test.counting", params))


def last_event(client: ServiceClient, audit: dict[str, Any]) -> dict[str, Any]:
    return list(client.watch_audit(audit["id"]))[-1]


def every_byte(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def test_texts_are_tested_from_request_to_offline_verification(
    service: ServiceProcesses, key: WatermarkKey, tmp_path: Path
) -> None:
    lend(service, key, "key-owner", ["alice"])
    alice = service.client("auditor", "alice")
    folder = tmp_path / "small"
    folder.mkdir()
    train_tokenizer(folder / "tokenizer.json")
    model = service.client("admin", "root").register_model("small", str(folder), auditors=["*"])
    model = alice.wait_for_model(model["id"])
    assert model["state"] == "ready" and model["tier"] == "T0" and str(tmp_path) not in json.dumps(model)
    marked = gumbel_text(key.config, 300, 1).tolist()
    documents = [
        {"id": "marked", "input_ids": marked},
        {"id": "plain", "input_ids": np.random.default_rng(2).integers(0, 500, 300).tolist()},
        {"id": "text", "text": TEXT},
        {"id": "short", "input_ids": [1, 2, 3]},
    ]
    audit = detect(alice, "alice", key.commitment, documents, tokenizer=model["digest"])
    events = list(alice.watch_audit(audit["id"]))
    assert [event["type"] for event in events if event["type"] != "progress"] == ["requested", "evidence_received", "done"]
    assert any(event["type"] == "progress" for event in events)
    assert events[-1]["data"]["verdict"] == "inconclusive"  # nothing was claimed

    files = unpack_report(alice.read_report_archive(audit["id"]))
    found = verify_report(files, build_test_registry(), [PublicKey.from_text(alice.show_service()["public_key"])])
    assert [check.ok for check in found.checks] == [True] * 6 and found.verdict == "inconclusive"
    decisions = {item["id"]: item["decision"] for item in found.outputs["documents"]}
    assert decisions["marked"] == "watermarked" and decisions["plain"] == "not_detected" and decisions["short"] == "inconclusive"
    assert decisions["text"] != "watermarked"
    assert any("word of the signer" in sentence for sentence in found.conditions)
    assert '"marked"' in files["report.txt"].decode() and "<svg" in files["figure.svg"].decode()
    assert f"evidence/published/models/{model['digest']}.json" in files


def test_a_claim_makes_a_verdict(service: ServiceProcesses, key: WatermarkKey) -> None:
    lend(service, key, "key-owner", ["alice"])
    alice = service.client("auditor", "alice")
    marked = [{"id": "m", "input_ids": gumbel_text(key.config, 300, 3).tolist()}]
    clean = [{"id": "c", "input_ids": np.random.default_rng(4).integers(0, 500, 300).tolist()}]
    cases = [(marked, "watermarked", "holds"), (marked, "unmarked", "refuted"), (clean, "watermarked", "refuted")]
    for documents, claim, verdict in [*cases, (clean, "unmarked", "holds"), (DOCUMENTS, "unmarked", "inconclusive")]:
        audit = detect(alice, "alice", key.commitment, documents, claim=claim)
        assert last_event(alice, audit)["data"]["verdict"] == verdict


def test_only_its_owner_and_named_auditors_use_a_key(service: ServiceProcesses) -> None:
    key = new_key("vllm-gumbel", {})[0]
    shown = lend(service, key, "key-owner", ["alice"])
    assert shown["commitment"] == key.commitment and shown["auditors"] == ["alice"]
    alice, bob = service.client("auditor", "alice"), service.client("auditor", "bob")
    assert "auditors" not in next(row for row in alice.list_watermark_keys() if row["commitment"] == key.commitment)
    assert key.commitment not in [row["commitment"] for row in bob.list_watermark_keys()]
    for client, auditor in ((bob, "bob"), (service.client("admin", "root"), "bob")):
        with pytest.raises(ServiceError) as refused:
            detect(client, auditor, key.commitment, DOCUMENTS)
        assert refused.value.status == 404
    with pytest.raises(ServiceError) as taken:
        lend(service, key, "mallory", ["mallory"])
    assert taken.value.status == 409
    with pytest.raises(ServiceError, match="only its owner"):
        alice.call("DELETE", f"/watermark-keys/{key.commitment}")
    with pytest.raises(ServiceError, match="named auditors"):
        lend(service, key, "key-owner", ["*"])
    service.client("provider", "key-owner").call("DELETE", f"/watermark-keys/{key.commitment}")
    with pytest.raises(ServiceError):
        detect(alice, "alice", key.commitment, DOCUMENTS)
    assert not list(service.data.rglob(f"*{key.commitment}*"))


def test_a_key_taken_back_stops_an_audit_that_waits_for_it(processes: ServiceProcesses, key: WatermarkKey) -> None:
    service = processes.start(worker=None)
    lend(service, key, "key-owner", ["alice"])
    alice = service.client("auditor", "alice")
    audit = detect(alice, "alice", key.commitment, DOCUMENTS)
    lend(service, key, "key-owner", [])
    service.start_worker("one")
    event = last_event(alice, audit)
    assert event["type"] == "failed" and "that you may use" in event["data"]["reason"]


def test_a_service_run_is_nothing_for_providers(service: ServiceProcesses, key: WatermarkKey, tmp_path: Path) -> None:
    from audit.errors import RequestError
    from audit.publications import sign_registration

    own = PrivateKey.generate()
    with pytest.raises(ServiceError, match="reserved"):
        service.client("provider", SERVICE).register_provider(sign_registration(SERVICE, own, own.public))
    with pytest.raises(ServiceError) as hidden:
        service.client("admin", "root").call("GET", f"/providers/{SERVICE}")
    assert hidden.value.status == 404
    lend(service, key, "key-owner", ["alice"])
    alice = service.client("auditor", "alice")
    for request in (
        new_request("alice", SERVICE, Subject("run", "ab" * 32), "test.preimage", {"sha256": "ab" * 32}),
        new_request("alice", "acme", text_subject(DOCUMENTS), "test.counting", {"documents": DOCUMENTS}),
        new_request("alice", SERVICE, text_subject([]), "test.counting", {"documents": DOCUMENTS}),
        new_request("alice", SERVICE, Subject("model", "ab" * 32), "test.counting", {"documents": DOCUMENTS}),
        new_request("alice", SERVICE, Subject("run", "ab" * 32), "test.counting", {"documents": DOCUMENTS}),
    ):
        with pytest.raises(ServiceError) as refused:
            alice.create_audit(request)
        assert refused.value.status == 422
    audit = count(alice, "alice", gate=str(tmp_path / "gate"))
    for role in ("provider", "admin"):
        with pytest.raises(ServiceError) as unclaimed:
            service.client(role, SERVICE).claim(audit["id"], "agent", 60)
        assert unclaimed.value.status in (403, 404)
    assert alice.cancel_audit(audit["id"])["state"] == "cancelled"
    kind = build_test_registry().get("watermark.detect")
    with pytest.raises(RequestError, match="run by the service"):
        kind.answer(new_request("a", SERVICE, text_subject([]), "watermark.detect", {}), Path(), lambda *_: None, lambda: False)


def test_cancelling_stops_a_run_and_no_report_follows(service: ServiceProcesses, tmp_path: Path) -> None:
    alice = service.client("auditor", "alice")
    audit = count(alice, "alice", gate=str(tmp_path / "gate"))
    for event in alice.watch_audit(audit["id"]):
        if event["type"] == "progress":
            alice.cancel_audit(audit["id"])
    assert event["type"] == "cancelled"
    again = count(alice, "alice")  # the worker is free again
    assert last_event(alice, again)["type"] == "done"
    with pytest.raises(ServiceError):
        alice.read_report(audit["id"])
    wait_until(lambda: not (service.data / "work" / audit["id"]).exists(), "the working folder went")


def test_failures_have_public_reasons_and_defects_show_no_key(
    processes: ServiceProcesses, capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole data folder, every answer and the log are searched for the key; only the vault's own file may hold it."""
    service = processes.start()
    key = new_key("vllm-gumbel", {})[0]
    secrets = [str(key.config["key"]).encode(), key.blinding.hex().encode()]
    shown = lend(service, key, "key-owner", ["alice"])
    alice = service.client("auditor", "alice")
    known = last_event(alice, count(alice, "alice", fail="known"))
    assert known["type"] == "failed" and known["data"]["reason"] == "there is nothing to count"
    defect = last_event(alice, count(alice, "alice", fail="defect", key=key.commitment))
    assert defect["type"] == "failed" and "operator" in defect["data"]["reason"]
    audit = detect(alice, "alice", key.commitment, DOCUMENTS)
    assert last_event(alice, audit)["type"] == "done"
    answers = json.dumps([shown, known, defect, alice.list_watermark_keys(), alice.show_audit(audit["id"])]).encode()
    service.stop()
    log = "".join(capfd.readouterr()).encode()
    assert b"IndexError" in log and b"counting_kind" in log
    files = dict(every_byte(service.data))
    holders = [path for path, data in files.items() if any(secret in data for secret in secrets)]
    vault = service.data / "keys" / "lent" / "watermark" / f"{key.commitment}.json"
    assert holders == [vault] and stat.S_IMODE(vault.stat().st_mode) == 0o600
    assert stat.S_IMODE(vault.parent.stat().st_mode) == 0o700
    assert not any(secret in part for secret in secrets for part in (answers, log))
    with pytest.raises(ServiceError) as malformed:
        processes.start()
        service.client("provider", "x").add_watermark_key({**to_json(key), "commitment": "00" * 32}, [])
    assert not any(secret.decode() in str(malformed.value) for secret in secrets)


def test_models_are_probed_and_refused_by_tier(service: ServiceProcesses, tmp_path: Path) -> None:
    folder = tmp_path / "model-folder"
    folder.mkdir()
    train_tokenizer(folder / "tokenizer.json")
    alice, admin = service.client("auditor", "alice"), service.client("admin", "root")
    for spec in ("tiny", str(folder)):
        with pytest.raises(ServiceError, match="administrator"):
            alice.register_model("mine", spec)
    for spec in ("http://user:word@example.org/v1", "http://", "https://example.org/v1?key=1", "http://[::1/v1"):
        with pytest.raises(ServiceError, match="without user"):
            alice.register_model("mine", spec)
    broken = alice.wait_for_model(admin.register_model("broken", str(tmp_path / "nowhere"), auditors=["alice"])["id"])
    assert broken["state"] == "failed" and "nowhere" in broken["detail"] and broken["digest"] is None
    admin.register_model("broken", str(folder), auditors=["bob"])  # a failed one may be registered again
    model = alice.wait_for_model(admin.register_model("for-alice", str(folder), auditors=["alice"])["id"])
    with pytest.raises(ServiceError) as twice:
        admin.register_model("for-alice", str(folder))
    assert twice.value.status == 409
    assert [row["name"] for row in alice.list_models() if row["owner"] == "root" and row["name"] == "broken"] == []
    with pytest.raises(ServiceError) as downgrade:
        count(alice, "alice", model=model["digest"], tier=3)
    assert downgrade.value.slug == "missing-capability" and "T3" in downgrade.value.detail
    with pytest.raises(ServiceError) as stranger:
        count(service.client("auditor", "carol"), "carol", model=model["digest"])
    assert stranger.value.status == 404
    good = count(alice, "alice", model=model["digest"])
    assert last_event(alice, good)["type"] == "done"


def kept(service: ServiceProcesses, audit: dict[str, Any]) -> bool:
    """Whether the part is in the audit's working folder, and not only half written beside it."""
    return (service.data / "work" / audit["id"] / "part").exists()


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_same_report(processes: ServiceProcesses, tmp_path: Path) -> None:
    service = processes.start(worker=None)
    service.start_worker("one")
    alice = service.client("auditor", "alice")
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    audit = count(alice, "alice", gate=str(gate), trace=str(trace))
    wait_until(lambda: kept(service, audit), "a part was kept")
    service.kill("one")
    assert alice.show_audit(audit["id"])["state"] == "running"
    gate.touch()
    service.start_worker("one")
    assert last_event(alice, audit)["type"] == "done"
    assert trace.read_text().splitlines() == ["begun", "made", "begun"]  # begun twice, the kept part made once


@pytest.mark.slow
def test_a_stopped_worker_leaves_its_run_to_the_next(processes: ServiceProcesses, tmp_path: Path) -> None:
    service = processes.start(worker=None)
    service.start_worker("one")
    alice = service.client("auditor", "alice")
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    audit = count(alice, "alice", gate=str(gate), trace=str(trace))
    wait_for_lines(trace, "begun")
    child = service.children.pop("one")
    child.terminate()
    assert child.wait(timeout=60) == 0  # while the run waits for its gate
    assert child.stdout is not None
    child.stdout.close()
    assert alice.show_audit(audit["id"])["state"] == "running"
    gate.touch()
    service.start_worker("two")
    assert last_event(alice, audit)["type"] == "done"
    assert trace.read_text().splitlines().count("begun") == 2


@pytest.mark.postgres
def test_the_same_on_postgresql(postgres_service: ServiceProcesses, key: WatermarkKey, tmp_path: Path) -> None:
    lend(postgres_service, key, "key-owner", ["alice"])
    alice = postgres_service.client("auditor", "alice")
    documents = [{"id": "m", "input_ids": gumbel_text(key.config, 300, 3).tolist()}]
    audit = detect(alice, "alice", key.commitment, documents, claim="watermarked")
    assert last_event(alice, audit)["data"]["verdict"] == "holds"
    cancelled = count(alice, "alice", gate=str(tmp_path / "gate"))
    assert alice.cancel_audit(cancelled["id"])["state"] == "cancelled"
    with pytest.raises(ServiceError):
        detect(postgres_service.client("auditor", "bob"), "bob", key.commitment, DOCUMENTS)


def test_what_a_killed_run_kept_is_swept(processes: ServiceProcesses) -> None:
    left = processes.data / "work" / ("ab" * 16)
    left.mkdir(parents=True)
    (left / "part").write_bytes(b"left by an audit that is gone")
    processes.start()
    assert not left.exists()
