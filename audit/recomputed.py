"""Audits in which everything follows from the request, so that whoever reads the evidence computes it again.

The evidence is the result with the request's digest. A reader refuses it where a word or a count differs, or a number by more
than rounding; the verdict is then read from the evidence, so that two machines report the same digits.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from audit.canonical import canonical_bytes, parse_json
from audit.errors import CancelledError, EvidenceError, RequestError
from audit.registry import Cancelled, CheckContext, Outcome, Progress
from audit.requests import AuditRequest
from audit.service_kinds import Needs, Resources
from audit.service_run import ServiceRun
from audit.subjects import check_needed, text_subject

RESULT_FILE = "result.json"
MAX_RESULT_BYTES = 64 * 1024 * 1024
MAX_EVIDENCE_DEPTH = 24
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12


class Recomputed(ServiceRun):
    """Base of kinds whose result is a function of the parameters. `format` names the evidence, `refusal` is the exception family
    of the science behind the kind: its messages are public."""

    format: str
    refusal: type[Exception]

    @abstractmethod
    def read(self, params: Mapping[str, Any]) -> Any:
        """The parameters, read whole. Raises RequestError, `refusal`."""

    @abstractmethod
    def compute(self, asked: Any) -> dict[str, Any]:
        """The result in JSON values, from what `read` gave. Raises `refusal`."""

    def recompute(self, asked: Any, found: Any) -> dict[str, Any]:
        """The result again, for a reader who has `found`: what the run drew may be taken from there. Raises `refusal`."""
        return self.compute(asked)

    @abstractmethod
    def judge(self, asked: Any, result: Mapping[str, Any]) -> Outcome:
        """The outcome of a result that was computed again."""

    def parse_params(self, params: Mapping[str, Any]) -> Any:
        try:
            return self.read(params)
        except self.refusal as error:
            raise RequestError(str(error)) from None

    def needs(self, params: Mapping[str, Any]) -> Needs:
        return Needs()

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        progress(0.0, f"reading {len(request.params.get('documents', ()))} documents")
        if cancelled():
            raise CancelledError(f"{self.name} was cancelled")
        asked = self.parse_params(request.params)
        progress(0.3, "computing")
        content = {"format": self.format, "request": request.sha256, "result": self._guarded(lambda: self.compute(asked))}
        return {RESULT_FILE: canonical_bytes(content)}

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        if text_subject(request.params.get("documents")) != request.subject:
            raise EvidenceError("the subject is not the digest of the documents in the request")
        check_needed({}, context.published)
        if set(evidence) != {RESULT_FILE}:
            raise EvidenceError(f"the evidence must be {RESULT_FILE} alone")
        content = parse_json(evidence[RESULT_FILE], RESULT_FILE, max_bytes=MAX_RESULT_BYTES, error=EvidenceError)
        if not isinstance(content, dict) or set(content) != {"format", "request", "result"} or content["format"] != self.format:
            raise EvidenceError(f"{RESULT_FILE} must have the format {self.format!r}, request and result")
        if content["request"] != request.sha256:
            raise EvidenceError("the result was computed for another request")
        asked = self.parse_params(request.params)
        where = find_difference(content["result"], self._guarded(lambda: self.recompute(asked, content["result"])))
        if where is not None:
            raise EvidenceError(f"result{where} does not follow from the request")
        return self.judge(asked, content["result"])

    def _guarded(self, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return compute()
        except self.refusal as error:
            raise RequestError(str(error)) from None


def find_difference(found: Any, expected: Any) -> str | None:
    """The path of the first member that differs, counts at all, floats by more than rounding; None where none does."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or set(found) != set(expected):
            return " (its members)"
        pairs = [(f".{name}", found[name], expected[name]) for name in sorted(expected)]
    elif isinstance(expected, list | tuple):
        if not isinstance(found, list) or len(found) != len(expected):
            return " (its length)"
        pairs = [(f"[{i}]", a, b) for i, (a, b) in enumerate(zip(found, expected))]
    elif isinstance(expected, float):
        return None if _is_number(found) and math.isclose(found, expected, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE) else ""
    else:
        return None if type(found) is type(expected) and found == expected else ""
    for name, a, b in pairs:
        deeper = find_difference(a, b)
        if deeper is not None:
            return f"{name}{deeper}"[:200]
    return None


def _is_number(value: Any) -> bool:
    """A number that a float can hold; canonical JSON writes the float 1.0 as 1."""
    return type(value) is float or (type(value) is int and abs(value) < 1 << 53)
