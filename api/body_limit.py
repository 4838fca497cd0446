"""A bound on request bodies, counted while they arrive: a false or missing Content-Length does not help."""

from __future__ import annotations

from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem
from api.settings import MAX_JSON_BODY_BYTES
from audit.evidence import MAX_FILE_BYTES

BLOB_PATH = "/v1/blobs/"


class _TooLarge(Exception):
    """The body went beyond its bound."""


class BodyLimit:
    """ASGI middleware: 413 beyond MAX_FILE_BYTES for blobs and MAX_JSON_BODY_BYTES for everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bound = MAX_FILE_BYTES if scope["path"].startswith(BLOB_PATH) else MAX_JSON_BODY_BYTES
        answer = problem("too-large", 413, f"at most {bound} bytes are accepted here")
        if _declared_length(scope) > bound:
            await answer(scope, receive, send)
            return
        seen, started = 0, False

        async def bounded_receive() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > bound:
                raise _TooLarge
            return message

        async def guarded_send(message: Message) -> None:
            """Whatever the application makes of the interruption, 413 is what goes out."""
            nonlocal started
            if seen <= bound or started:
                started = True
                await send(message)

        with suppress(_TooLarge):
            await self._app(scope, bounded_receive, guarded_send)
        if seen > bound and not started:
            await answer(scope, receive, send)


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0
