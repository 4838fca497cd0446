"""How rows look in JSON. Owners, key ids of callers, and claim tokens are not shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audit.running import public_address
from audit.store.access import Principal
from audit.store.engine import format_ms
from audit.store.models import ApiKey, Audit, Commitment, Event, Model, Provider, Run, SealedUpload, Segment, WatermarkKeyRow


def show_provider(provider: Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "public_key": provider.public_key,
        "created_at": format_ms(provider.created_at),
    }


def show_commitment(commitment: Commitment) -> dict[str, Any]:
    return {
        "provider": commitment.provider,
        "name": commitment.name,
        "digest": commitment.digest,
        "record_size": commitment.record_size,
        "envelope_sha256": commitment.envelope_sha256,
        "created_at": format_ms(commitment.created_at),
    }


def show_run(run: Run, segments: Sequence[Segment] | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "provider": run.provider,
        "run_id": run.run_id,
        "state": run.state,
        "detail": run.detail,
        "outcome": run.outcome,
        "manifest_sha256": run.manifest_sha256,
        "created_at": format_ms(run.created_at),
        "updated_at": format_ms(run.updated_at),
    }
    if segments is not None:
        shown["files"] = run.manifest
        shown["segments"] = [show_segment(segment) for segment in segments]
    return shown


def show_segment(segment: Segment) -> dict[str, Any]:
    return {
        "name": segment.name,
        "state": segment.state,
        "detail": segment.detail,
        "statement_sha256": segment.statement_sha256,
        "proof_sha256": segment.proof_sha256,
    }


def show_audit(audit: Audit) -> dict[str, Any]:
    return {
        "id": audit.id,
        "state": audit.state,
        "verdict": audit.verdict,
        "detail": audit.detail,
        "kind": audit.kind,
        "provider": audit.provider,
        "auditor": audit.auditor,
        "request": audit.request,
        "request_sha256": audit.request_sha256,
        "agent": audit.claim_agent,
        "attempt": audit.attempt,
        "evidence": audit.answer,
        "evidence_sha256": audit.answer_sha256,
        "report_sha256": audit.report_sha256,
        "last_event": audit.last_event,
        "created_at": format_ms(audit.created_at),
        "updated_at": format_ms(audit.updated_at),
    }


def show_event(event: Event) -> dict[str, Any]:
    return {"number": event.number, "type": event.type, "at": format_ms(event.created_at), "data": event.data}


def show_key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "role": key.role,
        "owner": key.owner,
        "created_at": format_ms(key.created_at),
        "revoked_at": None if key.revoked_at is None else format_ms(key.revoked_at),
    }


def show_model(model: Model, caller: Principal) -> dict[str, Any]:
    """`auditors`, and where a folder lies, only to those who manage the model."""
    manages = caller.role == "admin" or caller.owner == model.owner
    return {
        "id": model.id,
        "name": model.name,
        "owner": model.owner,
        "kind": model.kind,
        "address": model.address if manages else public_address(model),
        "state": model.state,
        "detail": model.detail,
        "tier": None if model.tier is None else f"T{model.tier}",
        "capabilities": model.capabilities,
        "attestation": model.attestation,
        "digest": model.digest,
        "created_at": format_ms(model.created_at),
        **_lent_to(model, caller),
    }


def show_watermark_key(key: WatermarkKeyRow, caller: Principal) -> dict[str, Any]:
    """Never the key: what its dialect calls public, its commitment and its hazards."""
    return {
        "commitment": key.commitment,
        "owner": key.owner,
        "family": key.family,
        "public": key.public,
        "hazards": key.hazards,
        "tokenizer": key.tokenizer,
        "created_at": format_ms(key.created_at),
        **_lent_to(key, caller),
    }


def show_upload(upload: SealedUpload, caller: Principal) -> dict[str, Any]:
    """Never what is in it: commitments, types and length classes, or how many records."""
    return {
        "digest": upload.digest,
        "kind": upload.kind,
        "owner": upload.owner,
        **upload.facts,
        "model_digest": upload.model_digest,
        "expires_at": format_ms(upload.expires_at),
        "audit": upload.audit_id,
        "created_at": format_ms(upload.created_at),
        **_lent_to(upload, caller),
    }


def _lent_to(row: Model | WatermarkKeyRow | SealedUpload, caller: Principal) -> dict[str, Any]:
    return {"auditors": row.auditors} if caller.role == "admin" or caller.owner == row.owner else {}
