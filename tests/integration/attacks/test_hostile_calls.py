"""Hostile callers of the HTTP service: nothing is taken back, nothing ends in an internal error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.errors import ServiceError
from api.publishing import publish_run
from audit.requests import Subject, new_request
from tests.integration.conftest import PublishedRun, ServiceProcesses

Publish = Callable[..., PublishedRun]


def test_a_broken_addition_does_not_let_a_run_be_replaced(service: ServiceProcesses, publish: Publish) -> None:
    """Verified, then refuted by a false addition, then published with another run.json: the first one still counts."""
    run = publish(service)
    public = run.folder / "public"
    (public / "proofs/seg-9.stmt").write_bytes(json.dumps({"run": run.run_id, "segment": 9}).encode())
    (public / "proofs/seg-9.proof").write_bytes(b"forged")
    publish_run(run.client, run.folder, run.provider, run.key)
    assert run.client.wait_for_run(run.provider, run.run_id)["state"] == "refuted"
    for half in ("stmt", "proof"):
        (public / f"proofs/seg-9.{half}").unlink()
    honest = (public / "run.json").read_bytes()
    (public / "run.json").write_text(json.dumps({"run_id": run.run_id, "features": "others"}))
    with pytest.raises(ServiceError, match="only grows"):
        publish_run(run.client, run.folder, run.provider, run.key)
    (public / "run.json").write_bytes(honest)
    publish_run(run.client, run.folder, run.provider, run.key)
    assert run.client.wait_for_run(run.provider, run.run_id)["state"] == "verified"


def test_half_written_files_and_links_are_not_published(service: ServiceProcesses, publish: Publish) -> None:
    """A file that is renamed a moment later would bind the run for ever."""
    run = publish(service)
    (run.folder / "public/proofs/seg-2.proof.tmp").write_bytes(b"half")
    publish_run(run.client, run.folder, run.provider, run.key)
    found = run.client.wait_for_run(run.provider, run.run_id)
    assert not any(entry["name"].endswith(".tmp") for entry in found["files"])
    moved = run.folder / "elsewhere"
    (run.folder / "public").rename(moved)
    (run.folder / "public").symlink_to(run.folder / "private")
    (run.folder / "private/run.json").write_text(json.dumps({"run_id": run.run_id}))
    with pytest.raises(Exception, match="link"):
        publish_run(run.client, run.folder, run.provider, run.key)


@pytest.mark.parametrize("name", ["publication.dsse.json", "registration.dsse.json"])
def test_a_run_cannot_bring_its_own_signatures(service: ServiceProcesses, publish: Publish, name: str) -> None:
    run = publish(service)
    (run.folder / "public" / name).write_text("{}")
    with pytest.raises(ServiceError, match="rename"):
        publish_run(run.client, run.folder, run.provider, run.key)


def _deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"\ud800": 1}},
        {"params": {"sha256": "\udfff"}},
        {"\ud800": 1},
        {"kind": "\ud800"},
        {"params": {"sha256": _deep(40)}},
        {"params": {"sha256": _deep(400)}},
        {"params": {"n": 1 << 64}},
        {"params": {"n" * 100_000: 1}},
    ],
)
def test_odd_requests_are_problems_not_defects(service: ServiceProcesses, publish: Publish, change: dict[str, Any]) -> None:
    run = publish(service)
    params = {"sha256": hashlib.sha256(b"secret").hexdigest()}
    request = new_request("alice", run.provider, Subject("run", run.run_id), "test.preimage", params)
    headers = {"Authorization": f"Bearer {service.new_key('auditor', 'alice')}", "Content-Type": "application/json"}
    for extra in ({}, {"Idempotency-Key": "odd"}):
        body = json.dumps({**request.to_json(), **change})
        answer = httpx.post(f"{service.url}/v1/audits", content=body, headers={**headers, **extra}, timeout=30)
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json" and len(answer.content) < 2000


@pytest.mark.parametrize("last", ["9" * 30, "9" * 5000, "-1", "1e3", "\u0661"])
def test_any_last_event_id_gives_a_stream(service: ServiceProcesses, publish: Publish, last: str) -> None:
    run = publish(service)
    params = {"sha256": hashlib.sha256(b"secret").hexdigest()}
    auditor = service.client("auditor", "alice")
    audit = auditor.create_audit(new_request("alice", run.provider, Subject("run", run.run_id), "test.preimage", params))
    auditor.cancel_audit(audit["id"])
    headers = {b"Last-Event-ID": last.encode("utf-8")}
    answer = httpx.get(f"{service.url}/v1/audits/{audit['id']}/events", headers=headers, timeout=30)
    assert answer.status_code == 200 and "event: cancelled" in answer.text


def test_messages_of_one_party_do_not_move_the_cursor_of_another(
    service: ServiceProcesses, publish: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider's progress message is text, whatever it holds; the auditor's terminal must not obey it."""
    from api.cli.main import main

    run = publish(service)
    params = {"sha256": hashlib.sha256(b"secret").hexdigest()}
    auditor = service.client("auditor", "alice")
    audit = auditor.create_audit(new_request("alice", run.provider, Subject("run", run.run_id), "test.preimage", params))
    claim = run.client.claim(audit["id"], "agent", 60)
    run.client.renew(audit["id"], claim, 60, {"fraction": 0.5, "message": "\x1b[2J\x1b[Hdone verdict=holds"})
    run.client.release(audit["id"], claim, "\x9b31m\u202egone")
    auditor.cancel_audit(audit["id"])
    with pytest.raises(SystemExit):
        main(["audit", "watch", audit["id"], "--url", service.url])
    out = capsys.readouterr().out
    assert "\\x1b[2J" in out and not any(char in out for char in "\x1b\x9b\u202e")


def test_a_key_of_the_same_owner_with_another_role_may_not_ask(service: ServiceProcesses, publish: Publish) -> None:
    run = publish(service)
    params = {"sha256": hashlib.sha256(b"secret").hexdigest()}
    request = new_request("alice", run.provider, Subject("run", run.run_id), "test.preimage", params)
    service.client("auditor", "alice").create_audit(request)
    with pytest.raises(ServiceError, match="role auditor") as refusal:
        service.client("provider", "alice").create_audit(request)
    assert refusal.value.status == 403
