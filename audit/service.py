"""What callers may do, in one place: every operation checks who asks, then acts in one transaction.

The HTTP layer adds only parsing and status codes; a script or a test can use this class directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.blobs import BlobFolder
from audit.canonical import canonical_bytes
from audit.checking import CHECK_AUDIT, VERIFY_RUN
from audit.dsse import read_envelope
from audit.errors import ConflictError, EvidenceError, ForbiddenError, NotFoundError, RequestError
from audit.evidence import FileRef, Manifest, parse_manifest
from audit.jobs import JobEngine
from audit.publications import (
    COMMITMENT_FILE,
    COMMITMENT_SUBJECT,
    PUBLICATION_FILE,
    RECORD_FILE,
    REGISTRATION_FILE,
    RUN_SUBJECT,
    read_commitment,
    read_publication,
    read_registration,
)
from audit.registry import Registry, check_runs_on
from audit.rendering import render_figure, render_text
from audit.reports import ENVELOPE_NAME, EVIDENCE_FOLDER, FIGURE_NAME, TEXT_NAME, parse_evidence, parse_statement
from audit.requests import SERVICE, AuditRequest, Subject, parse_digest, parse_name, parse_request
from audit.resources import ENDPOINT
from audit.runners.protocol import CapabilityError
from audit.running import RUN_AUDIT
from audit.service_kinds import Needs, ServiceKind, as_service_kind
from audit.signing import PublicKey
from audit.store import audits, registrations, runs, sealed
from audit.store.access import Principal
from audit.store.engine import Store, for_update
from audit.store.models import Audit, Commitment, Model, Provider, Run
from audit.subjects import MODEL_SUBJECT, check_subject, consented_digest, model_file
from audit.zk_gate import list_pair_names


@dataclass(frozen=True)
class AuditService:
    """The operations of the service."""

    store: Store
    blobs: BlobFolder
    registry: Registry
    jobs: JobEngine
    limits: sealed.ConsentLimits = field(default_factory=sealed.ConsentLimits)

    # ------------------------------------------------------------------ providers, commitments, runs

    def register_provider(self, caller: Principal, envelope: Mapping[str, Any]) -> Provider:
        """Register a provider name and key. The envelope must be signed by the key it names."""
        _demand(caller, "provider")
        data = canonical_bytes(envelope)
        name, key = read_registration(data)
        digest = self.blobs.put(data)
        with self.store.write() as session:
            return runs.add_provider(session, name, caller.owner, key.to_text(), digest)

    def add_commitment(self, caller: Principal, provider: str, envelope: Mapping[str, Any]) -> Commitment:
        """Take a signed commitment whose record was uploaded as a blob before."""
        key = self._own_provider_key(caller, provider)
        data = canonical_bytes(envelope)
        signed = read_commitment(data, key)
        _demand_same_provider(signed.provider, provider)
        self._demand_blobs((FileRef("record", signed.subject.sha256, signed.record_size),))
        stored = (self.blobs.put(data), len(data))
        with self.store.write() as session:
            return runs.add_commitment(session, provider, signed.subject.name, signed.subject.sha256, stored, signed.record_size)

    def publish_run(self, caller: Principal, provider: str, envelope: Mapping[str, Any]) -> Run:
        """Take the public files of a run and queue their verification; they count when that has succeeded."""
        key = self._own_provider_key(caller, provider)
        data = canonical_bytes(envelope)
        signed = read_publication(data, key)
        _demand_same_provider(signed.provider, provider)
        list_pair_names([ref.name for ref in signed.files])
        self._demand_blobs(signed.files)
        digest = self.blobs.put(data)
        with self.store.write() as session:
            run, is_new = runs.publish_run(session, provider, signed.run_id, signed.files, digest)
            if is_new:
                args = {"provider": provider, "run": signed.run_id, "manifest": run.manifest_sha256}
                self.jobs.submit(session, VERIFY_RUN, run.job_id, args)
            return run

    def _own_provider_key(self, caller: Principal, provider: str) -> PublicKey:
        with self.store.read() as session:
            row = self._own_provider(session, caller, provider)
        return PublicKey.from_text(row.public_key)

    def _own_provider(self, session: Session, caller: Principal, provider: str) -> Provider:
        _demand(caller, "provider")
        row = runs.get_provider(session, provider)
        if caller.role != "admin" and row.owner != caller.owner:
            raise ForbiddenError(f"the provider {provider} belongs to someone else")
        return row

    def _demand_blobs(self, files: Manifest) -> None:
        for ref in files:
            size = self.blobs.size(ref.sha256)
            if size is None:
                raise EvidenceError(f"{ref.name} ({ref.sha256}) was not uploaded; send its bytes first")
            if size != ref.size:
                raise EvidenceError(f"{ref.name} has {size} bytes, the manifest says {ref.size}")

    # ------------------------------------------------------------------ audits

    def read_request(self, caller: Principal, document: Mapping[str, Any]) -> AuditRequest:
        """Parse a request and check that the caller may make it and that its kind takes its parameters."""
        _demand(caller, "auditor")
        request = parse_request(document)
        if caller.role != "admin" and request.auditor != caller.owner:
            raise ForbiddenError(f"this key speaks for {caller.owner}, not for the auditor {request.auditor}")
        kind = self.registry.get(request.kind)
        check_runs_on(kind, request)
        kind.parse_params(request.params)
        return request

    def open_audit(self, session: Session, request: AuditRequest) -> Audit:
        """Add the audit of a request that `read_request` passed, in the caller's transaction."""
        kind = as_service_kind(self.registry.get(request.kind))
        if kind is not None:
            return self._open_own_audit(session, request, kind)
        provider = runs.get_provider(session, request.provider)
        return audits.create_audit(session, request, self._published_files(session, provider, request.subject))

    def _open_own_audit(self, session: Session, request: AuditRequest, kind: ServiceKind) -> Audit:
        """Add an audit that the service runs itself, and its job. What it uses must be the auditor's to use."""
        needs = kind.needs(request.params)
        for commitment in needs.keys:
            registrations.use_key(session, commitment, request.auditor)
        published = []
        for digest, tier in needs.models.items():
            model = registrations.use_model(session, digest, request.auditor)
            if (model.tier or 0) < tier:
                raise CapabilityError(f"the model {model.name} offers tier T{model.tier or 0}; {request.kind} needs T{tier}")
            published.append(FileRef(model_file(digest), digest, self.blobs.size(digest) or 0))
        files = tuple(sorted(published))
        check_subject(request, files, lambda name: self.blobs.read(name.removeprefix("models/").removesuffix(".json")))
        audit = audits.create_audit(session, request, files)
        if needs.openings or needs.records:
            sealed.use_uploads(session, audit, needs.openings, needs.records, _asked_model(session, request, needs), self.limits)
        self.jobs.submit(session, RUN_AUDIT, str(audit.job_id), {"audit": audit.id})
        return audit

    def _published_files(self, session: Session, provider: Provider, subject: Subject) -> Manifest:
        """The public files of a subject, with the provider's signatures over them."""
        if subject.name == RUN_SUBJECT:
            run = runs.get_run(session, provider.name, subject.sha256)
            if run.state not in ("verified", "inconclusive"):
                raise ConflictError(f"run {subject.sha256[:16]} is {run.state}; only a verified run can be audited")
            own = {PUBLICATION_FILE: run.envelope_sha256}
            files = list(parse_manifest(run.manifest))
        elif subject.name == COMMITMENT_SUBJECT:
            found = runs.get_commitment(session, provider.name, subject.sha256)
            own = {COMMITMENT_FILE: found.envelope_sha256}
            files = [FileRef(RECORD_FILE, found.digest, found.record_size)]
        else:
            raise RequestError(f"subject.name must be {RUN_SUBJECT!r} or {COMMITMENT_SUBJECT!r}")
        own[REGISTRATION_FILE] = provider.envelope_sha256
        files += [FileRef(name, digest, self.blobs.size(digest) or 0) for name, digest in own.items()]
        return tuple(sorted(files))

    def cancel_audit(self, caller: Principal, audit_id: str) -> Audit:
        """Cancel an audit of the caller's; again is harmless."""
        _demand(caller, "auditor")
        with self.store.write() as session:
            row = audits.get_audit(session, audit_id)
            if caller.role != "admin" and row.auditor != caller.owner:
                raise ForbiddenError("only the auditor who made the request can cancel it")
            audit = audits.cancel_audit(session, audit_id)
        if audit.job_id is not None and audit.provider != SERVICE:  # a run looks at its audit's state and ends by itself
            self.jobs.cancel(audit.job_id)
        return audit

    # ------------------------------------------------------------------ the provider's side

    def list_work(self, caller: Principal, provider: str) -> list[Audit]:
        """What an agent of this provider may claim."""
        with self.store.read() as session:
            self._own_provider(session, caller, provider)
            return list(audits.list_work(session, provider))

    def claim(self, caller: Principal, audit_id: str, agent: str, lease_s: int) -> tuple[Audit, str]:
        """Claim an audit for one agent; the token must come with everything that follows."""
        parse_name(agent, "agent")
        with self.store.write() as session:
            self._own_provider(session, caller, audits.get_audit(session, audit_id).provider)
            return audits.claim_audit(session, audit_id, agent, lease_s)

    def renew(self, caller: Principal, audit_id: str, token: str, lease_s: int, progress: dict[str, Any] | None) -> Audit:
        """Keep a claim alive and report progress."""
        with self.store.write() as session:
            self._own_provider(session, caller, audits.get_audit(session, audit_id).provider)
            return audits.renew_claim(session, audit_id, token, lease_s, progress)

    def release(self, caller: Principal, audit_id: str, token: str, reason: str) -> Audit:
        """Give a claim back."""
        with self.store.write() as session:
            self._own_provider(session, caller, audits.get_audit(session, audit_id).provider)
            return audits.release_claim(session, audit_id, token, reason)

    def submit_evidence(self, caller: Principal, audit_id: str, token: str, files: Any) -> Audit:
        """Take the evidence of a claimed audit and queue its check; it counts when that has succeeded."""
        manifest = parse_manifest(files)
        self._demand_blobs(manifest)
        with self.store.write() as session:
            self._own_provider(session, caller, audits.get_audit(session, audit_id).provider)
            audit, is_new = audits.submit_answer(session, audit_id, token, manifest)
            if is_new and audit.job_id is not None:
                self.jobs.submit(session, CHECK_AUDIT, audit.job_id, {"audit": audit.id, "attempt": audit.attempt})
            return audit

    # ------------------------------------------------------------------ reports

    def read_envelope(self, audit_id: str) -> bytes:
        """The signed report of a finished audit. Raises NotFoundError while there is none."""
        with self.store.read() as session:
            audit = audits.get_audit(session, audit_id)
        if audit.report_sha256 is None:
            raise NotFoundError(f"audit {audit.id} is {audit.state}; it has no report")
        return self.blobs.read(audit.report_sha256)

    def iterate_report(self, audit_id: str) -> Iterator[tuple[str, bytes]]:
        """The files of the report folder, one by one."""
        envelope = self.read_envelope(audit_id)
        statement = parse_statement(read_envelope(envelope)[0])
        yield ENVELOPE_NAME, envelope
        yield TEXT_NAME, render_text(statement).encode("utf-8")
        yield FIGURE_NAME, render_figure(statement).encode("utf-8")
        for ref in parse_evidence(statement["predicate"]["evidence"]):
            yield EVIDENCE_FOLDER + ref.name, self.blobs.read(ref.sha256)


def _asked_model(session: Session, request: AuditRequest, needs: Needs) -> sealed.AskedModel:
    if request.subject.name != MODEL_SUBJECT:
        raise RequestError(f"personal values and private records are read in audits of a {MODEL_SUBJECT!r} only")
    model = registrations.use_model(session, request.subject.sha256, request.auditor)
    session.scalars(for_update(select(Model).where(Model.digest == model.digest))).all()  # two audits at once are counted in turn
    rows = [registrations.use_model(session, digest, request.auditor) for digest in needs.models if digest != model.digest]
    others = tuple(
        sealed.OtherModel(row.name, row.owner, row.kind == ENDPOINT, registrations.EVERYBODY in row.auditors) for row in rows
    )
    digest = consented_digest(request.subject.sha256, model.attestation or {})
    return sealed.AskedModel(model.owner, digest, others, needs.own_words)


def _demand(caller: Principal, role: str) -> None:
    if caller.role not in ("admin", role):
        raise ForbiddenError(f"this needs a key with the role {role}; yours has {caller.role}")


def _demand_same_provider(signed: str, addressed: str) -> None:
    if signed != addressed:
        raise RequestError(f"the document is signed for the provider {signed}, not {addressed}")


def parse_audit_id(value: str) -> str:
    """An audit id as it stands in a path: 32 hex digits. Raises NotFoundError, since no other can exist."""
    if len(value) != 32 or not set(value) <= set("0123456789abcdef"):
        raise NotFoundError("there is no such audit; an audit id has 32 hexadecimal digits")
    return value


def parse_run_id(value: str) -> str:
    """A run id as it stands in a path. Raises RequestError."""
    return parse_digest(value, "the run id")
