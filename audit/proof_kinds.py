"""Audits answered with zero-knowledge proofs about a provider's run: training, accuracy, histograms, counts, nearest
row.

Every answer is one AUDIT statement whose auditor nonce is the digest of the request, so that it answers this request
and no other, together with the proofs that establish what it relies on. Checking needs the standard library and
`zk.verifier` only; answering imports the prover.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import EvidenceError, RequestError
from audit.proof_params import (
    AccuracyParams,
    NearestParams,
    PredicateParams,
    read_accuracy,
    read_nearest,
    read_nothing,
    read_predicate,
)
from audit.registry import Cancelled, Check, CheckContext, Outcome, Progress, parse_verdict
from audit.requests import AuditRequest
from audit.zk_gate import PROOF_FOLDER, PROOF_SUFFIX, STATEMENT_SUFFIX, collect_pairs

if TYPE_CHECKING:
    from audit.provider.answers import RunSecrets
    from zk.prover.statements import AuditWork
    from zk.verifier.bundle import AuditSummary, BundleVerdict, RunSummary

AUDIT_NAME = "audit"
NO_POSSESSION = (
    "the proofs of a run name no provider: whoever holds its public files can publish them; only the answer to another"
    " kind of audit shows that this provider holds the data and the weights"
)
MIN_REPORTED_ROWS = 5


class TrainingProof:
    """The run itself: every segment, certificate and link, as published."""

    name = "training.proof"
    title = "The published weights are the result of SGD on the committed data"

    def parse_params(self, params: Mapping[str, Any]) -> None:
        read_nothing(params)

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        bundle, run = _verify(request, evidence, context, allowed_audit=None)
        outputs = {
            "run": request.subject.sha256,
            "segments": run.registration.n_segments,
            "steps": run.registration.total_steps,
            "layers": list(run.registration.spec.layers),
            "rows": run.registration.spec.rows,
            "final_weights": run.final.hex() if run.final else None,
        }
        return _outcome(bundle, outputs, NO_POSSESSION)

    def answer(self, request: AuditRequest, workspace: Path, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        from audit.provider.answers import training_files

        return training_files(workspace)


class _AuditKind:
    """Shared by the kinds that answer with one AUDIT statement of `family`."""

    name: str
    title: str
    family: str

    def parse_params(self, params: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def publics(self, params: Any) -> dict[str, tuple[int, ...]]:
        """Public values of the statement that the request fixes."""
        return {}

    def outputs(self, summary: AuditSummary, params: Any) -> dict[str, Any]:
        raise NotImplementedError

    def work(self, secrets: RunSecrets, params: Any) -> AuditWork:
        raise NotImplementedError

    def extra_params(self, params: Any) -> bytes:
        """Bytes after the specification in the statement's parameters."""
        return b""

    def uses_dataset(self) -> bool:
        return True

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        params = self.parse_params(request.params)
        bundle, run = _verify(request, evidence, context, allowed_audit=AUDIT_NAME)
        summary = _find_audit(bundle)
        if summary.nonce != bytes.fromhex(request.sha256) or summary.auditor != request.auditor:
            raise EvidenceError("the proof answers another request (auditor or nonce differ); prove this one")
        if summary.family != self.family:
            raise EvidenceError(f"the proof is a {summary.family}, the request asks for {self.family}")
        for name, values in self.publics(params).items():
            if summary.publics[name] != values:
                raise EvidenceError(f"the proof is about other {name} than the request gives")
        statement = bundle.verified[AUDIT_NAME].statement
        if statement.params != self._spec_bytes(run) + self.extra_params(params):
            raise EvidenceError("the proof uses another model or dataset specification than the run registered")
        self._check_commitments(bundle, summary, run)
        return _outcome(bundle, self.outputs(summary, params))

    def _spec_bytes(self, run: RunSummary) -> bytes:
        return run.registration.spec.data.encode() if self.uses_dataset() else run.registration.spec.encode()

    def _check_commitments(self, bundle: BundleVerdict, summary: AuditSummary, run: RunSummary) -> None:
        wanted = {"D": run.registration.dataset, "W": run.final}
        for role, canonical in summary.commitments.items():
            expected = wanted[role]
            if expected is None:
                raise EvidenceError("the run is not complete: its final weights are not proven")
            if bundle.links.canonical(expected) != canonical:
                raise EvidenceError(f"the proof opens another commitment in role {role} than the run's")

    def answer(self, request: AuditRequest, workspace: Path, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        from audit.provider.answers import answer_audit

        params = self.parse_params(request.params)
        return answer_audit(workspace, request, lambda secrets: self.work(secrets, params), progress, cancelled)


class Accuracy(_AuditKind):
    """Accuracy and predictions per group on rows the auditor supplies."""

    name = "model.accuracy"
    title = "Accuracy of the final weights on a public labelled set, per group, with the demographic gap"
    family = "accuracy"

    def parse_params(self, params: Mapping[str, Any]) -> AccuracyParams:
        return read_accuracy(params)

    def uses_dataset(self) -> bool:
        return False

    def extra_params(self, params: AccuracyParams) -> bytes:
        return len(params.labels).to_bytes(4, "little") + params.n_groups.to_bytes(4, "little")

    def publics(self, params: AccuracyParams) -> dict[str, tuple[int, ...]]:
        return {"features": params.features, "labels": params.labels, "groups": params.groups}

    def outputs(self, summary: AuditSummary, params: AccuracyParams) -> dict[str, Any]:
        return accuracy_outputs(summary.publics)

    def work(self, secrets: RunSecrets, params: AccuracyParams) -> AuditWork:
        return secrets.accuracy(params)


class TrainingAccuracy(_AuditKind):
    """Accuracy on the committed training rows themselves, per committed group."""

    name = "model.training-accuracy"
    title = "Accuracy of the final weights on the committed training data, per group"
    family = "committed-accuracy"

    def parse_params(self, params: Mapping[str, Any]) -> None:
        read_nothing(params)

    def _spec_bytes(self, run: RunSummary) -> bytes:
        return run.registration.spec.encode() + run.registration.spec.data.encode()

    def outputs(self, summary: AuditSummary, params: None) -> dict[str, Any]:
        return accuracy_outputs(summary.publics)

    def work(self, secrets: RunSecrets, params: None) -> AuditWork:
        return secrets.training_accuracy()


class LabelHistogram(_AuditKind):
    """Rows of every class."""

    name = "data.label-histogram"
    title = "Number of training rows of every class"
    family = "label-histogram"

    def parse_params(self, params: Mapping[str, Any]) -> None:
        read_nothing(params)

    def outputs(self, summary: AuditSummary, params: None) -> dict[str, Any]:
        return {"counts": list(summary.publics["counts"])}

    def work(self, secrets: RunSecrets, params: None) -> AuditWork:
        return secrets.label_histogram()


class PredicateCount(_AuditKind):
    """Rows that satisfy a threshold predicate, by class."""

    name = "data.predicate-count"
    title = "Number of training rows with a feature at or above a threshold, by class"
    family = "predicate-count"

    def parse_params(self, params: Mapping[str, Any]) -> PredicateParams:
        return read_predicate(params)

    def extra_params(self, params: PredicateParams) -> bytes:
        return params.feature.to_bytes(4, "little") + params.threshold.to_bytes(8, "little", signed=True)

    def outputs(self, summary: AuditSummary, params: PredicateParams) -> dict[str, Any]:
        counts = summary.publics["counts"]
        return {"feature": params.feature, "threshold": params.threshold, "counts": list(counts), "total": sum(counts)}

    def work(self, secrets: RunSecrets, params: PredicateParams) -> AuditWork:
        return secrets.predicate_count(params, MIN_REPORTED_ROWS)


class NearestRow(_AuditKind):
    """Distance of a public item to the nearest training row (was this item, or a copy of it, trained on?)."""

    name = "data.nearest-row"
    title = "Squared distance of a public item to the nearest training row"
    family = "nearest-row"

    def parse_params(self, params: Mapping[str, Any]) -> NearestParams:
        return read_nearest(params)

    def publics(self, params: NearestParams) -> dict[str, tuple[int, ...]]:
        return {"query": params.query}

    def outputs(self, summary: AuditSummary, params: NearestParams) -> dict[str, Any]:
        distance = summary.publics["distance"][0]
        return {"squared_distance": str(distance), "is_exact_copy": distance == 0}

    def work(self, secrets: RunSecrets, params: NearestParams) -> AuditWork:
        return secrets.nearest_row(params)


def kinds() -> tuple[Any, ...]:
    """The kinds of this module, for the registry."""
    return TrainingProof(), Accuracy(), TrainingAccuracy(), LabelHistogram(), PredicateCount(), NearestRow()


def accuracy_outputs(publics: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Exact counts and the ratios anybody can compute from them."""
    rows, correct, predicted = publics["rows"], publics["correct"], publics["predicted"]
    classes = len(predicted) // len(rows)
    rates = [right / total for right, total in zip(correct, rows, strict=True) if total]
    return {
        "rows": list(rows),
        "correct": list(correct),
        "predicted": [list(predicted[i * classes : (i + 1) * classes]) for i in range(len(rows))],
        "accuracy": _ratio(sum(correct), sum(rows)),
        "accuracy_by_group": [_ratio(right, total) for right, total in zip(correct, rows, strict=True)],
        "gap": f"{max(rates) - min(rates):.6f}" if rates else None,
    }


def _ratio(part: int, whole: int) -> str | None:
    return f"{part / whole:.6f}" if whole else None


def _verify(
    request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext, allowed_audit: str | None
) -> tuple[BundleVerdict, RunSummary]:
    """Verify published and submitted proofs together and find the run the request is about.

    What was published stays: evidence may add proofs, never put others in their place. It holds nothing but proofs, and no
    audit statement except `allowed_audit`.
    """
    from zk.verifier.bundle import verify_bundle

    if request.subject.name != "run":
        raise RequestError("this kind of audit is about a run; give the run id as subject")
    pairs = {name: (name, st, proof) for name, st, proof in collect_pairs(context.published)}
    submitted = _collect_submitted(evidence, allowed_audit)
    for name, statement, proof in submitted:
        if pairs.get(name, (name, statement, proof)) != (name, statement, proof):
            raise EvidenceError(f"proofs/{name} was published with other bytes; evidence cannot replace a published proof")
        pairs[name] = (name, statement, proof)
    bundle = verify_bundle(list(pairs.values()))
    names = {name for name, _, _ in submitted}
    for check in bundle.checks:
        if check.ok is False and check.id.removeprefix("proof.") in names and check.id.startswith("proof."):
            raise EvidenceError(f"{check.id} is refused: {check.detail}")
    strangers = sorted(audit.name for audit in bundle.audits if audit.name in names and audit.name != allowed_audit)
    if strangers:
        wanted = "exactly one audit statement, proofs/audit.stmt" if allowed_audit else "no audit statement"
        raise EvidenceError(f"proofs/{strangers[0]} is another audit statement; this answer holds {wanted}")
    for run in bundle.runs:
        if run.run_id.hex() == request.subject.sha256:
            return bundle, run
    raise EvidenceError(f"the proofs are not about run {request.subject.sha256[:16]}")


def _collect_submitted(evidence: Mapping[str, bytes], allowed_audit: str | None) -> list[tuple[str, bytes, bytes]]:
    """The proofs of an answer. Raises EvidenceError for any other file: it would travel under the report's signature."""
    for name in evidence:
        if not name.startswith(PROOF_FOLDER) or not name.endswith((STATEMENT_SUFFIX, PROOF_SUFFIX)):
            raise EvidenceError(f"{name} is no proof; evidence of this kind holds nothing but proofs/NAME.stmt and .proof")
    submitted = collect_pairs(evidence)
    if allowed_audit is not None and allowed_audit not in {name for name, _, _ in submitted}:
        raise EvidenceError(f"the evidence lacks proofs/{allowed_audit}.stmt and proofs/{allowed_audit}.proof")
    return submitted


def _find_audit(bundle: BundleVerdict) -> AuditSummary:
    for summary in bundle.audits:
        if summary.name == AUDIT_NAME:
            return summary
    raise EvidenceError("proofs/audit.stmt is no audit statement")


def _outcome(bundle: BundleVerdict, outputs: dict[str, Any], *conditions: str) -> Outcome:
    checks = tuple(Check(item.id, item.ok, item.detail) for item in bundle.checks)
    return Outcome(parse_verdict(bundle.verdict), checks, outputs, (*bundle.conditions, *conditions))
