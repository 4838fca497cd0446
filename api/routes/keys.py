"""API keys, for administrators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Caller, OpenRuntime
from api.shapes import show_key
from audit.errors import ForbiddenError
from audit.store import access
from audit.store.access import Principal

router = APIRouter(tags=["keys"])


class KeyBody(BaseModel):
    """Whose key, for what."""

    model_config = ConfigDict(extra="forbid")
    role: Annotated[str, Field(max_length=16)]
    owner: Annotated[str, Field(max_length=63)]


@router.post("/keys", status_code=201)
def create_key(caller: Caller, runtime: OpenRuntime, body: KeyBody) -> dict[str, Any]:
    """Make an API key; its text is in this answer and nowhere else."""
    _demand_admin(caller)
    with runtime.store.write() as session:
        return {"key": access.create_key(session, body.role, body.owner), "role": body.role, "owner": body.owner}


@router.get("/keys")
def list_keys(caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """Every key without its secret."""
    _demand_admin(caller)
    with runtime.store.read() as session:
        return {"items": [show_key(key) for key in access.list_keys(session)], "next_cursor": None}


@router.delete("/keys/{key_id}")
def revoke_key(key_id: str, caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """Revoke a key; again is harmless."""
    _demand_admin(caller)
    with runtime.store.write() as session:
        access.revoke_key(session, key_id)
    return {"id": key_id, "revoked": True}


def _demand_admin(caller: Principal) -> None:
    if caller.role != "admin":
        raise ForbiddenError("keys are managed with a key of the role admin")
