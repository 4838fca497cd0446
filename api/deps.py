"""What routes ask for: the service, the caller, a page, one audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request

from api.problems import UnauthenticatedError
from api.runtime import Runtime
from audit.errors import RequestError
from audit.service import AuditService, parse_audit_id
from audit.store import audits
from audit.store.access import Principal, authenticate
from audit.store.models import Audit


def get_runtime(request: Request) -> Runtime:
    """The open service of this process."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def get_service(runtime: Annotated[Runtime, Depends(get_runtime)]) -> AuditService:
    """The operations."""
    return runtime.service


def get_caller(
    runtime: Annotated[Runtime, Depends(get_runtime)], authorization: Annotated[str | None, Header()] = None
) -> Principal:
    """Who calls, by `Authorization: Bearer assay_ID.SECRET`."""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise UnauthenticatedError("send an API key: Authorization: Bearer assay_ID.SECRET")
    with runtime.store.read() as session:
        caller = authenticate(session, key.strip())
    if caller is None:
        raise UnauthenticatedError("the API key is unknown or revoked")
    return caller


def get_audit(audit_id: str, runtime: Annotated[Runtime, Depends(get_runtime)]) -> Audit:
    """The audit of the path, before anything is streamed."""
    with runtime.store.read() as session:
        return audits.get_audit(session, parse_audit_id(audit_id))


@dataclass(frozen=True)
class Page:
    """A keyset page: `before` is the number of the last item of the page before."""

    limit: int
    before: int | None

    def wrap(self, request: Request, rows: list[Any], items: list[dict[str, Any]]) -> tuple[dict[str, Any], str | None]:
        """The body of a list answer, and its Link header when there is more."""
        if len(rows) < self.limit:
            return {"items": items, "next_cursor": None}, None
        cursor = str(rows[-1].seq)
        link = str(request.url.include_query_params(cursor=cursor))
        return {"items": items, "next_cursor": cursor}, f'<{link}>; rel="next"'


def get_page(limit: Annotated[int, Query(ge=1, le=audits.MAX_PAGE)] = 50, cursor: Annotated[str | None, Query()] = None) -> Page:
    """`limit` and `cursor` of a list."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise RequestError("cursor must be the next_cursor of the page before")
    return Page(limit, int(cursor) if cursor is not None else None)


Service = Annotated[AuditService, Depends(get_service)]
Caller = Annotated[Principal, Depends(get_caller)]
OpenRuntime = Annotated[Runtime, Depends(get_runtime)]
OnePage = Annotated[Page, Depends(get_page)]
OneAudit = Annotated[Audit, Depends(get_audit)]
