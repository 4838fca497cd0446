"""kill -9 of the worker and of the whole service: jobs resume, results are the same, nothing is done twice."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from api.agent import Agent
from audit.requests import Subject, new_request
from tests.integration.conftest import PublishedRun, ServiceProcesses
from tests.integration.service_process import build_test_registry
from tests.integration.waiting import wait_for_lines, wait_until

pytestmark = pytest.mark.slow
Publish = Callable[..., PublishedRun]


def _submit_gated(service: ServiceProcesses, run: PublishedRun, trace: Path, gate: Path) -> str:
    """An audit whose check has begun, and waits for the gate."""
    auditor = service.client("auditor", "alice")
    params = {"sha256": hashlib.sha256(b"secret").hexdigest(), "gate": str(gate), "trace": str(trace)}
    audit = auditor.create_audit(new_request("alice", run.provider, Subject("run", run.run_id), "test.preimage", params))
    agent = Agent(run.client, run.provider, build_test_registry(), {run.run_id: run.folder})
    assert [result.result for result in agent.answer_open()] == ["submitted"]
    wait_for_lines(trace, "begun")
    return str(audit["id"])


def test_a_killed_worker_is_resumed_by_itself(processes: ServiceProcesses, publish: Publish, tmp_path: Path) -> None:
    service = processes.start(worker=None)
    service.start_worker("one")
    run = publish(service)
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    audit_id = _submit_gated(service, run, trace, gate)
    service.kill("one")
    gate.touch()
    assert service.client("auditor", "bob").show_audit(audit_id)["state"] == "checking"
    service.start_worker("one")
    events = list(service.client("auditor", "bob").watch_audit(audit_id))
    assert [event["type"] for event in events] == ["requested", "claimed", "evidence_received", "done"]
    assert trace.read_text().splitlines() == ["begun", "begun", "ended"]  # begun twice, counted once


def test_a_dead_workers_jobs_are_taken_over_by_another(processes: ServiceProcesses, publish: Publish, tmp_path: Path) -> None:
    service = processes.start(worker=None)
    service.start_worker("one")
    run = publish(service)
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    audit_id = _submit_gated(service, run, trace, gate)
    service.start_worker("two")
    service.kill("one")
    gate.touch()
    events = list(service.client("auditor", "bob").watch_audit(audit_id))
    assert [event["type"] for event in events] == ["requested", "claimed", "evidence_received", "done"]


def test_a_killed_service_comes_back_with_the_same_report(processes: ServiceProcesses, publish: Publish, tmp_path: Path) -> None:
    """The report after a crash equals, byte for byte, the one that a check without a crash makes."""
    service = processes.start()
    run = publish(service)
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    audit_id = _submit_gated(service, run, trace, gate)
    service.kill("serve")
    gate.touch()
    service.start()
    reader = service.client("auditor", "bob")
    assert list(reader.watch_audit(audit_id))[-1]["type"] == "done"
    first = reader.read_report(audit_id)
    service.kill("serve")
    with sqlite3.connect(service.data / "assay.db") as database:  # put the job back to where it began
        database.execute("UPDATE audits SET state='checking', report_sha256=NULL, verdict=NULL WHERE id=?", (audit_id,))
        database.execute("UPDATE workflow_status SET status='PENDING' WHERE workflow_uuid LIKE ?", (f"audit-{audit_id}%",))
        database.execute("DELETE FROM operation_outputs WHERE workflow_uuid LIKE ?", (f"audit-{audit_id}%",))
    database.close()
    service.start()
    reader = service.client("auditor", "carol")
    wait_until(lambda: reader.show_audit(audit_id)["state"] == "done", "the job ran again")
    assert reader.read_report(audit_id) == first


def test_no_job_state_decodes_as_pickle(service: ServiceProcesses, publish: Publish) -> None:
    publish(service)
    with sqlite3.connect(service.data / "assay.db") as database:
        rows = database.execute("SELECT serialization, inputs, output, error FROM workflow_status").fetchall()
    database.close()
    assert rows
    for serialization, *values in rows:
        assert serialization == "portable_json"
        assert all(value is None or value[0] in '[{"tfn0123456789' for value in values)
