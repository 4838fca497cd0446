"""The FastAPI application: routes, bounds and problem documents around one open service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, FastAPI

from api.body_limit import BodyLimit
from api.deps import Caller, OpenRuntime
from api.problems import install_problem_handlers
from api.routes import audits, blobs, keys, models, privacy_uploads, providers, reports, runs, watermark_keys, work
from api.runtime import Runtime
from audit.registry import is_run_by_service

_meta = APIRouter(tags=["service"])


@_meta.get("/service")
def show_service(runtime: OpenRuntime) -> dict[str, Any]:
    """Who this service is: its public key (pin it), version and the kinds of audit it offers."""
    kinds = [
        {"name": kind.name, "title": kind.title, "runs_on": "service" if is_run_by_service(kind) else "provider"}
        for kind in runtime.service.registry
    ]
    return {"public_key": runtime.checker.public_key, "version": _version(), "kinds": kinds}


@_meta.get("/whoami")
def show_caller(caller: Caller) -> dict[str, Any]:
    """Owner and role of the key that was sent."""
    return {"owner": caller.owner, "role": caller.role, "key_id": caller.key_id}


def create_app(runtime: Runtime) -> FastAPI:
    """The application around an open service. The caller closes the runtime when the application has ended."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.stopping = True

    app = FastAPI(
        title="Assay",
        version=_version(),
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.runtime, app.state.stopping = runtime, False
    for module in (providers, runs, blobs, audits, work, reports, models, watermark_keys, privacy_uploads, keys):
        app.include_router(module.router, prefix="/v1")
    app.include_router(_meta, prefix="/v1")
    install_problem_handlers(app)
    app.add_middleware(BodyLimit)
    return app


def _version() -> str:
    try:
        return version("assay-audit")
    except PackageNotFoundError:
        return "0"
