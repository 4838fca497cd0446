"""Two providers and three auditors at once on one service: no request lost, none answered twice."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.agent import Agent, Answered
from audit.requests import Subject, new_request
from tests.integration.conftest import PublishedRun, ServiceProcesses
from tests.integration.service_process import build_test_registry

Publish = Callable[..., PublishedRun]
EACH = 4


def _run_crowd(service: ServiceProcesses, publish: Publish) -> None:
    runs = [publish(service, name) for name in ("acme", "bolt")]
    stop, answered = threading.Event(), []

    def work(run: PublishedRun) -> None:
        """One of two agents of a provider, competing for the same requests."""
        client = service.client("provider", run.provider)
        agent = Agent(client, run.provider, build_test_registry(), {run.run_id: run.folder})

        def note(result: Answered) -> None:
            answered.append(result)

        agent.watch(stop, note)

    def ask(number: int) -> list[str]:
        """One auditor: asks both providers, then watches every audit to its end."""
        name = f"auditor-{number}"
        client, ids = service.client("auditor", name), []
        for turn in range(EACH):
            run = runs[turn % 2]
            params = {"sha256": hashlib.sha256(b"secret").hexdigest()}
            request = new_request(name, run.provider, Subject("run", run.run_id), "test.preimage", params)
            ids.append(client.create_audit(request)["id"])
        for audit_id in ids:
            events = list(client.watch_audit(audit_id))
            kinds = Counter(event["type"] for event in events if event["type"] != "progress")
            assert kinds == {"requested": 1, "claimed": 1, "evidence_received": 1, "done": 1}, events
            assert events[-1]["data"]["verdict"] == "holds"
            assert [event["number"] for event in events] == list(range(1, len(events) + 1))
        return ids

    agents = [threading.Thread(target=work, args=(run,)) for run in runs for _ in range(2)]
    for agent in agents:
        agent.start()
    try:
        with ThreadPoolExecutor(3) as pool:
            ids = [audit_id for found in pool.map(ask, range(3)) for audit_id in found]
    finally:
        stop.set()
        for agent in agents:
            agent.join(timeout=60)
    assert len(set(ids)) == 3 * EACH
    assert Counter(result.audit_id for result in answered if result.result == "submitted") == Counter(ids)
    assert {result.result for result in answered} == {"submitted"}


@pytest.mark.slow
def test_two_providers_and_three_auditors_on_sqlite(service: ServiceProcesses, publish: Publish) -> None:
    _run_crowd(service, publish)


@pytest.mark.postgres
def test_two_providers_and_three_auditors_on_postgresql(postgres_service: ServiceProcesses, publish: Publish) -> None:
    _run_crowd(postgres_service, publish)


@pytest.mark.postgres
def test_a_killed_service_resumes_on_postgresql(postgres_service: ServiceProcesses, publish: Publish, tmp_path: Path) -> None:
    run = publish(postgres_service)
    auditor = postgres_service.client("auditor", "alice")
    gate = tmp_path / "gate"
    params = {"sha256": hashlib.sha256(b"secret").hexdigest(), "gate": str(gate)}
    request = new_request("alice", run.provider, Subject("run", run.run_id), "test.preimage", params)
    audit_id = auditor.create_audit(request)["id"]
    agent = Agent(run.client, run.provider, build_test_registry(), {run.run_id: run.folder})
    assert [result.result for result in agent.answer_open()] == ["submitted"]
    postgres_service.kill("serve")
    gate.touch()
    postgres_service.start()
    events = list(postgres_service.client("auditor", "bob").watch_audit(audit_id))
    assert [event["type"] for event in events] == ["requested", "claimed", "evidence_received", "done"]
