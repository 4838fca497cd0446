"""The job engine on DBOS 3.4: state in the same SQLite file or PostgreSQL database as Assay's own tables.

DBOS keeps one application per process, so a process has at most one `JobWorker`. Its defaults are changed where they
would hurt: JSON instead of pickle, our own engine settings (`open_job_engine`), a poll every 0.1 s, and a fixed
application version that names the format of the job arguments, so that jobs are finished by the version that follows.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from dbos import DBOS, DBOSClient, DBOSConfig
from dbos import error as dbos_errors
from sqlalchemy.orm import Session

from audit.errors import AuditError, StorageError
from audit.jobs import JobArgs, JobHandler, JobStatus
from audit.requests import parse_name
from audit.store.engine import Store, open_job_engine
from audit.store.migrate import migration_lock

APPLICATION = "assay-audit"
ARGUMENT_FORMAT = "assay-jobs-1"
QUEUE = "assay"
WORKFLOW = "assay.job"
POLL_S = 0.1
RETRY_DELAYS_S = (0.5, 2.0, 10.0)
PEER_CHECK_S = 2.0
TIDY_S = 60.0
NAME_TRIES = 10

_log = logging.getLogger("assay.jobs")
_STATUS: dict[str, JobStatus] = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "done",
    "ERROR": "failed",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
    "CANCELLED": "cancelled",
}


def _serializer() -> Any:
    from dbos import DBOSPortableJSONSerializer

    return DBOSPortableJSONSerializer()


def create_job_tables(store: Store) -> None:
    """Create or upgrade the job system's tables in the database of `store`."""
    logging.getLogger("dbos").setLevel(logging.WARNING)
    with migration_lock(store):
        DBOS.migrate(store.url)


class DbosEngine:
    """`audit.jobs.JobEngine` on a DBOS client: submits from any process, runs nothing."""

    def __init__(self, url: str) -> None:
        logging.getLogger("dbos").setLevel(logging.WARNING)
        self._engine = open_job_engine(url)
        self._client = DBOSClient(
            system_database_engine=self._engine,
            serializer=_serializer(),
            application_name=APPLICATION,
            retry_connection_errors=False,
        )

    def submit(self, session: Session, job: str, job_id: str, args: JobArgs) -> None:
        """Enqueue in the caller's transaction (the outbox): neither row nor job exists without the other."""
        self._client.enqueue_in_transaction(
            session,
            {"queue_name": QUEUE, "workflow_name": WORKFLOW, "workflow_id": job_id},
            job,
            dict(args),
        )

    def status(self, job_id: str) -> JobStatus:
        found = self._client.list_workflows(workflow_ids=[job_id], load_input=False, load_output=False)
        return _STATUS.get(found[0].status, "unknown") if found else "unknown"

    def cancel(self, job_id: str) -> None:
        try:
            self._client.cancel_workflow(job_id)
        except dbos_errors.DBOSNonExistentWorkflowError:
            _log.debug("cancel: no job %s", job_id)

    def resume(self, job_id: str) -> None:
        try:
            self._client.resume_workflow(job_id)
        except dbos_errors.DBOSNonExistentWorkflowError:
            _log.debug("resume: no job %s", job_id)

    def close(self) -> None:
        """Give every connection back."""
        self._client.destroy()
        self._engine.dispose()


class JobWorker:
    """Runs jobs until stopped. `name` must be unique: a lock file under `locks` refuses a second worker of that name.

    Jobs of a worker that died are taken over, by itself at its next start or by any other worker on this machine
    within PEER_CHECK_S seconds: the dead worker's lock is free, which no living one's is.
    """

    def __init__(
        self,
        url: str,
        name: str,
        handlers: Mapping[str, JobHandler],
        locks: Path,
        concurrency: int = 2,
        stopping: threading.Event | None = None,
        tidy: Callable[[], None] | None = None,
    ) -> None:
        """`stopping` is set when the worker stops; handlers of long work look at it. `tidy` is called about every TIDY_S."""
        self._url, self._name, self._handlers = url, parse_name(name, "the worker's name"), handlers
        self._locks, self._concurrency = locks, concurrency
        self._stop = threading.Event() if stopping is None else stopping
        self._lock: IO[str] | None = None
        self._tidy = tidy
        self._watcher = threading.Thread(target=self._watch_peers, name="assay-peers", daemon=True)

    def start(self) -> None:
        """Take the name, recover this worker's unfinished jobs, and begin to take new ones. Raises StorageError."""
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = self._take_name()
        if self._lock is None:
            raise StorageError(f"a worker named {self._name} is running already; give this one another --name")
        self._engine = open_job_engine(self._url)
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self._url,
            "system_database_engine": self._engine,
            "serializer": _serializer(),
            "application_version": ARGUMENT_FORMAT,
            "executor_id": self._name,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._register()
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self._concurrency,
            polling_interval_sec=POLL_S,
            on_conflict="always_update",
        )
        self._peers = DbosEngine(self._url)
        self._watcher.start()

    def _take_name(self) -> IO[str] | None:
        """This worker's lock; a peer that is just looking for dead workers holds it for a moment only."""
        for _ in range(NAME_TRIES):
            lock = _try_lock(self._locks / f"worker-{self._name}.lock")
            if lock is not None:
                return lock
            time.sleep(0.2)
        return None

    def stop(self) -> None:
        """Stop taking jobs and let go of the name. A job that is running will be run again."""
        self._stop.set()
        self._watcher.join(timeout=10)
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
        self._peers.close()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def _register(self) -> None:
        handlers = self._handlers

        @DBOS.step(name="assay.attempt")
        def attempt(job: str, args: dict[str, Any]) -> dict[str, Any]:
            """One try; its answer is JSON, so that no exception is ever stored as an object."""
            try:
                handlers[job].run(args)
            except AuditError as error:
                return {"ok": False, "reason": str(error)}
            except Exception:
                _log.exception("job %s failed: %s", job, dict(args))
                return {"ok": False, "reason": "an internal error; the operator's log has the details"}
            return {"ok": True}

        @DBOS.step(name="assay.give_up")
        def give_up(job: str, args: dict[str, Any], reason: str) -> None:
            handlers[job].give_up(args, reason)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=100)
        def run_job(job: str, args: dict[str, Any]) -> bool:
            reason = f"this version knows no job {job}"
            for delay in (0.0, *RETRY_DELAYS_S):
                if job not in handlers:
                    return False
                if delay:
                    DBOS.sleep(delay)
                result = attempt(job, args)
                if result["ok"]:
                    return True
                reason = result["reason"]
            give_up(job, args, reason)
            return False

    def _watch_peers(self) -> None:
        tidied = time.monotonic()
        while not self._stop.wait(PEER_CHECK_S):
            try:
                self._take_over()
                if self._tidy is not None and time.monotonic() - tidied >= TIDY_S:
                    tidied = time.monotonic()
                    self._tidy()
            except Exception:
                _log.exception("looking for jobs of dead workers, or tidying up, failed; trying again")

    def _take_over(self) -> None:
        """Queue again what dead workers left running."""
        for path in sorted(self._locks.glob("worker-*.lock")):
            name = path.stem.removeprefix("worker-")
            if name == self._name:
                continue
            lock = _try_lock(path)
            if lock is None:
                continue
            with lock:  # held while its jobs are moved, so that it cannot start in between
                left = self._peers._client.list_workflows(status="PENDING", executor_id=name, load_input=False, load_output=False)
                for workflow in left:
                    _log.warning("taking over job %s of the dead worker %s", workflow.workflow_id, name)
                    self._peers._client.resume_workflow(workflow.workflow_id, queue_name=QUEUE)


def _try_lock(path: Path) -> IO[str] | None:
    """The open and locked file, or None when somebody else holds it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
