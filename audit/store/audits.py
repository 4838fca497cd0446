"""The life of an audit in the database. Every change locks the audit's row, checks its state, and adds an event.

open -> claimed -> checking -> done
  ^________|___________|          (lease over, evidence refused)
running -----------> checking -> done          (kinds that the service runs itself)
open, claimed, running, checking -> cancelled;   running, checking -> failed
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from audit.errors import ConflictError, ForbiddenError, NotFoundError
from audit.evidence import Manifest, compute_manifest_digest, manifest_to_json
from audit.registry import Outcome
from audit.requests import AUDIT_ID_CHARS, MAX_LEASE_S, MIN_LEASE_S, SERVICE, AuditRequest, audit_id_of
from audit.store.engine import for_update, now_ms
from audit.store.models import Audit, Event

FINAL_STATES = ("done", "cancelled", "failed")

MAX_ATTEMPTS = 16
MAX_PAGE = 200
MAX_EVENTS = 10_000


def create_audit(session: Session, request: AuditRequest, published: Manifest) -> Audit:
    """Add an audit: open for its provider, or running where the service makes the evidence. Raises ConflictError when this very
    request was made before."""
    digest, moment = request.sha256, now_ms()
    known = session.scalar(select(Audit.id).where(Audit.request_sha256 == digest))
    if known is not None:
        raise ConflictError(f"this request is already audit {known}; a new request needs a new nonce")
    audit = Audit(
        id=audit_id_of(request),
        request=request.to_json(),
        request_sha256=digest,
        auditor=request.auditor,
        provider=request.provider,
        kind=request.kind,
        published=manifest_to_json(published),
        state="open" if request.provider != SERVICE else "running",
        job_id=None if request.provider != SERVICE else f"run-audit-{audit_id_of(request)}",
        attempt=0,
        last_event=0,
        created_at=moment,
        updated_at=moment,
    )
    session.add(audit)
    session.flush()
    add_event(session, audit, "requested", {"kind": request.kind, "provider": request.provider})
    return audit


def get_audit(session: Session, audit_id: str) -> Audit:
    """The audit. Raises NotFoundError."""
    return _one(session, select(Audit).where(Audit.id == audit_id), audit_id)


def _lock(session: Session, audit_id: str) -> Audit:
    return _one(session, for_update(select(Audit).where(Audit.id == audit_id)), audit_id)


def _one(session: Session, statement: Select[Any], audit_id: str) -> Audit:
    audit: Audit | None = session.scalar(statement)
    if audit is None:
        raise NotFoundError(f"there is no audit {audit_id[:AUDIT_ID_CHARS]}")
    return audit


def list_audits(
    session: Session,
    *,
    provider: str | None = None,
    auditor: str | None = None,
    state: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[Audit]:
    """Newest first; `before` is the `seq` of the last one of the page before."""
    statement = select(Audit).order_by(Audit.seq.desc()).limit(min(limit, MAX_PAGE))
    for column, value in ((Audit.provider, provider), (Audit.auditor, auditor), (Audit.state, state)):
        if value is not None:
            statement = statement.where(column == value)
    if before is not None:
        statement = statement.where(Audit.seq < before)
    return session.scalars(statement).all()


def list_work(session: Session, provider: str, limit: int = MAX_PAGE) -> Sequence[Audit]:
    """What an agent of the provider may claim now, oldest first: open audits, and claims whose lease is over."""
    waiting = (Audit.state == "open") | ((Audit.state == "claimed") & (Audit.claim_until < now_ms()))
    statement = select(Audit).where(Audit.provider == provider, waiting).order_by(Audit.seq).limit(limit)
    return session.scalars(statement).all()


def claim_audit(session: Session, audit_id: str, agent: str, lease_s: int) -> tuple[Audit, str]:
    """Give the audit to one agent for `lease_s` seconds; the token proves it. Raises ConflictError when it is taken."""
    audit = _lock(session, audit_id)
    moment = now_ms()
    taken = audit.state == "claimed" and (audit.claim_until or 0) >= moment
    if taken or audit.state not in ("open", "claimed"):
        raise ConflictError(f"audit {audit.id} is {audit.state}; only an open audit can be claimed")
    token = secrets.token_urlsafe(24)
    audit.state, audit.claim_agent, audit.claim_sha256 = "claimed", agent, _hash(token)
    audit.claim_until = moment + _clamp_lease(lease_s) * 1000
    add_event(session, audit, "claimed", {"agent": agent})
    return audit, token


def renew_claim(session: Session, audit_id: str, token: str, lease_s: int, progress: dict[str, Any] | None) -> Audit:
    """Lengthen a lease and note progress. Raises ForbiddenError when the token is no longer the one that counts.

    A cancelled audit is given back as it is: the agent sees the state and stops.
    """
    audit = _lock(session, audit_id)
    if audit.state == "cancelled":
        return audit
    _check_token(audit, token)
    if audit.state != "claimed":
        raise ConflictError(f"audit {audit.id} is {audit.state}; there is no lease to renew")
    audit.claim_until = now_ms() + _clamp_lease(lease_s) * 1000
    if progress is not None and audit.last_event < MAX_EVENTS:
        add_event(session, audit, "progress", progress)
    return audit


def release_claim(session: Session, audit_id: str, token: str, reason: str) -> Audit:
    """Give an audit back, so that another agent may go on at once; a cancelled one stays as it is."""
    audit = _lock(session, audit_id)
    if audit.state == "cancelled":
        return audit
    _check_token(audit, token)
    if audit.state == "claimed":
        _reopen(audit)
        add_event(session, audit, "released", {"reason": reason})
    return audit


def submit_answer(session: Session, audit_id: str, token: str, answer: Manifest) -> tuple[Audit, bool]:
    """Take evidence for checking. True when it is new, False when this very submission was taken before."""
    audit = _lock(session, audit_id)
    _check_token(audit, token)
    digest = compute_manifest_digest(answer)
    if audit.state in ("checking", "done") and audit.answer_sha256 == digest:
        return audit, False
    if audit.state != "claimed":
        raise ConflictError(f"audit {audit.id} is {audit.state}; it takes no evidence now")
    audit.state, audit.attempt, audit.evidence_at = "checking", audit.attempt + 1, now_ms()
    audit.answer, audit.answer_sha256, audit.claim_until = manifest_to_json(answer), digest, None
    audit.job_id = f"audit-{audit.id}-{audit.attempt}-{digest[:16]}"
    add_event(session, audit, "evidence_received", {"files": len(answer), "sha256": digest})
    return audit, True


def note_progress(session: Session, audit_id: str, progress: dict[str, Any] | None) -> bool:
    """Note the progress of an audit that the service runs; False when it is not running any more (cancelled, say)."""
    audit = _lock(session, audit_id)
    if audit.state != "running":
        return False
    if progress is not None and audit.last_event < MAX_EVENTS:
        add_event(session, audit, "progress", progress)
    return True


def submit_run(session: Session, audit_id: str, answer: Manifest) -> bool:
    """Take the evidence that the service made itself; False when the audit is not running any more."""
    audit = _lock(session, audit_id)
    if audit.state != "running":
        return False
    digest = compute_manifest_digest(answer)
    audit.state, audit.attempt, audit.evidence_at = "checking", 1, now_ms()
    audit.answer, audit.answer_sha256 = manifest_to_json(answer), digest
    add_event(session, audit, "evidence_received", {"files": len(answer), "sha256": digest})
    return True


def fail_run(session: Session, audit_id: str, reason: str) -> bool:
    """The service could not make the evidence of an audit, or it did not pass the check."""
    audit = _lock(session, audit_id)
    if audit.state not in ("running", "checking"):
        return False
    return _fail(session, audit, reason)


def finish_audit(session: Session, audit_id: str, attempt: int, outcome: Outcome, report_sha256: str) -> bool:
    """Close the audit with its report; False when it was closed, cancelled or superseded before."""
    audit = _lock(session, audit_id)
    if audit.state != "checking" or audit.attempt != attempt:
        return False
    audit.state, audit.verdict, audit.report_sha256 = "done", outcome.verdict, report_sha256
    add_event(session, audit, "done", {"verdict": outcome.verdict, "report_sha256": report_sha256})
    return True


def refuse_answer(session: Session, audit_id: str, attempt: int, reason: str) -> bool:
    """Evidence that does not count: the audit opens again, until it was refused MAX_ATTEMPTS times."""
    audit = _lock(session, audit_id)
    if audit.state != "checking" or audit.attempt != attempt:
        return False
    if attempt >= MAX_ATTEMPTS:
        return _fail(session, audit, f"evidence was refused {attempt} times; the last reason: {reason}")
    _reopen(audit)
    add_event(session, audit, "evidence_refused", {"reason": reason, "attempt": attempt})
    return True


def fail_audit(session: Session, audit_id: str, attempt: int, reason: str) -> bool:
    """The service could not check the evidence. The operator may resume the job."""
    audit = _lock(session, audit_id)
    if audit.state != "checking" or audit.attempt != attempt:
        return False
    return _fail(session, audit, reason)


def cancel_audit(session: Session, audit_id: str) -> Audit:
    """Cancel; again is harmless. Raises ConflictError when the audit has ended otherwise."""
    audit = _lock(session, audit_id)
    if audit.state == "cancelled":
        return audit
    if audit.state in FINAL_STATES:
        raise ConflictError(f"audit {audit.id} is {audit.state}; it cannot be cancelled any more")
    audit.state, audit.claim_until = "cancelled", None
    add_event(session, audit, "cancelled", {})
    return audit


def add_event(session: Session, audit: Audit, kind: str, data: dict[str, Any]) -> None:
    """Append the next event; the caller holds the audit's row, which makes numbers gapless."""
    moment = now_ms()
    audit.last_event, audit.updated_at = audit.last_event + 1, moment
    session.add(Event(audit_seq=audit.seq, number=audit.last_event, type=kind, data=data, created_at=moment))
    session.flush()


def list_events(session: Session, audit_seq: int, after: int, limit: int = MAX_PAGE) -> Sequence[Event]:
    """Events with a number above `after`, in order."""
    chosen = select(Event).where(Event.audit_seq == audit_seq, Event.number > after)
    return session.scalars(chosen.order_by(Event.number).limit(limit)).all()


def _fail(session: Session, audit: Audit, reason: str) -> bool:
    audit.state, audit.detail = "failed", reason
    add_event(session, audit, "failed", {"reason": reason})
    return True


def _reopen(audit: Audit) -> None:
    audit.state, audit.claim_sha256, audit.claim_agent, audit.claim_until = "open", None, None, None


def _check_token(audit: Audit, token: str) -> None:
    if audit.claim_sha256 is None or not hmac.compare_digest(audit.claim_sha256, _hash(token)):
        raise ForbiddenError(f"this claim on audit {audit.id} is no longer valid; another agent may have it")


def _clamp_lease(lease_s: int) -> int:
    return max(MIN_LEASE_S, min(MAX_LEASE_S, lease_s))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()
