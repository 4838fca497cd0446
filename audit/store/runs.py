"""Providers, their commitments, and their published runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from audit.errors import ConflictError, NotFoundError
from audit.evidence import Manifest, compute_manifest_digest, manifest_to_json
from audit.requests import SERVICE
from audit.store.audits import MAX_PAGE
from audit.store.engine import for_update, now_ms
from audit.store.models import Commitment, Provider, Run, Segment
from audit.zk_gate import PROOF_FOLDER, PROOF_SUFFIX, STATEMENT_SUFFIX, RunVerdict, list_pair_names

_STATE_OF_VERDICT = {"holds": "verified", "refuted": "refuted", "inconclusive": "inconclusive"}


def add_provider(session: Session, name: str, owner: str, public_key: str, envelope_sha256: str) -> Provider:
    """Register a provider; the same registration again is harmless. Raises ConflictError when the name is taken."""
    if name == SERVICE:
        raise ConflictError(f"the provider name {name} is reserved; choose another")
    known = session.scalar(for_update(select(Provider).where(Provider.name == name)))
    if known is not None:
        if known.owner == owner and known.public_key == public_key:
            return known
        raise ConflictError(f"the provider name {name} is taken; choose another")
    provider = Provider(name=name, owner=owner, public_key=public_key, envelope_sha256=envelope_sha256, created_at=now_ms())
    session.add(provider)
    session.flush()
    return provider


def get_provider(session: Session, name: str) -> Provider:
    """The provider. Raises NotFoundError."""
    provider = None if name == SERVICE else session.scalar(select(Provider).where(Provider.name == name))
    if provider is None:
        raise NotFoundError(f"there is no provider {name[:63]}")
    return provider


def list_providers(session: Session, before: int | None = None, limit: int = 50) -> Sequence[Provider]:
    """Newest first."""
    statement = select(Provider).where(Provider.name != SERVICE).order_by(Provider.seq.desc()).limit(min(limit, MAX_PAGE))
    return session.scalars(statement if before is None else statement.where(Provider.seq < before)).all()


def add_commitment(
    session: Session, provider: str, name: str, digest: str, envelope: tuple[str, int], record_size: int
) -> Commitment:
    """Add a signed commitment; the same record again gives the one that is there."""
    known = session.scalar(select(Commitment).where(Commitment.provider == provider, Commitment.digest == digest))
    if known is not None:
        return known
    commitment = Commitment(
        provider=provider,
        name=name,
        digest=digest,
        envelope_sha256=envelope[0],
        envelope_size=envelope[1],
        record_size=record_size,
        created_at=now_ms(),
    )
    session.add(commitment)
    session.flush()
    return commitment


def get_commitment(session: Session, provider: str, digest: str) -> Commitment:
    """The commitment. Raises NotFoundError."""
    found = session.scalar(select(Commitment).where(Commitment.provider == provider, Commitment.digest == digest))
    if found is None:
        raise NotFoundError(f"provider {provider[:63]} has no commitment {digest[:64]} here")
    return found


def list_commitments(session: Session, provider: str | None, before: int | None = None, limit: int = 50) -> Sequence[Commitment]:
    """Newest first."""
    statement = select(Commitment).order_by(Commitment.seq.desc()).limit(min(limit, MAX_PAGE))
    if provider is not None:
        statement = statement.where(Commitment.provider == provider)
    return session.scalars(statement if before is None else statement.where(Commitment.seq < before)).all()


def publish_run(session: Session, provider: str, run_id: str, manifest: Manifest, envelope_sha256: str) -> tuple[Run, bool]:
    """Take the public files of a run; True when there is something to verify.

    A run grows: a later manifest must hold every file of the earlier one unchanged. One that did not verify may be
    replaced, but never what was accepted before it: a broken addition is no way to take a run back. Raises ConflictError
    otherwise.
    """
    digest, moment = compute_manifest_digest(manifest), now_ms()
    run = session.scalar(for_update(select(Run).where(Run.provider == provider, Run.run_id == run_id)))
    if run is not None and run.manifest_sha256 == digest and run.state != "failed":
        return run, False
    if run is None:
        run = Run(provider=provider, run_id=run_id, created_at=moment)
        session.add(run)
    else:
        _check_growth(run.accepted or [], manifest)
        if run.state not in ("refuted", "failed"):
            _check_growth(run.manifest, manifest)
    run.state, run.manifest, run.manifest_sha256 = "checking", manifest_to_json(manifest), digest
    run.envelope_sha256, run.outcome, run.detail, run.updated_at = envelope_sha256, None, None, moment
    run.job_id = f"run-{provider}-{run_id[:16]}-{digest[:16]}-{moment}"
    session.flush()
    _write_segments(session, run, manifest)
    return run, True


def _check_growth(before: Sequence[Mapping[str, Any]], manifest: Manifest) -> None:
    now = {ref.name: ref.sha256 for ref in manifest}
    for entry in before:
        if now.get(entry["name"]) != entry["sha256"]:
            raise ConflictError(f"{entry['name']} was published before with other bytes; a published run only grows")


def _write_segments(session: Session, run: Run, manifest: Manifest) -> None:
    digests = {ref.name: ref.sha256 for ref in manifest}
    session.execute(delete(Segment).where(Segment.run_seq == run.seq))
    session.add_all(
        Segment(
            run_seq=run.seq,
            name=name,
            statement_sha256=digests[PROOF_FOLDER + name + STATEMENT_SUFFIX],
            proof_sha256=digests[PROOF_FOLDER + name + PROOF_SUFFIX],
            state="received",
            detail=None,
        )
        for name in list_pair_names(digests)
    )
    session.flush()


def get_run(session: Session, provider: str, run_id: str) -> Run:
    """The run. Raises NotFoundError."""
    run = session.scalar(select(Run).where(Run.provider == provider, Run.run_id == run_id))
    if run is None:
        raise NotFoundError(f"provider {provider[:63]} has not published a run {run_id[:64]} here")
    return run


def list_runs(session: Session, provider: str | None, before: int | None = None, limit: int = 50) -> Sequence[Run]:
    """Newest first."""
    statement = select(Run).order_by(Run.seq.desc()).limit(min(limit, MAX_PAGE))
    if provider is not None:
        statement = statement.where(Run.provider == provider)
    return session.scalars(statement if before is None else statement.where(Run.seq < before)).all()


def list_segments(session: Session, run: Run) -> Sequence[Segment]:
    """By name."""
    return session.scalars(select(Segment).where(Segment.run_seq == run.seq).order_by(Segment.name)).all()


def finish_run(session: Session, provider: str, run_id: str, manifest_sha256: str, found: RunVerdict) -> bool:
    """Write down what verification found; False when the run was published anew in between."""
    run = session.scalar(for_update(select(Run).where(Run.provider == provider, Run.run_id == run_id)))
    if run is None or run.state != "checking" or run.manifest_sha256 != manifest_sha256:
        return False
    run.state, run.updated_at, run.outcome = _STATE_OF_VERDICT[found.verdict], now_ms(), _to_json(found)
    if found.verdict != "refuted":
        run.accepted = run.manifest
    for segment in list_segments(session, run):
        segment.state, segment.detail = _judge_segment(segment.name, found)
    return True


def fail_run(session: Session, provider: str, run_id: str, manifest_sha256: str, reason: str) -> bool:
    """The files are no run, or the service could not verify them; publishing again is allowed."""
    run = session.scalar(for_update(select(Run).where(Run.provider == provider, Run.run_id == run_id)))
    if run is None or run.state != "checking" or run.manifest_sha256 != manifest_sha256:
        return False
    run.state, run.detail, run.updated_at = "failed", reason, now_ms()
    return True


def _judge_segment(name: str, found: RunVerdict) -> tuple[str, str | None]:
    """A segment counts when the whole bundle has no failed check; otherwise the failed checks say whose fault it is.

    A check belongs to a segment when its id is a word, a dot and the segment's name ("proof.NAME").
    """
    failed = [check for check in found.checks if check.ok is False]
    if not failed and found.verdict != "refuted":
        return "verified", None
    for check in failed:
        if check.id.partition(".")[2] == name:
            return "refused", f"{check.id}: {check.detail}"[:500]
    return "unproven", "another check of this run failed"


def _to_json(found: RunVerdict) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "checks": [check.to_json() for check in found.checks],
        "conditions": list(found.conditions),
        "outputs": dict(found.outputs),
    }
