"""Durable jobs, as the rest of the service sees them. The engine behind it is `audit.jobs_dbos`.

A job runs at least once after the transaction that submitted it has committed, and not at all if that rolled back.
Submitting the same id again is harmless. Handlers are therefore idempotent: they compute from stored bytes, and end
in one transaction whose condition lets a single result through. Progress of an audit is in its events
(`audit.store.audits`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sqlalchemy.orm import Session

JobStatus = Literal["unknown", "queued", "running", "done", "failed", "cancelled"]

JobArgs = Mapping[str, Any]
"""JSON values only, and small: digests and ids, never contents."""


class WorkerStopping(BaseException):
    """Raised by a handler that was interrupted because its worker ends: the job stays as it is, and runs again later.

    No Exception, so that nothing on the way takes it for a failure of the job.
    """


@dataclass(frozen=True)
class JobHandler:
    """What a kind of job does, and what happens when it failed for good.

    `run` returns when its result is stored. It raises for trouble that may pass (a full disk, a lost database) and is
    called again; long work raises WorkerStopping when its worker ends. `give_up(args, reason)` records a failure that did not
    pass; `reason` is public.
    """

    run: Callable[[JobArgs], None]
    give_up: Callable[[JobArgs, str], None]


class JobEngine(Protocol):
    """The submitting side."""

    def submit(self, session: Session, job: str, job_id: str, args: JobArgs) -> None:
        """Enqueue `job` in the caller's transaction; `job_id` is its idempotency key."""
        ...

    def status(self, job_id: str) -> JobStatus: ...

    def cancel(self, job_id: str) -> None:
        """Keep a job from starting; one that runs is let go on, its result will not be taken. Idempotent."""
        ...

    def resume(self, job_id: str) -> None:
        """Run a cancelled or stuck job again. Harmless for one that is done or unknown."""
        ...
