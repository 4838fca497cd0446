"""A kind of audit for tests only that the service runs itself: it counts slowly, with progress, and can be told to fail.

`gate` names a file that the run waits for, with progress; `trace` one that gets a line at every start. What it counts depends
on the request alone, and one part of it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.errors import CancelledError, EvidenceError, RequestError
from audit.registry import Cancelled, Check, CheckContext, Outcome, Progress
from audit.requests import AuditRequest
from audit.service_kinds import Needs, Resources
from audit.service_run import ServiceRun
from tests.integration.waiting import hold
from watermark.errors import AttackError

KEPT = b"made once"


class CountingKind(ServiceRun):
    name = "test.counting"
    title = "Counting in the service's worker (tests only)"

    def parse_params(self, params: Mapping[str, Any]) -> None:
        unknown = set(params) - {"documents", "gate", "trace", "fail", "key", "model", "tier"}
        if unknown:
            raise RequestError(f"test.counting knows no parameter {min(unknown)}")

    def needs(self, params: Mapping[str, Any]) -> Needs:
        models = {params["model"]: params.get("tier", 0)} if "model" in params else {}
        return Needs(models, (params["key"],) if "key" in params else ())

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        trace = Path(request.params["trace"]) if "trace" in request.params else None
        self._note(trace, "begun")
        kept = resources.keep("part", lambda: self._note(trace, "made") or KEPT)
        if "gate" in request.params:
            hold(request.params["gate"], lambda: self._count(progress, cancelled))
        if request.params.get("fail") == "known":
            raise AttackError("there is nothing to count")
        if request.params.get("fail") == "defect":
            raise IndexError(f"the key is {resources.open_key(request.params['key']).config}")
        return {"count.txt": request.sha256.encode() + kept + resources.entropy.hex().encode()}

    def _count(self, progress: Progress, cancelled: Cancelled) -> None:
        if cancelled():
            raise CancelledError("the audit was cancelled")
        progress(0.5, "counting")

    def _note(self, trace: Path | None, line: str) -> bytes | None:
        if trace is not None:
            with trace.open("a") as file:
                file.write(f"{line}\n")
        return None

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        if not evidence["count.txt"].startswith(request.sha256.encode() + KEPT):
            raise EvidenceError("the count was made for another request")
        return Outcome("holds", (Check("1 count", True, "counted"),), {"published": sorted(context.published)})
