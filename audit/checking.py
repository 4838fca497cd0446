"""What the jobs do: check the evidence of an audit and sign its report; verify the proofs of a published run.

Both read stored bytes, decide without clock or randomness, and end in one transaction that takes the result only if
nothing else has happened to the audit or run meanwhile. Running twice gives the same bytes and one result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from audit.blobs import BlobFolder
from audit.dsse import Signer
from audit.errors import EvidenceError
from audit.evidence import MAX_FILES, Manifest, StoredFiles, parse_manifest
from audit.jobs import JobArgs, JobHandler
from audit.registry import CheckContext, Outcome, Registry, check_runs_on
from audit.reports import ReportFacts, sign_report
from audit.requests import SERVICE, AuditRequest, parse_request
from audit.store import audits, runs
from audit.store.engine import Store, format_ms
from audit.zk_gate import RunVerdict

CHECK_AUDIT = "check_audit"
VERIFY_RUN = "verify_run"

RunVerifier = Callable[[Mapping[str, bytes]], RunVerdict]


@dataclass(frozen=True)
class Checker:
    """Everything the jobs need. `public_key` is the base64 text of the signer's key, which reports name."""

    store: Store
    blobs: BlobFolder
    registry: Registry
    signer: Signer
    public_key: str
    verify_run: RunVerifier

    def handlers(self) -> dict[str, JobHandler]:
        """The jobs of this service, by name."""
        return {
            CHECK_AUDIT: JobHandler(self.check_audit, self._give_up_audit),
            VERIFY_RUN: JobHandler(self.check_run, self._give_up_run),
        }

    def check_audit(self, args: JobArgs) -> None:
        """Check the evidence of one submission and sign the report, or refuse the evidence."""
        audit_id, attempt = str(args["audit"]), int(args["attempt"])
        with self.store.read() as session:
            audit = audits.get_audit(session, audit_id)
        if audit.state != "checking" or audit.attempt != attempt or audit.answer is None:
            return  # finished, cancelled or superseded: nothing to do
        request = parse_request(audit.request)
        answer, published = parse_manifest(audit.answer), _parse_optional(audit.published)
        try:
            outcome = self._decide(request, answer, published)
        except EvidenceError as error:
            with self.store.write() as session:
                if request.provider == SERVICE:
                    audits.fail_run(session, audit_id, f"the service's own evidence did not pass the check: {error}"[:500])
                else:
                    audits.refuse_answer(session, audit_id, attempt, str(error)[:500])
            return
        facts = ReportFacts(
            audit_id=audit_id,
            request=request,
            requested_at=format_ms(audit.created_at),
            evidence_at=format_ms(audit.evidence_at or audit.created_at),
            outcome=outcome,
            answer=answer,
            published=published,
            service_key=self.public_key,
        )
        self.blobs.put(request.to_bytes())
        digest = self.blobs.put(sign_report(facts, self.signer))
        with self.store.write() as session:
            audits.finish_audit(session, audit_id, attempt, outcome, digest)

    def _decide(self, request: AuditRequest, answer: Manifest, published: Manifest) -> Outcome:
        kind = self.registry.get(request.kind)
        check_runs_on(kind, request)
        kind.parse_params(request.params)
        context = CheckContext(StoredFiles(published, self.blobs))
        return kind.check(request, StoredFiles(answer, self.blobs), context)

    def check_run(self, args: JobArgs) -> None:
        """Verify every proof of one published manifest, as a bundle."""
        provider, run_id, digest = str(args["provider"]), str(args["run"]), str(args["manifest"])
        with self.store.read() as session:
            run = runs.get_run(session, provider, run_id)
        if run.state != "checking" or run.manifest_sha256 != digest:
            return
        try:
            found = self.verify_run(StoredFiles(parse_manifest(run.manifest), self.blobs))
            if found.verdict != "refuted" and run_id not in found.run_ids:
                about = ", ".join(found.run_ids)[:200] or "no run"
                raise EvidenceError(f"the statements are about {about}, not about run {run_id}")
        except EvidenceError as error:
            with self.store.write() as session:
                runs.fail_run(session, provider, run_id, digest, str(error)[:500])
            return
        with self.store.write() as session:
            runs.finish_run(session, provider, run_id, digest, found)

    def _give_up_audit(self, args: JobArgs, reason: str) -> None:
        with self.store.write() as session:
            audits.fail_audit(session, str(args["audit"]), int(args["attempt"]), reason)

    def _give_up_run(self, args: JobArgs, reason: str) -> None:
        with self.store.write() as session:
            runs.fail_run(session, str(args["provider"]), str(args["run"]), str(args["manifest"]), reason)


def _parse_optional(entries: list[dict[str, object]]) -> Manifest:
    return parse_manifest(entries, max_files=MAX_FILES + 2) if entries else ()  # with the provider's two signatures
