"""Reports of finished audits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from api.deps import Service
from audit.reports import pack_report
from audit.service import parse_audit_id

router = APIRouter(tags=["reports"])
_CHUNK = 1 << 16
_IN_MEMORY = 8 * 1024 * 1024


@router.get("/reports/{audit_id}")
def read_report(audit_id: str, service: Service) -> Response:
    """The signed statement, byte for byte."""
    return Response(service.read_envelope(parse_audit_id(audit_id)), media_type="application/json")


@router.get("/reports/{audit_id}/archive")
def read_report_archive(audit_id: str, service: Service) -> StreamingResponse:
    """The whole report folder as a zip archive: statement, rendering, figure and evidence."""
    audit_id = parse_audit_id(audit_id)
    service.read_envelope(audit_id)
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed when the answer was sent
    try:
        pack_report(service.iterate_report(audit_id), file)
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    headers = {"Content-Disposition": f'attachment; filename="report-{audit_id}.zip"', "Content-Length": str(size)}
    return StreamingResponse(_chunks(file), media_type="application/zip", headers=headers)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
