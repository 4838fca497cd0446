"""What the audits of privacy on models share: models are opened, personal values are read in memory alone, evidence is bound to
the request, and nothing leaves a run unseen."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from audit.canonical import canonical_bytes, parse_json
from audit.errors import EvidenceError, RequestError
from audit.params import derive_seed
from audit.privacy.consents import TIME
from audit.privacy.params import Asked, Registered, check_attestations, same_weights
from audit.privacy.screen import Keep, Screen
from audit.registry import Cancelled, CheckContext, Outcome, Progress
from audit.requests import AuditRequest
from audit.service_kinds import Needs, Resources
from audit.service_run import ServiceRun
from audit.subjects import MODEL_SUBJECT, check_needed
from privacy.errors import PrivacyError

if TYPE_CHECKING:
    from audit.privacy.records import Records
    from audit.runners.protocol import Attestation
    from privacy.probes.model import ProbedModel
    from privacy.redaction import Redactor

REPORT_FILE = "report.json"
MAX_REPORT_BYTES = 64 << 20
_BOUND = {"format", "request", "attestations"}


@dataclass(frozen=True)
class Run:
    """One run: models by role as probes see them and as they are run, what they attested, and the audit's own randomness."""

    request: AuditRequest
    resources: Resources
    screen: Screen
    progress: Progress
    cancelled: Cancelled
    models: Mapping[str, ProbedModel]
    runners: Mapping[str, Any]
    attestations: Mapping[str, Attestation]

    @property
    def keep(self) -> Keep:
        """For what a killed worker must not measure twice: ranks and counts, each part looked at before it is kept."""
        return self.screen.keep(self.resources.keep)

    def seed(self, purpose: str) -> int:
        """A seed that nobody knew before; where nulls of personal values follow from it, it is never told."""
        return derive_seed(self.resources.entropy, f"{self.request.kind}/{purpose}")

    def redactor(self, records: Records | None = None) -> Redactor:
        """Commits under the key of the records' owner; where there are none, to what was invented, under a key told to nobody."""
        from privacy.redaction import Redactor

        if records is not None:
            return records.redactor(self.request.sha256)
        return Redactor(sha256(self.resources.entropy + f"{self.request.kind}/commitments".encode()).digest())

    def open_records(self, commitment: str) -> Records:
        """Private records, made known to the screen."""
        found = self.resources.open_records(commitment)
        self.screen.add(texts=found.texts())
        return found

    def started(self) -> str:
        """When the run began, to the second: kept, so that a run that goes on after a kill tells the same."""
        return self.resources.keep("started", lambda: datetime.now(UTC).strftime(TIME).encode()).decode("ascii")


class ModelAudit(ServiceRun):
    """Base of these kinds. `format` names the evidence, `members` what it holds beside the binding."""

    format: str
    members: frozenset[str]

    @abstractmethod
    def read(self, params: Mapping[str, Any]) -> Any:
        """The parameters, an `Asked`. Raises RequestError, PrivacyError."""

    @abstractmethod
    def measure(self, asked: Any, run: Run) -> Mapping[str, Any]:
        """The members of the evidence. What is personal must be made known to `run.screen` first. Raises AuditError,
        PrivacyError."""

    @abstractmethod
    def judge(self, asked: Any, content: Mapping[str, Any], registered: Registered) -> Outcome:
        """The outcome of evidence that is bound to its request, everything counted again. Raises EvidenceError, PrivacyError."""

    def parse_params(self, params: Mapping[str, Any]) -> Any:
        try:
            return self.read(params)
        except PrivacyError as error:
            raise RequestError(str(error)) from None

    def needs(self, params: Mapping[str, Any]) -> Needs:
        asked: Asked = self.parse_params(params)
        own_words = params.get("templates") is not None
        return Needs(models=asked.models.needed, openings=asked.openings, records=asked.records, own_words=own_words)

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        asked, screen = self.parse_params(request.params), Screen()
        if request.subject.name != MODEL_SUBJECT or request.subject.sha256 != asked.models.model:
            raise RequestError("the subject of the request is not the model in its parameters; who may be asked follows from it")
        with screen.reasons():
            run = _open_run(asked, request, resources, screen, progress, cancelled)
            content = self.measure(asked, run)
            attested = {role: found.to_json() for role, found in run.attestations.items()}
            bound = {"format": self.format, "request": request.sha256, "attestations": attested}
            return screen.files({REPORT_FILE: canonical_bytes({**bound, **content})})

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        asked: Asked = self.parse_params(request.params)
        if request.subject.name != MODEL_SUBJECT or request.subject.sha256 != asked.models.model:
            raise EvidenceError("the subject is not the model in the parameters")
        found = check_needed(asked.models.needed, context.published)
        registered = {role: found[digest] for role, digest in asked.models.digests.items()}
        content = self._read_evidence(request, evidence)
        check_attestations(content["attestations"], asked.models, registered)
        try:
            return self.judge(asked, content, registered)
        except PrivacyError as error:
            raise EvidenceError(str(error)) from None

    def _read_evidence(self, request: AuditRequest, evidence: Mapping[str, bytes]) -> dict[str, Any]:
        if set(evidence) != {REPORT_FILE}:
            raise EvidenceError(f"the evidence must be {REPORT_FILE} alone")
        content = parse_json(evidence[REPORT_FILE], REPORT_FILE, max_bytes=MAX_REPORT_BYTES, error=EvidenceError)
        if not isinstance(content, dict) or set(content) != _BOUND | self.members or content["format"] != self.format:
            raise EvidenceError(f"{REPORT_FILE} must have the format {self.format!r} and its members, no others")
        if content["request"] != request.sha256:
            raise EvidenceError("the evidence was made for another request")
        return content


def _open_run(
    asked: Asked, request: AuditRequest, resources: Resources, screen: Screen, progress: Progress, cancelled: Cancelled
) -> Run:
    from audit.runners import probed_model

    note = screen.progress(progress)
    note(0.0, "opening the models")
    runners = {role: resources.open_model(digest) for role, digest in asked.models.digests.items()}
    attestations = {role: runner.attestation() for role, runner in runners.items()}
    if same := same_weights({role: found.to_json() for role, found in attestations.items()}):
        raise RequestError(f"{' and '.join(same)} are the same weights; compared with itself, no model shows anything")
    return Run(
        request,
        resources,
        screen,
        note,
        cancelled,
        {role: probed_model.RunnerModel(runner, cancelled) for role, runner in runners.items()},
        runners,
        attestations,
    )
