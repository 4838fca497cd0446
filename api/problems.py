"""Every error is an RFC 9457 problem document with an absolute `type`, and carries no secret or input value."""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from audit import errors

TYPE_PREFIX = "urn:assay:problem:"
MEDIA_TYPE = "application/problem+json"
MAX_DETAIL_CHARS = 1000

_log = logging.getLogger("assay.api")
_STATUS: dict[type[errors.AuditError], int] = {
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.ForbiddenError: 403,
    errors.StorageError: 503,
    errors.CancelledError: 409,
}
_TITLES = {
    "audit-error": "The request cannot be carried out",
    "bad-request": "The request is malformed",
    "bad-evidence": "The evidence is malformed or incomplete",
    "bad-signature": "A signature is missing or wrong",
    "bad-key": "A key is malformed",
    "bad-report": "The report is malformed",
    "not-found": "There is no such thing here",
    "conflict": "The state does not allow this",
    "idempotency-mismatch": "The Idempotency-Key belongs to another request",
    "forbidden": "This key may not do that",
    "storage": "The service cannot store or read right now",
    "cancelled": "The audit was cancelled",
    "runner": "The model cannot be used",
    "missing-capability": "The model does not offer what this needs",
    "unauthenticated": "A valid API key is needed",
    "too-large": "The body is too large",
    "method-not-allowed": "This resource does not take that method",
    "internal": "The service failed",
}
_SLUG_OF_STATUS = {401: "unauthenticated", 403: "forbidden", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}


class UnauthenticatedError(Exception):
    """No API key, or one that is not valid."""


def problem(slug: str, status: int, detail: str, **more: Any) -> Response:
    """A problem document."""
    headers = {"WWW-Authenticate": 'Bearer realm="assay"'} if status == 401 else None
    shown = detail if len(detail) <= MAX_DETAIL_CHARS else detail[:MAX_DETAIL_CHARS] + " ..."
    body = {"type": TYPE_PREFIX + slug, "title": _TITLES[slug], "status": status, "detail": shown, **more}
    # In ASCII: a detail may quote a name that UTF-8 cannot carry.
    return Response(json.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every kind of failure with a problem document."""

    @app.exception_handler(errors.AuditError)
    def audit_error(request: Request, error: errors.AuditError) -> Response:
        return problem(error.slug, _STATUS.get(type(error), 422), str(error))

    @app.exception_handler(UnauthenticatedError)
    def unauthenticated(request: Request, error: UnauthenticatedError) -> Response:
        return problem("unauthenticated", 401, str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        # Only places and rules: the values may be secret.
        found = [{"where": ".".join(map(str, item["loc"])), "rule": item["msg"]} for item in error.errors()[:20]]
        places = ", ".join(item["where"] for item in found)
        return problem("bad-request", 422, f"these do not have the form they must have: {places}", errors=found)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        slug = _SLUG_OF_STATUS.get(error.status_code, "bad-request" if error.status_code < 500 else "internal")
        detail = f"{request.method} {request.url.path}: {error.detail}"[:300]
        answer = problem(slug, error.status_code, detail)
        if error.headers:
            answer.headers.update(error.headers)
        return answer

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem("internal", 500, "an internal error; the operator's log has the details")
