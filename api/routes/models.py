"""Models that audits may run: register, list, look at, forget."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Caller, OpenRuntime
from api.shapes import show_model

router = APIRouter(tags=["models"])


class ModelBody(BaseModel):
    """What to register. `api_key` is kept in a file and never shown again."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=63)]
    spec: Annotated[str, Field(max_length=2048)]
    api_key: Annotated[str | None, Field(max_length=4096)] = None
    auditors: list[str] = []


@router.post("/models", status_code=202)
def register_model(caller: Caller, runtime: OpenRuntime, body: ModelBody) -> dict[str, Any]:
    """Register a model. A job probes what it really offers; it can be used when its state is `ready`."""
    return show_model(runtime.registrations.add_model(caller, body.name, body.spec, body.api_key, body.auditors), caller)


@router.get("/models")
def list_models(caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """The models the caller may use, newest first."""
    rows = runtime.registrations.list_models(caller)
    return {"items": [show_model(row, caller) for row in rows], "next_cursor": None}


@router.get("/models/{model_id}")
def show_one_model(model_id: str, caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """One model the caller may use."""
    return show_model(runtime.registrations.show_model(caller, model_id), caller)


@router.delete("/models/{model_id}")
def delete_model(model_id: str, caller: Caller, runtime: OpenRuntime) -> dict[str, Any]:
    """Forget a model of the caller's; reports about it stay."""
    runtime.registrations.delete_model(caller, model_id)
    return {"id": model_id, "deleted": True}
