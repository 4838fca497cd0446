"""Watermark keys: hand one over, list what may be known of them, forget one. A key itself is never in an answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.deps import Caller, OpenRuntime
from api.shapes import show_watermark_key

router = APIRouter(tags=["watermark keys"])


class WatermarkKeyBody(BaseModel):
    """The content of a key file, and the auditors who may use it besides its owner."""

    model_config = ConfigDict(extra="forbid")
    key: dict[str, Any]
    auditors: list[str] = []


@router.post("/watermark-keys", status_code=201)
def add_watermark_key(caller: Caller, runtime: OpenRuntime, body: WatermarkKeyBody) -> dict[str, Any]:
    """Hand a key over. The answer shows its commitment, public configuration and hazards; again changes its auditors."""
    return show_watermark_key(runtime.registrations.add_watermark_key(caller, body.key, body.auditors), caller)


@router.get("/watermark-keys")
def list_watermark_keys(caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """The keys the caller may use, newest first."""
    rows = runtime.registrations.list_watermark_keys(caller)
    return {"items": [show_watermark_key(row, caller) for row in rows], "next_cursor": None}


@router.delete("/watermark-keys/{commitment}")
def delete_watermark_key(commitment: str, caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """Forget a key of the caller's; reports that carry its commitment stay."""
    runtime.registrations.delete_watermark_key(caller, commitment)
    return {"commitment": commitment, "deleted": True}
