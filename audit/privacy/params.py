"""What the audits of privacy on a model have in common: which model, which reference, and how their evidence is bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from audit.canonical import canonical_bytes, parse_json
from audit.errors import EvidenceError, RequestError
from audit.params import Fields
from audit.privacy.consents import TIME
from audit.registry import CheckContext
from audit.requests import AuditRequest
from audit.runners.protocol import Runner, Tier
from audit.service_kinds import Resources
from audit.subjects import MODEL_SUBJECT, check_needed
from privacy.probes.model import Access

REPORT_FILE = "report.json"
MAX_REPORT_BYTES = 64 << 20
TIERS: Mapping[Access, Tier] = {
    Access.TEXT: Tier.CHAT,
    Access.TOP_K: Tier.TOP_LOGPROBS,
    Access.FULL: Tier.TOKENS,
    Access.WEIGHTS: Tier.IN_PROCESS,
}


@dataclass(frozen=True)
class Models:
    """The audited model and the reference, by digest, and the least access that is asked of both."""

    model: str
    reference: str | None
    access: Access

    @property
    def needed(self) -> dict[str, int]:
        """For `Needs.models`."""
        tier = int(TIERS[self.access])
        return {self.model: tier} if self.reference is None else {self.model: tier, self.reference: tier}


def read_models(fields: Fields, access: Access) -> Models:
    """Take `model` and `reference`. Raises RequestError."""
    found = Models(fields.digest("model"), fields.optional_digest("reference"), access)
    if found.model == found.reference:
        raise RequestError("params.reference must be another model than params.model: one that was not trained on the values")
    return found


def started_at(resources: Resources) -> str:
    """When the run began, to the second: kept, so that a run that goes on after a kill tells the same."""
    return resources.keep("started", lambda: datetime.now(UTC).strftime(TIME).encode()).decode("ascii")


def write_evidence(
    format_name: str, request: AuditRequest, runners: Mapping[str, Runner | None], content: Any
) -> dict[str, bytes]:
    """The evidence of a run: its content with the request and what the models attested."""
    attested = {name: None if runner is None else runner.attestation().to_json() for name, runner in runners.items()}
    return {REPORT_FILE: canonical_bytes({"format": format_name, "request": request.sha256, "attestations": attested, **content})}


def read_evidence(
    format_name: str,
    models: Models,
    request: AuditRequest,
    evidence: Mapping[str, bytes],
    context: CheckContext,
    members: set[str],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The content of the evidence's one file, bound to this request, and the registrations by digest. Raises EvidenceError."""
    if request.subject.name != MODEL_SUBJECT or request.subject.sha256 != models.model:
        raise EvidenceError("the subject is not the model in the parameters")
    registered = check_needed(models.needed, context.published)
    if set(evidence) != {REPORT_FILE}:
        raise EvidenceError(f"the evidence must be {REPORT_FILE} alone")
    content = parse_json(evidence[REPORT_FILE], REPORT_FILE, max_bytes=MAX_REPORT_BYTES, error=EvidenceError)
    wanted = {"format", "request", "attestations", *members}
    if not isinstance(content, dict) or set(content) != wanted or content["format"] != format_name:
        raise EvidenceError(f"{REPORT_FILE} must have the format {format_name!r} and its members, no others")
    if content["request"] != request.sha256:
        raise EvidenceError("the evidence was made for another request")
    _check_attestations(content["attestations"], models, registered)
    return content, registered


def _check_attestations(attested: Any, models: Models, registered: Mapping[str, dict[str, Any]]) -> None:
    if not isinstance(attested, dict) or set(attested) != {"model", "reference"}:
        raise EvidenceError("the evidence does not tell which models answered")
    if models.reference is None and attested["reference"] is not None:
        raise EvidenceError("the request names no reference model, but the evidence does")
    for role, digest in (("model", models.model), ("reference", models.reference)):
        if digest is None:
            continue
        for name in ("model", "model_digest"):
            if not isinstance(attested[role], dict) or attested[role].get(name) != registered[digest]["attestation"].get(name):
                raise EvidenceError(f"another {role} answered than the one that is registered: its {name} differs")


def model_conditions(models: Models, registered: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """Sentences that every audit of privacy on a model rests on."""
    own = registered[models.model]
    found = [f"ranks and counts were measured on the registered model {own['name']} by the signer; its word stands for them"]
    if own["attestation"].get("model_digest") is None:
        found.append("the model lies behind an address that attests no weights: what answered then may not answer now")
    if models.reference is not None:
        name = registered[models.reference]["name"]
        found.append(f"the reference model {name} was not trained on what is asked about, by the word of whoever named it")
    return tuple(found)
