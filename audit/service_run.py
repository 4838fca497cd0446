"""What the kinds share that the service runs: no provider answers them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from audit.errors import RequestError
from audit.registry import Cancelled, Progress
from audit.requests import AuditRequest


class ServiceRun:
    """Base of kinds that the service runs (`audit.service_kinds.ServiceKind`)."""

    name: str
    runs_on: Literal["service"] = "service"

    def answer(self, request: AuditRequest, workspace: Path, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        """Providers do not answer these. Raises RequestError."""
        raise RequestError(f"{self.name} is run by the service; a provider has nothing to answer")
