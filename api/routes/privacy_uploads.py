"""Sealed uploads for privacy audits: values of a consent, private records. What is in them is in no answer, error or log.

Bodies are read as bytes: a validator that names members or shows what it got could show a value.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from api.deps import Caller, OpenRuntime
from api.shapes import show_upload

router = APIRouter(tags=["privacy"])


async def read_body(request: Request) -> bytes:
    """The body as it came, within the bound of JSON bodies."""
    return await request.body()


Body = Annotated[bytes, Depends(read_body)]


def _document(*members: str) -> dict[str, Any]:
    shape = {
        "type": "object",
        "required": list(members),
        "properties": {
            **{name: {"type": "object"} for name in members},
            "auditors": {"type": "array", "items": {"type": "string"}},
        },
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": shape}}}}


@router.post("/privacy/openings", status_code=201, openapi_extra=_document("consent", "openings"))
def add_openings(caller: Caller, runtime: OpenRuntime, body: Body) -> dict[str, Any]:
    """Hand over the values of a signed consent, for the auditors named. They are kept sealed until one audit has ended."""
    return show_upload(runtime.uploads.add_openings(caller, body), caller)


@router.post("/privacy/records", status_code=201, openapi_extra=_document("records"))
def add_records(caller: Caller, runtime: OpenRuntime, body: Body) -> dict[str, Any]:
    """Hand over private records, for the auditors named. They are kept sealed until one audit has ended."""
    return show_upload(runtime.uploads.add_records(caller, body), caller)


@router.get("/privacy/uploads")
def list_uploads(caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """The uploads the caller may use, newest first."""
    rows = runtime.uploads.list_uploads(caller)
    return {"items": [show_upload(row, caller) for row in rows], "next_cursor": None}


@router.delete("/privacy/uploads/{digest}")
def delete_upload(digest: str, caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """Take an upload of the caller's back. An audit that runs on it fails; reports stay."""
    runtime.uploads.delete_upload(caller, digest)
    return {"digest": digest, "deleted": True}
