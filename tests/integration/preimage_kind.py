"""A kind of audit for tests only: the provider shows a preimage of a public SHA-256, bound to the request.

`gate` names a file that the check waits for, so that a test can kill the worker in its middle; `trace` names a file that
counts the checks that were begun, and that ended. Evidence that is not bound to the request does not count; a wrong preimage
refutes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.errors import CancelledError, EvidenceError, RequestError
from audit.registry import Cancelled, Check, CheckContext, Outcome, Progress
from audit.requests import AuditRequest, parse_digest
from tests.integration.waiting import hold

SECRET_PATH = "private/secret.bin"


class PreimageKind:
    name = "test.preimage"
    title = "Knowledge of a SHA-256 preimage (tests only)"

    def parse_params(self, params: Mapping[str, Any]) -> str:
        unknown = set(params) - {"sha256", "gate", "trace", "answer_delay_s"}
        if unknown:
            raise RequestError(f"test.preimage knows no parameter {min(unknown)}")
        return parse_digest(params.get("sha256"), "params.sha256")

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        wanted = self.parse_params(request.params)
        self._note(request, "begun")
        if "gate" in request.params:
            hold(request.params["gate"])
        self._note(request, "ended")
        if evidence.get("request.txt") != request.sha256.encode():
            raise EvidenceError("request.txt must hold the digest of this request; it was made for another")
        found = hashlib.sha256(evidence["preimage.bin"]).hexdigest()
        checks = (
            Check("1 binding", True, "the evidence names this request"),
            Check("2 preimage", found == wanted, f"SHA-256 of the preimage is {found}"),
        )
        files = sorted(context.published)
        return Outcome(
            "holds" if found == wanted else "refuted",
            checks,
            {"bytes": len(evidence["preimage.bin"]), "published": files},
            ("the beacon is self-made",),
        )

    def _note(self, request: AuditRequest, line: str) -> None:
        if "trace" in request.params:
            with open(request.params["trace"], "a") as file:
                file.write(f"{line}\n")

    def answer(self, request: AuditRequest, workspace: Path, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        delay_s = float(request.params.get("answer_delay_s", 0))
        steps = 10 + int(20 * delay_s)
        for step in range(steps):
            if cancelled():
                raise CancelledError("the audit was cancelled")
            progress(step / steps, "looking for the preimage")
            time.sleep(delay_s / steps)
        secret = (workspace / SECRET_PATH).read_bytes()
        return {"preimage.bin": secret, "request.txt": request.sha256.encode()}
