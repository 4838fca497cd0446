"""Audits: request, list, show, watch, cancel."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.deps import Caller, OneAudit, OnePage, OpenRuntime, Service
from api.runtime import Runtime
from api.shapes import show_audit, show_event
from audit.canonical import canonical_bytes
from audit.errors import RequestError
from audit.service import parse_audit_id
from audit.store import audits, idempotency
from audit.store.idempotency import Claimed
from audit.store.models import Event

router = APIRouter(tags=["audits"])
EVENT_POLL_S = 0.1
MAX_NUMBER_CHARS = 18


@router.post("/audits", status_code=201)
def create_audit(
    caller: Caller,
    service: Service,
    document: Annotated[dict[str, Any], Body()],
    key: Annotated[str | None, Header(alias="Idempotency-Key")] = None,
) -> JSONResponse:
    """Open an audit. With an Idempotency-Key, an equal body replays the first answer and another body is refused."""
    asked = service.read_request(caller, document)  # before any replay: a key of another role gets no answer
    claimed = _claim(caller.owner, key, document)
    with idempotency.in_progress(claimed) if claimed else nullcontext(), service.store.write() as session:
        if claimed and (before := idempotency.find_answer(session, claimed)):
            return JSONResponse(before.body, before.status, headers={"Idempotent-Replayed": "true"})
        audit = service.open_audit(session, asked)
        body = show_audit(audit)
        if claimed:
            idempotency.store_answer(session, claimed, 201, body)
    return JSONResponse(body, 201, headers={"Location": f"/v1/audits/{audit.id}"})


def _claim(owner: str, key: str | None, document: dict[str, Any]) -> Claimed | None:
    if key is None:
        return None
    if not 1 <= len(key) <= idempotency.MAX_KEY_CHARS or not key.isprintable():
        raise RequestError(f"an Idempotency-Key has 1 to {idempotency.MAX_KEY_CHARS} printable characters")
    return Claimed(owner, "POST /v1/audits", key, hashlib.sha256(canonical_bytes(document)).hexdigest())


@router.get("/audits")
def list_audits(
    request: Request,
    response: Response,
    runtime: OpenRuntime,
    page: OnePage,
    provider: Annotated[str | None, Query(max_length=63)] = None,
    auditor: Annotated[str | None, Query(max_length=63)] = None,
    state: Annotated[str | None, Query(max_length=16)] = None,
) -> dict[str, Any]:
    """Audits, newest first."""
    with runtime.store.read() as session:
        rows = list(
            audits.list_audits(session, provider=provider, auditor=auditor, state=state, before=page.before, limit=page.limit)
        )
    body, link = page.wrap(request, rows, [show_audit(row) for row in rows])
    if link:
        response.headers["Link"] = link
    return body


@router.get("/audits/{audit_id}")
def show_one_audit(audit: OneAudit) -> dict[str, Any]:
    """One audit."""
    return show_audit(audit)


@router.post("/audits/{audit_id}/cancel")
def cancel_audit(audit_id: str, caller: Caller, service: Service) -> dict[str, Any]:
    """Cancel; again is harmless. A cancelled audit never gets a report."""
    return show_audit(service.cancel_audit(caller, parse_audit_id(audit_id)))


@router.get("/audits/{audit_id}/events", response_class=EventSourceResponse)
async def watch_audit(
    audit: OneAudit,
    request: Request,
    runtime: OpenRuntime,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Events as they happen, each once and in order; after a break, from Last-Event-ID on. Ends when the audit has."""
    after = _parse_event_number(last_event_id)
    while not request.app.state.stopping:
        events, ended = await anyio.to_thread.run_sync(_next_events, runtime, audit.id, audit.seq, after)
        for event in events:
            after = event.number
            yield ServerSentEvent(data=show_event(event), event=event.type, id=str(event.number))
        if ended and not events:
            return
        if not events:
            await asyncio.sleep(EVENT_POLL_S)


def _parse_event_number(text: str | None) -> int:
    """The number of a Last-Event-ID header; 0 for anything that is none."""
    known = text is not None and len(text) <= MAX_NUMBER_CHARS and text.isascii() and text.isdigit()
    return int(text) if known and text else 0


def _next_events(runtime: Runtime, audit_id: str, audit_seq: int, after: int) -> tuple[list[Event], bool]:
    """Events after a number, and whether the audit had ended in the same look at the database."""
    with runtime.store.read() as session:
        ended = audits.get_audit(session, audit_id).state in audits.FINAL_STATES
        return list(audits.list_events(session, audit_seq, after)), ended
