"""The provider's agent against a service that misbehaves: lost claims, failures, silence."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from api import agent as agent_module
from api.agent import Agent, find_runs
from api.errors import ServiceError
from audit.errors import EvidenceError
from audit.registry import Registry
from audit.requests import AuditRequest, Subject, new_request
from tests.integration.preimage_kind import PreimageKind

RUN_ID = "ab" * 32


class FakeClient:
    """A service with one open audit. `script` maps a method to the error it raises."""

    def __init__(self, request: AuditRequest, **script: ServiceError) -> None:
        self.audit = {"id": request.sha256[:32], "request": request.to_json()}
        self.script, self.calls = script, list[str]()
        self.state = "claimed"

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if name in self.script:
            raise self.script[name]

    def list_work(self, provider: str) -> list[dict[str, Any]]:
        self._note("list_work")
        return [self.audit]

    def claim(self, *unused: object) -> str:
        self._note("claim")
        return "token"

    def renew(self, *unused: object) -> dict[str, Any]:
        self._note("renew")
        return {"state": self.state}

    def release(self, *unused: object) -> None:
        self._note("release")

    def upload_files(self, manifest: object, files: Mapping[str, bytes]) -> None:
        self._note("upload_files")
        self.files = dict(files)

    def submit_evidence(self, *unused: object) -> None:
        self._note("submit_evidence")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "public").mkdir()
    (tmp_path / "private").mkdir()
    (tmp_path / "public/run.json").write_text(json.dumps({"run_id": RUN_ID}))
    (tmp_path / "private/secret.bin").write_bytes(b"secret")
    return tmp_path


def make(run: Path, **script: ServiceError) -> tuple[Agent, FakeClient]:
    params = {"sha256": "00" * 32, "answer_delay_s": script.pop("delay_s", 0)}
    request = new_request("alice", "acme", Subject("run", RUN_ID), "test.preimage", params)
    registry = Registry()
    registry.add(PreimageKind())
    client = FakeClient(request, **script)
    return Agent(client, "acme", registry, find_runs([run]), lease_s=3), client  # type: ignore[arg-type]


def results(agent: Agent) -> list[str]:
    return [item.result for item in agent.answer_open()]


def test_evidence_only_is_sent(run: Path) -> None:
    agent, client = make(run)
    assert results(agent) == ["submitted"]
    assert sorted(client.files) == ["preimage.bin", "request.txt"]
    assert (run / "private/answers" / new_folder(run) / "preimage.bin").read_bytes() == b"secret"


def new_folder(run: Path) -> str:
    (folder,) = (run / "private/answers").iterdir()
    return folder.name


def test_another_agent_was_faster(run: Path) -> None:
    agent, client = make(run, claim=ServiceError("conflict", 409, "taken"))
    assert results(agent) == [] and "submit_evidence" not in client.calls


def test_a_claim_lost_at_the_end_is_reported(run: Path) -> None:
    agent, _ = make(run, submit_evidence=ServiceError("forbidden", 403, "no longer valid"))
    assert results(agent) == ["lost"]


def test_a_claim_lost_while_answering_stops_the_answer(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "TICK_S", 0.02)
    agent, client = make(run, renew=ServiceError("forbidden", 403, "gone"), delay_s=600)  # type: ignore[arg-type]
    assert results(agent) == ["lost"] and "submit_evidence" not in client.calls


def test_a_service_silent_for_a_moment_does_not_stop_the_answer(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "TICK_S", 0.02)
    agent, client = make(run, renew=ServiceError("unreachable", 0, "silent"), delay_s=2)  # type: ignore[arg-type]
    assert results(agent) == ["submitted"] and "renew" in client.calls


def test_failure_gives_the_claim_back_and_is_not_tried_at_once(run: Path) -> None:
    (run / "private/secret.bin").unlink()
    agent, client = make(run)
    assert results(agent) == ["failed"] and "release" in client.calls
    assert results(agent) == []


def test_requests_about_other_runs_are_left_alone(run: Path) -> None:
    agent, client = make(run)
    client.audit["request"] = new_request("a", "acme", Subject("run", "cd" * 32), "test.preimage", {}).to_json()
    assert results(agent) == ["failed"] and "claim" not in client.calls


def test_watching_outlives_an_unreachable_service(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "POLL_S", 0.01)
    agent, client = make(run, list_work=ServiceError("unreachable", 0, "gone"))
    stop, seen = threading.Event(), []

    def recover(message: str) -> None:
        client.script.pop("list_work", None)

    agent._say = recover
    agent.watch(stop, lambda result: (seen.append(result.result), stop.set())[0])  # type: ignore[func-returns-value]
    assert seen == ["submitted"]
    refused, _ = make(run, list_work=ServiceError("forbidden", 403, "no"))
    with pytest.raises(ServiceError):
        refused.watch(threading.Event(), lambda result: None)


def test_folders_that_are_no_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"run\.json"):
        find_runs([tmp_path])
