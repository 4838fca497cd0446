"""Providers and their commitments."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from api.deps import Caller, OnePage, OpenRuntime, Service
from api.shapes import show_commitment, show_provider
from audit.store import runs

router = APIRouter(tags=["providers"])


@router.post("/providers", status_code=201)
def register_provider(caller: Caller, service: Service, envelope: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """Register a provider: a DSSE envelope over its name and public key, signed with that key."""
    return show_provider(service.register_provider(caller, envelope))


@router.get("/providers")
def list_providers(request: Request, response: Response, runtime: OpenRuntime, page: OnePage) -> dict[str, Any]:
    """Providers, newest first."""
    with runtime.store.read() as session:
        rows = list(runs.list_providers(session, page.before, page.limit))
    body, link = page.wrap(request, rows, [show_provider(row) for row in rows])
    if link:
        response.headers["Link"] = link
    return body


@router.get("/providers/{provider}")
def show_one_provider(provider: str, runtime: OpenRuntime) -> dict[str, Any]:
    """One provider."""
    with runtime.store.read() as session:
        return show_provider(runs.get_provider(session, provider))


@router.post("/providers/{provider}/commitments", status_code=201)
def add_commitment(
    provider: str, caller: Caller, service: Service, envelope: Annotated[dict[str, Any], Body()]
) -> dict[str, Any]:
    """Add a commitment: a DSSE envelope over the digest of a record that was uploaded as a blob."""
    return show_commitment(service.add_commitment(caller, provider, envelope))


@router.get("/commitments")
def list_commitments(
    request: Request,
    response: Response,
    runtime: OpenRuntime,
    page: OnePage,
    provider: Annotated[str | None, Query(max_length=63)] = None,
) -> dict[str, Any]:
    """Commitments, newest first."""
    with runtime.store.read() as session:
        rows = list(runs.list_commitments(session, provider, page.before, page.limit))
    body, link = page.wrap(request, rows, [show_commitment(row) for row in rows])
    if link:
        response.headers["Link"] = link
    return body
