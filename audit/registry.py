"""The registry of audit kinds: the one place a new audit is added to.

A kind has three halves: it reads parameters, it checks evidence (service and offline reader, pure), and it makes evidence: on
the provider's machine with the private data (`AuditKind.answer`), or in the service's worker with a registered model or key
(`audit.service_kinds`). Requests, queue, jobs, reports and the command line know kinds only through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

from audit.errors import RequestError
from audit.requests import SERVICE, AuditRequest, parse_name

Verdict = Literal["holds", "refuted", "inconclusive"]
VERDICTS: tuple[str, ...] = get_args(Verdict)


def parse_verdict(word: str) -> Verdict:
    """The verdict of that name. Raises RequestError: an unknown verdict never counts as any other."""
    if word not in VERDICTS:
        raise RequestError(f"a verdict is one of {', '.join(VERDICTS)}, not {word!r}")
    return cast(Verdict, word)


Progress = Callable[[float, str], None]
"""Called by `answer` with the fraction done (0 to 1) and a short public message."""

Cancelled = Callable[[], bool]
"""Asked by long work at least every few seconds; True means stop and raise CancelledError."""


@dataclass(frozen=True)
class Check:
    """One numbered check: ok is True, False, or None where the evidence that would decide it is missing.

    `detail` is one public line: what was compared, and with what result.
    """

    id: str
    ok: bool | None
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "ok": self.ok, "detail": self.detail}


@dataclass(frozen=True)
class Outcome:
    """What a check of evidence found.

    `outputs` are JSON values (integers of 2^53 and above as strings). `conditions` are sentences the verdict rests
    on, carried verbatim into the report and printed with it ("the beacon is self-made").
    """

    verdict: Verdict
    checks: tuple[Check, ...]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_verdict(self.verdict)
        if self.verdict == "holds" and not (self.checks and all(check.ok for check in self.checks)):
            raise RequestError("a verdict 'holds' needs at least one check, and every check to pass")

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "checks": [check.to_json() for check in self.checks],
            "outputs": dict(self.outputs),
            "conditions": list(self.conditions),
        }


@dataclass(frozen=True)
class CheckContext:
    """What a check may rest on besides the evidence: the public files of the subject, by name.

    For a run these are the published files (`run.json`, `proofs/NAME.stmt`, `proofs/NAME.proof`,
    `commitments/NAME.record`); for a commitment, its envelope and record. They go into the report, so the offline
    reader has the same.
    """

    published: Mapping[str, bytes]


class AuditKind(Protocol):
    """One kind of audit. Instances are stateless; `name` is what requests carry."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """One line for people."""
        ...

    def parse_params(self, params: Mapping[str, Any]) -> Any:
        """Read the parameters of a request. Raises RequestError that names the parameter, the rule and a remedy."""
        ...

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        """Decide on evidence: pure, deterministic, no clock, network or files.

        Must refuse evidence bound to another request. Raises EvidenceError for evidence that does not count
        (malformed, for another request): the request then stays open. Evidence that counts and speaks against the
        claim is an Outcome `refuted`.
        """
        ...

    def answer(self, request: AuditRequest, workspace: Path, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        """Make the evidence files on the provider's machine, from the run folder `workspace`.

        Deterministic given workspace and request, or resumable: a killed agent calls it again. Raises AuditError with
        a public reason when it cannot; CancelledError soon after `cancelled()` turns True.
        """
        ...


def is_run_by_service(kind: AuditKind) -> bool:
    """Whether the service makes the evidence of a kind itself (`audit.service_kinds`); False for one that providers answer."""
    return getattr(kind, "runs_on", "provider") == "service"


def check_runs_on(kind: AuditKind, request: AuditRequest) -> None:
    """That a request names the provider `SERVICE` exactly when the service runs its kind. Raises RequestError."""
    if is_run_by_service(kind) and request.provider != SERVICE:
        raise RequestError(f"an audit of the kind {kind.name} is run by the service: its provider is {SERVICE!r}")
    if request.provider == SERVICE and not is_run_by_service(kind):
        raise RequestError(f"an audit of the kind {kind.name} is answered by a provider, not by the service")


class Registry:
    """Kinds by name."""

    def __init__(self) -> None:
        self._kinds: dict[str, AuditKind] = {}

    def add(self, kind: AuditKind) -> None:
        """Register a kind. Raises RequestError when its name is malformed or taken."""
        name = parse_name(kind.name, "the name of an audit kind")
        if name in self._kinds:
            raise RequestError(f"the audit kind {name} is registered twice")
        self._kinds[name] = kind

    def get(self, name: str) -> AuditKind:
        """The kind of that name. Raises RequestError that lists the known ones."""
        kind = self._kinds.get(name)
        if kind is None:
            known = ", ".join(sorted(self._kinds)) or "none"
            raise RequestError(f"there is no audit kind {name!r}; known kinds: {known}")
        return kind

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[AuditKind]:
        return iter(self._kinds[name] for name in sorted(self._kinds))
