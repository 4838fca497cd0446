"""Uploads: bytes under their SHA-256. A blob means nothing until a signed manifest or an answer names it."""

from __future__ import annotations

from typing import Any

import anyio
from fastapi import APIRouter, Request

from api.deps import Caller, OpenRuntime
from audit.blobs import BlobWriter
from audit.errors import ForbiddenError, NotFoundError
from audit.requests import parse_digest

router = APIRouter(tags=["blobs"])


@router.put("/blobs/{sha256}", status_code=201)
async def upload_blob(sha256: str, request: Request, caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """Store the body under its digest; a body with another digest is refused. Uploading again is harmless."""
    if caller.role not in ("admin", "provider"):
        raise ForbiddenError("uploading needs a key with the role provider")
    parse_digest(sha256, "the digest in the path")
    writer = await anyio.to_thread.run_sync(BlobWriter, runtime.service.blobs, sha256)
    with writer:
        async for chunk in request.stream():
            writer.write(chunk)
    return {"sha256": sha256, "size": writer.size}


@router.get("/blobs/{sha256}/size")
def show_blob_size(sha256: str, caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """Whether a blob is here, so that an interrupted upload sends only what is missing."""
    size = runtime.service.blobs.size(parse_digest(sha256, "the digest in the path"))
    if size is None:
        raise NotFoundError("there is no such blob")
    return {"sha256": sha256, "size": size}
