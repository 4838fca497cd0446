"""Published runs and their segments; each counts when the verifier has accepted it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from api.deps import Caller, OnePage, OpenRuntime, Service
from api.shapes import show_run, show_segment
from audit.errors import NotFoundError
from audit.service import parse_run_id
from audit.store import runs

router = APIRouter(tags=["runs"])


@router.post("/providers/{provider}/runs", status_code=202)
def publish_run(provider: str, caller: Caller, service: Service, envelope: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """Publish a run, or more segments of it: a DSSE envelope over its id and file list, uploaded as blobs before."""
    return show_run(service.publish_run(caller, provider, envelope))


@router.get("/runs")
def list_runs(
    request: Request,
    response: Response,
    runtime: OpenRuntime,
    page: OnePage,
    provider: Annotated[str | None, Query(max_length=63)] = None,
) -> dict[str, Any]:
    """Runs, newest first."""
    with runtime.store.read() as session:
        rows = list(runs.list_runs(session, provider, page.before, page.limit))
    body, link = page.wrap(request, rows, [show_run(row) for row in rows])
    if link:
        response.headers["Link"] = link
    return body


@router.get("/providers/{provider}/runs/{run_id}")
def show_one_run(provider: str, run_id: str, runtime: OpenRuntime) -> dict[str, Any]:
    """One run with its files and segments."""
    with runtime.store.read() as session:
        run = runs.get_run(session, provider, parse_run_id(run_id))
        return show_run(run, runs.list_segments(session, run))


@router.get("/providers/{provider}/runs/{run_id}/segments")
def list_segments(provider: str, run_id: str, runtime: OpenRuntime) -> dict[str, Any]:
    """The segments of a run, by name."""
    with runtime.store.read() as session:
        run = runs.get_run(session, provider, parse_run_id(run_id))
        return {"items": [show_segment(row) for row in runs.list_segments(session, run)], "next_cursor": None}


@router.get("/providers/{provider}/runs/{run_id}/files/{name:path}")
def read_run_file(provider: str, run_id: str, name: str, runtime: OpenRuntime) -> Response:
    """The bytes of one public file of a run."""
    with runtime.store.read() as session:
        run = runs.get_run(session, provider, parse_run_id(run_id))
    for entry in run.manifest:
        if entry["name"] == name:
            data = runtime.service.blobs.read(entry["sha256"])
            return Response(data, media_type="application/octet-stream", headers=_safe_headers(entry["sha256"]))
    raise NotFoundError(f"the run has no public file {name[:200]!r}")


def _safe_headers(sha256: str) -> dict[str, str]:
    return {"ETag": f'"{sha256}"', "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
