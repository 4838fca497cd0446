"""An audit from request to offline verification, through the real server, client and agent."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from api.agent import Agent
from api.client import ServiceClient
from api.errors import ServiceError
from api.publishing import publish_run
from audit.reports import unpack_report
from audit.requests import Subject, new_request
from audit.signing import PrivateKey, PublicKey
from audit.verify import verify_report
from tests.integration.conftest import PublishedRun, ServiceProcesses, write_run
from tests.integration.service_process import build_test_registry
from tests.integration.waiting import wait_for_lines, wait_until

Publish = Callable[..., PublishedRun]


def ask(client: ServiceClient, auditor: str, run: PublishedRun, secret: bytes, **params: object) -> dict[str, object]:
    """Request an audit of a run."""
    wanted = {"sha256": hashlib.sha256(secret).hexdigest(), **params}
    request = new_request(auditor, run.provider, Subject("run", run.run_id), "test.preimage", wanted)
    return client.create_audit(request)


def answer(run: PublishedRun) -> list[str]:
    """Answer everything open for the run's provider; the results."""
    agent = Agent(run.client, run.provider, build_test_registry(), {run.run_id: run.folder})
    return [result.result for result in agent.answer_open()]


def test_from_request_to_offline_verification(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    auditor = service.client("auditor", "alice")
    audit = ask(auditor, "alice", run, b"secret")
    assert answer(run) == ["submitted"]
    events = list(auditor.watch_audit(str(audit["id"])))
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "done" and events[-1]["data"]["verdict"] == "holds"

    files = unpack_report(auditor.read_report_archive(str(audit["id"])))
    key = PublicKey.from_text(auditor.show_service()["public_key"])
    verdict = verify_report(files, build_test_registry(), [key])
    assert verdict.verdict == "holds" and all(check.ok for check in verdict.checks)
    assert "the beacon is self-made" in verdict.conditions
    assert "the beacon is self-made" in files["report.txt"].decode()
    assert "evidence/published/proofs/seg-0.proof" in files
    assert not any("secret" in name or "private" in name for name in files)
    assert files["report.dsse.json"] == auditor.read_report(str(audit["id"]))


def test_a_wrong_answer_is_refuted_and_the_report_says_so(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    auditor = service.client("auditor", "alice")
    audit = ask(auditor, "alice", run, b"something else")
    answer(run)
    assert list(auditor.watch_audit(str(audit["id"])))[-1]["data"]["verdict"] == "refuted"
    files = unpack_report(auditor.read_report_archive(str(audit["id"])))
    verdict = verify_report(files, build_test_registry())
    assert verdict.verdict == "refuted" and verdict.checks[-1].id == "6 recheck" and verdict.checks[-1].ok


def test_evidence_for_another_request_does_not_count(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    auditor = service.client("auditor", "alice")
    first = ask(auditor, "alice", run, b"secret")
    answer(run)
    list(auditor.watch_audit(str(first["id"])))
    second = ask(auditor, "alice", run, b"secret")
    kept = run.folder / "private/answers"
    (kept / str(second["request_sha256"])).symlink_to(kept / str(first["request_sha256"]))
    answer(run)
    seen = []
    for event in auditor.watch_audit(str(second["id"])):
        seen.append(event["type"])
        if event["type"] == "evidence_refused":
            assert "another" in event["data"]["reason"]
            break
    assert auditor.show_audit(str(second["id"]))["state"] == "open"
    (kept / str(second["request_sha256"])).unlink()
    assert answer(run) == ["submitted"]
    assert list(auditor.watch_audit(str(second["id"])))[-1]["type"] == "done"


def test_a_forged_run_is_refuted_and_cannot_be_audited(service: ServiceProcesses, tmp_path: Path) -> None:
    run_id = write_run(tmp_path / "run", b"x", good=False)
    provider, auditor = service.client("provider", "acme"), service.client("auditor", "alice")
    publish_run(provider, tmp_path / "run", "acme", PrivateKey.generate())
    found = provider.wait_for_run("acme", run_id)
    assert found["state"] == "refuted"
    assert {segment["state"] for segment in found["segments"]} == {"refused"}
    request = new_request("alice", "acme", Subject("run", run_id), "test.preimage", {"sha256": "00" * 32})
    with pytest.raises(ServiceError, match="only a verified run") as refusal:
        auditor.create_audit(request)
    assert refusal.value.status == 409


def test_a_published_run_only_grows(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    statement = json.dumps({"run": run.run_id, "segment": 2}).encode()
    (run.folder / "public/proofs/seg-2.stmt").write_bytes(statement)
    (run.folder / "public/proofs/seg-2.proof").write_bytes(statement[::-1])
    publish_run(run.client, run.folder, run.provider, run.key)
    grown = run.client.wait_for_run(run.provider, run.run_id)
    assert [segment["name"] for segment in grown["segments"]] == ["seg-0", "seg-1", "seg-2"]
    (run.folder / "public/proofs/seg-0.stmt").write_bytes(statement)
    with pytest.raises(ServiceError, match="only grows"):
        publish_run(run.client, run.folder, run.provider, run.key)


def test_nobody_else_can_publish_in_a_providers_name(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    with pytest.raises(ServiceError) as taken:
        publish_run(service.client("provider", "mallory"), run.folder, run.provider, PrivateKey.generate())
    assert taken.value.status == 409
    with pytest.raises(ServiceError) as other_key:
        publish_run(service.client("provider", run.provider), run.folder, run.provider, PrivateKey.generate())
    assert other_key.value.status == 409


def test_links_out_of_the_public_folder_are_refused(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    (run.folder / "public/extra.bin").symlink_to(run.folder / "private/secret.bin")
    with pytest.raises(Exception, match="is a link"):
        publish_run(run.client, run.folder, run.provider, run.key)


def test_cancel_is_idempotent_and_no_report_follows(service: ServiceProcesses, publish: Publish, tmp_path: Path) -> None:
    run = publish(service)
    auditor = service.client("auditor", "alice")
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    audit = ask(auditor, "alice", run, b"secret", trace=str(trace), gate=str(gate))
    answer(run)
    wait_for_lines(trace, "begun")
    assert auditor.cancel_audit(str(audit["id"]))["state"] == "cancelled"
    assert auditor.cancel_audit(str(audit["id"]))["state"] == "cancelled"
    gate.touch()
    wait_for_lines(trace, "ended")
    later = ask(auditor, "alice", run, b"secret")  # ends after the cancelled check
    answer(run)
    assert list(auditor.watch_audit(str(later["id"])))[-1]["type"] == "done"
    with pytest.raises(ServiceError) as none:
        auditor.read_report(str(audit["id"]))
    assert none.value.status == 404
    assert list(auditor.watch_audit(str(audit["id"])))[-1]["type"] == "cancelled"


def test_cancelling_stops_an_agent_at_work(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    auditor = service.client("auditor", "alice")
    audit = ask(auditor, "alice", run, b"secret", answer_delay_s=600)
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.extend(answer(run)))
    thread.start()
    for event in auditor.watch_audit(str(audit["id"])):
        if event["type"] == "progress":
            auditor.cancel_audit(str(audit["id"]))
    thread.join(timeout=60)
    assert results == ["cancelled"]


def test_events_resume_after_last_event_id(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    auditor = service.client("auditor", "alice")
    audit = ask(auditor, "alice", run, b"secret")
    seen = []
    stream = auditor.watch_audit(str(audit["id"]))
    seen.append(next(stream))
    stream.close()  # the connection breaks
    answer(run)
    seen += list(auditor.watch_audit(str(audit["id"]), after=seen[-1]["number"]))
    assert [event["number"] for event in seen] == list(range(1, seen[-1]["number"] + 1))
    response = httpx.get(f"{service.url}/v1/audits/{audit['id']}/events", headers={"Last-Event-ID": "1"}, timeout=30)
    ids = [int(line.removeprefix("id: ")) for line in response.text.splitlines() if line.startswith("id: ")]
    assert ids == list(range(2, seen[-1]["number"] + 1))


def test_a_dead_agents_claim_runs_out_and_another_goes_on(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    auditor = service.client("auditor", "alice")
    audit = ask(auditor, "alice", run, b"secret")
    token = run.client.claim(str(audit["id"]), "agent-one", 3600)
    assert run.client.list_work(run.provider) == []
    with pytest.raises(ServiceError) as taken:
        run.client.claim(str(audit["id"]), "agent-two", 60)
    assert taken.value.status == 409
    with sqlite3.connect(service.data / "assay.db") as database:  # an hour later
        database.execute("UPDATE audits SET claim_until = claim_until - 3600000 WHERE id = ?", (audit["id"],))
    database.close()
    wait_until(lambda: bool(run.client.list_work(run.provider)), "the lease ran out")
    assert answer(run) == ["submitted"]
    with pytest.raises(ServiceError) as late:
        run.client.renew(str(audit["id"]), token, 60, None)
    assert late.value.status == 403
    assert list(auditor.watch_audit(str(audit["id"])))[-1]["type"] == "done"


def test_kept_evidence_is_sent_again_instead_of_made_again(service: ServiceProcesses, publish: Publish) -> None:
    """An agent killed between answering and sending: the next one finds the evidence and sends it."""
    run = publish(service)
    auditor = service.client("auditor", "alice")
    audit = ask(auditor, "alice", run, b"secret")
    kept = run.folder / "private/answers" / str(audit["request_sha256"])
    kept.mkdir(parents=True)
    (kept / "preimage.bin").write_bytes(b"secret")
    (kept / "request.txt").write_text(str(audit["request_sha256"]))
    (run.folder / "private/secret.bin").unlink()  # answering afresh is impossible
    assert answer(run) == ["submitted"]
    assert list(auditor.watch_audit(str(audit["id"])))[-1]["data"]["verdict"] == "holds"


def test_the_service_folder_is_private(service: ServiceProcesses) -> None:
    assert stat.S_IMODE(service.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((service.data / "keys/service.key").stat().st_mode) == 0o600
