"""The provider's queue: list, claim with a lease, keep alive, give back, hand in evidence."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Caller, Service
from api.shapes import show_audit
from audit.requests import MAX_LEASE_S, MIN_LEASE_S
from audit.service import parse_audit_id

router = APIRouter(tags=["work"])

LeaseSeconds = Annotated[int, Field(ge=MIN_LEASE_S, le=MAX_LEASE_S)]
ClaimToken = Annotated[str, Field(min_length=1, max_length=128)]


class _Closed(BaseModel):
    """Bodies are small and closed: an unknown member is an error, not a silent nothing."""

    model_config = ConfigDict(extra="forbid")


class ClaimBody(_Closed):
    """Who claims, and for how long."""

    agent: Annotated[str, Field(max_length=63)]
    lease_s: LeaseSeconds = 60


class ProgressBody(_Closed):
    """Public progress: a fraction and a short message."""

    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    message: Annotated[str, Field(max_length=200)] = ""


class RenewBody(_Closed):
    """Keeps a claim alive."""

    claim: ClaimToken
    lease_s: LeaseSeconds = 60
    progress: ProgressBody | None = None


class ReleaseBody(_Closed):
    """Gives a claim back."""

    claim: ClaimToken
    reason: Annotated[str, Field(max_length=300)] = ""


class EvidenceBody(_Closed):
    """The manifest of the evidence; its bytes were uploaded as blobs."""

    claim: ClaimToken
    files: list[dict[str, Any]]


@router.get("/providers/{provider}/work")
def list_work(provider: str, caller: Caller, service: Service) -> dict[str, Any]:
    """What an agent of this provider may claim now, oldest first."""
    return {"items": [show_audit(audit) for audit in service.list_work(caller, provider)], "next_cursor": None}


@router.post("/audits/{audit_id}/claim")
def claim(audit_id: str, caller: Caller, service: Service, body: ClaimBody) -> dict[str, Any]:
    """Claim an audit: of several agents one succeeds, the others get 409. The lease runs out unless renewed."""
    audit, token = service.claim(caller, parse_audit_id(audit_id), body.agent, body.lease_s)
    return {"claim": token, "audit": show_audit(audit)}


@router.post("/audits/{audit_id}/renew")
def renew(audit_id: str, caller: Caller, service: Service, body: RenewBody) -> dict[str, Any]:
    """Keep a claim alive and report progress; the answer says when the audit was cancelled."""
    progress = body.progress.model_dump() if body.progress else None
    return show_audit(service.renew(caller, parse_audit_id(audit_id), body.claim, body.lease_s, progress))


@router.post("/audits/{audit_id}/release")
def release(audit_id: str, caller: Caller, service: Service, body: ReleaseBody) -> dict[str, Any]:
    """Give a claim back, with a public reason."""
    return show_audit(service.release(caller, parse_audit_id(audit_id), body.claim, body.reason))


@router.post("/audits/{audit_id}/evidence", status_code=202)
def submit_evidence(audit_id: str, caller: Caller, service: Service, body: EvidenceBody) -> dict[str, Any]:
    """Hand in evidence. It is checked by a job before it counts; the same submission again is harmless."""
    return show_audit(service.submit_evidence(caller, parse_audit_id(audit_id), body.claim, body.files))
