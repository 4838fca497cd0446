"""The database: settings of SQLite, migrations, the outbox, the life of an audit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from audit import jobs_dbos
from audit.errors import ConflictError, ForbiddenError, NotFoundError, StorageError
from audit.evidence import build_manifest
from audit.jobs_dbos import DbosEngine, create_job_tables
from audit.registry import Check, Outcome
from audit.requests import AuditRequest, Subject, new_request
from audit.store import access, audits, runs
from audit.store.engine import Store, normalise_url, open_job_engine
from audit.store.migrate import migrate
from audit.store.models import Audit, Base
from audit.zk_gate import RunVerdict

OUTCOME = Outcome("holds", (Check("1", True, ""),))
EVIDENCE = build_manifest({"a": b"1"})
RUN = build_manifest({"run.json": b"{}", "proofs/a.stmt": b"s", "proofs/a.proof": b"p"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(f"sqlite:///{tmp_path / 'a.db'}")
    migrate(found)
    with found.write() as session:
        runs.add_provider(session, "acme", "acme", "key", "00" * 32)
    yield found
    found.close()


def request(auditor: str = "alice") -> AuditRequest:
    return new_request(auditor, "acme", Subject("run", "ab" * 32), "kind", {})


def open_audit(store: Store) -> str:
    with store.write() as session:
        return audits.create_audit(session, request(), ()).id


def events(store: Store, audit_id: str) -> list[tuple[int, str]]:
    with store.read() as session:
        audit = audits.get_audit(session, audit_id)
        return [(event.number, event.type) for event in audits.list_events(session, audit.seq, 0)]


def checking(store: Store) -> tuple[str, str]:
    audit_id = open_audit(store)
    with store.write() as session:
        token = audits.claim_audit(session, audit_id, "agent", 60)[1]
        audits.submit_answer(session, audit_id, token, EVIDENCE)
    return audit_id, token


def test_sqlite_settings_hold_on_both_engines(store: Store) -> None:
    for engine in (store.engine, open_job_engine(store.url)):
        with engine.connect() as connection:
            found = [
                connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "foreign_keys", "busy_timeout")
            ]
        assert found == ["wal", 1, 30_000]
        engine.dispose()


def test_a_writing_transaction_holds_the_lock_from_its_start(store: Store) -> None:
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.wait()
        with store.write():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with store.write():
        entered.set()
        thread.join(timeout=0.5)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_two_writers_under_load_are_never_locked_out(store: Store) -> None:
    audit_id = open_audit(store)
    failures: list[Exception] = []

    def write() -> None:
        try:
            for _ in range(40):
                with store.write() as session:
                    audit = audits._lock(session, audit_id)
                    audits.add_event(session, audit, "progress", {})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.read() as session:
        audit = audits.get_audit(session, audit_id)
        numbers = [event.number for event in audits.list_events(session, audit.seq, 0)]
    assert audit.last_event == 161 and numbers == list(range(1, 162))


def test_migrations_give_exactly_the_models(store: Store) -> None:
    create_job_tables(store)
    migrate(store)  # again is harmless
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "assay_schema"})
        differences = [item for item in compare_metadata(context, Base.metadata) if item[0] != "remove_table"]
        differences = [item for item in differences if item[0] != "remove_index"]  # of the job system's tables
    assert differences == []


def test_rolling_back_leaves_neither_row_nor_job(store: Store) -> None:
    create_job_tables(store)
    engine = DbosEngine(store.url)
    try:
        with pytest.raises(KeyError), store.write() as session:
            audit = audits.create_audit(session, request(), ())
            engine.submit(session, "check_audit", "job-1", {"audit": audit.id})
            raise KeyError
        assert engine.status("job-1") == "unknown"
        with store.read() as session:
            assert audits.list_audits(session) == []
        with store.write() as session:
            audit = audits.create_audit(session, request(), ())
            engine.submit(session, "check_audit", "job-1", {"audit": audit.id})
        assert engine.status("job-1") == "queued"
        with store.write() as session:  # the same id again is the same job
            engine.submit(session, "check_audit", "job-1", {"audit": audit.id})
        engine.cancel("job-1")
        engine.cancel("job-1")
        engine.cancel("job-none")
        assert engine.status("job-1") == "cancelled"
        engine.resume("job-1")
        assert engine.status("job-1") == "queued"
    finally:
        engine.close()


def test_one_claim_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    audit_id = open_audit(store)
    with store.write() as session:
        first = audits.claim_audit(session, audit_id, "one", 60)[1]
    with store.write() as session, pytest.raises(ConflictError):
        audits.claim_audit(session, audit_id, "two", 60)
    later = audits.now_ms() + 61_000
    monkeypatch.setattr(audits, "now_ms", lambda: later)
    with store.read() as session:
        assert [audit.id for audit in audits.list_work(session, "acme")] == [audit_id]
    with store.write() as session:
        second = audits.claim_audit(session, audit_id, "two", 60)[1]
    with store.write() as session, pytest.raises(ForbiddenError):
        audits.submit_answer(session, audit_id, first, EVIDENCE)
    with store.write() as session:
        assert audits.submit_answer(session, audit_id, second, EVIDENCE)[1] is True
        assert audits.submit_answer(session, audit_id, second, EVIDENCE)[1] is False
    assert [kind for _, kind in events(store, audit_id)] == ["requested", "claimed", "claimed", "evidence_received"]


def test_only_one_result_is_taken(store: Store) -> None:
    audit_id, _ = checking(store)
    with store.write() as session:
        assert audits.finish_audit(session, audit_id, 1, OUTCOME, "11" * 32)
        assert not audits.finish_audit(session, audit_id, 1, OUTCOME, "22" * 32)
        assert not audits.refuse_answer(session, audit_id, 1, "late")
        assert not audits.fail_audit(session, audit_id, 1, "late")
    with store.read() as session:
        audit = audits.get_audit(session, audit_id)
    assert (audit.state, audit.report_sha256) == ("done", "11" * 32)
    with store.write() as session, pytest.raises(ConflictError):
        audits.cancel_audit(session, audit_id)


def test_a_cancelled_audit_takes_no_result(store: Store) -> None:
    audit_id, token = checking(store)
    with store.write() as session:
        audits.cancel_audit(session, audit_id)
        audits.cancel_audit(session, audit_id)
        assert not audits.finish_audit(session, audit_id, 1, OUTCOME, "11" * 32)
    assert [kind for _, kind in events(store, audit_id)][-1] == "cancelled"
    with store.write() as session:
        assert audits.renew_claim(session, audit_id, token, 60, None).state == "cancelled"


def test_refused_evidence_opens_the_audit_again_until_it_is_too_much(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "MAX_ATTEMPTS", 2)
    audit_id, _ = checking(store)
    with store.write() as session:
        assert audits.refuse_answer(session, audit_id, 1, "bad")
        assert audits.get_audit(session, audit_id).state == "open"
        token = audits.claim_audit(session, audit_id, "agent", 60)[1]
        audits.submit_answer(session, audit_id, token, EVIDENCE)
        assert not audits.refuse_answer(session, audit_id, 1, "an old attempt")
        assert audits.refuse_answer(session, audit_id, 2, "bad again")
        assert audits.get_audit(session, audit_id).state == "failed"


def test_the_same_request_twice_is_a_conflict(store: Store) -> None:
    same = request()
    with store.write() as session:
        audits.create_audit(session, same, ())
    with store.write() as session, pytest.raises(ConflictError, match="new nonce"):
        audits.create_audit(session, same, ())


def test_segments_are_judged_by_the_checks_that_name_them(store: Store) -> None:
    manifest = build_manifest(
        {"run.json": b"{}", **{f"proofs/{n}.{e}": f"{n}{e}".encode() for n in "ab" for e in ("stmt", "proof")}}
    )
    checks = (Check("proof.a", False, "wrong"), Check("proof.b", True, "fine"))
    with store.write() as session:
        run, is_new = runs.publish_run(session, "acme", "ab" * 32, manifest, "00" * 32)
        assert is_new
        found = RunVerdict("refuted", checks)
        assert not runs.finish_run(session, "acme", "ab" * 32, "other manifest", found)
        assert runs.finish_run(session, "acme", "ab" * 32, run.manifest_sha256, found)
        states = {segment.name: segment.state for segment in runs.list_segments(session, run)}
    assert states == {"a": "refused", "b": "unproven"} and run.state == "refuted"


def test_a_refuted_run_may_be_replaced_and_a_verified_one_only_grows(store: Store) -> None:
    other = build_manifest({"run.json": b"{}", "proofs/a.stmt": b"S", "proofs/a.proof": b"P"})
    with store.write() as session:
        run, _ = runs.publish_run(session, "acme", "ab" * 32, RUN, "00" * 32)
        runs.finish_run(session, "acme", "ab" * 32, run.manifest_sha256, RunVerdict("refuted", ()))
        run, is_new = runs.publish_run(session, "acme", "ab" * 32, other, "00" * 32)
        assert is_new
        good = RunVerdict("holds", (Check("proof.a", True, ""),))
        runs.finish_run(session, "acme", "ab" * 32, run.manifest_sha256, good)
        assert runs.publish_run(session, "acme", "ab" * 32, other, "00" * 32)[1] is False
        with pytest.raises(ConflictError, match="only grows"):
            runs.publish_run(session, "acme", "ab" * 32, RUN, "00" * 32)


def test_a_run_that_could_not_be_verified_is_verified_again_when_published_again(store: Store) -> None:
    with store.write() as session:
        run, _ = runs.publish_run(session, "acme", "ab" * 32, RUN, "00" * 32)
        first = run.job_id
        assert runs.fail_run(session, "acme", "ab" * 32, run.manifest_sha256, "the disk was full")
    time.sleep(0.002)
    with store.write() as session:
        run, is_new = runs.publish_run(session, "acme", "ab" * 32, RUN, "00" * 32)
        assert is_new and run.state == "checking" and run.job_id != first


def test_a_lost_race_for_a_unique_value_is_a_conflict(store: Store) -> None:
    same = request()
    with pytest.raises(ConflictError, match="at this moment"), store.write() as session:
        first = audits.create_audit(session, same, ())
        session.add(Audit(**{c.name: getattr(first, c.name) for c in Audit.__table__.columns if c.name != "seq"}))


def test_a_second_worker_of_one_name_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_dbos, "NAME_TRIES", 1)
    held = jobs_dbos._try_lock(tmp_path / "worker-one.lock")
    assert held is not None
    with held, pytest.raises(StorageError, match="another --name"):
        jobs_dbos.JobWorker(store.url, "one", {}, tmp_path).start()


def test_api_keys(store: Store) -> None:
    with store.write() as session:
        key = access.create_key(session, "auditor", "alice")
    with store.write() as session:
        found = access.authenticate(session, key)
        assert found is not None and (found.owner, found.role) == ("alice", "auditor")
        for wrong in ("", "assay_", key[:-1], key + "x", key.replace("assay", "essay"), "é", "x" * 200, key.split(".")[0]):
            assert access.authenticate(session, wrong) is None
        access.revoke_key(session, found.key_id)
        access.revoke_key(session, found.key_id)
        assert access.authenticate(session, key) is None
        with pytest.raises(NotFoundError):
            access.revoke_key(session, "none")


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StorageError):
        normalise_url(url)


def test_a_database_without_tables_is_one_clear_line(tmp_path: Path) -> None:
    empty = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(StorageError, match="no tables"), empty.read() as session:
        audits.list_audits(session)
    empty.close()
