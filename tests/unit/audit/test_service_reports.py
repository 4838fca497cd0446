"""Reports on audits that the service ran itself, as a lying service could make them: no provider's signature is asked for, so the
subject and everything beside it must follow from the evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from audit.canonical import canonical_bytes
from audit.evidence import build_manifest
from audit.kinds import build_registry
from audit.registry import Check, Outcome, Registry
from audit.reports import ReportFacts, sign_report
from audit.requests import SERVICE, AuditRequest, Subject, new_request
from audit.running import ServiceRuns
from audit.signing import PrivateKey
from audit.subjects import MODEL_FORMAT, model_file, text_subject
from audit.verify import ReportVerdict, verify_report
from audit.watermark.context import RunContext
from audit.watermark.detect import TRANSCRIPT_FILE, read_params, run_detect
from watermark.keys import new_key

SERVICE_KEY = PrivateKey.generate()
DOCUMENTS = [{"id": "a", "input_ids": list(range(100, 200))}]
MODEL = canonical_bytes(
    {
        "format": MODEL_FORMAT, "name": "m", "owner": "root", "kind": "tiny", "address": "tiny", "nonce": "0",
        "capabilities": {"tier": "T4"}, "attestation": {},
    }
)  # fmt: skip
DIGEST = hashlib.sha256(MODEL).hexdigest()


def report(
    request: AuditRequest, answer: Mapping[str, bytes], published: Mapping[str, bytes], outcome: Outcome
) -> dict[str, bytes]:
    facts = ReportFacts(
        audit_id=request.sha256[:32],
        request=request,
        requested_at="2026-01-01T00:00:00.000Z",
        evidence_at="2026-01-01T00:00:01.000Z",
        outcome=outcome,
        answer=build_manifest(answer),
        published=build_manifest(published) if published else (),
        service_key=SERVICE_KEY.public.to_text(),
    )
    files = {"report.dsse.json": sign_report(facts, SERVICE_KEY), "evidence/request.json": request.to_bytes()}
    files |= {f"evidence/answer/{name}": data for name, data in answer.items()}
    return files | {f"evidence/published/{name}": data for name, data in published.items()}


def honest(**more: Any) -> tuple[AuditRequest, dict[str, bytes]]:
    key = new_key("vllm-gumbel", {})[0]
    params = {"key": key.commitment, "documents": DOCUMENTS, **more}
    request = new_request("alice", SERVICE, text_subject(DOCUMENTS), "watermark.detect", params)
    return request, run_detect(read_params(params), key, RunContext(request.sha256, b"e" * 32))


def outcome_of(request: AuditRequest, answer: Mapping[str, bytes], published: Mapping[str, bytes]) -> Outcome:
    from audit.registry import CheckContext

    return build_registry().get(request.kind).check(request, answer, CheckContext(published))


def verify(files: Mapping[str, bytes], **more: Any) -> ReportVerdict:
    return verify_report(files, more.pop("registry", build_registry()), [SERVICE_KEY.public], **more)


def failed(found: ReportVerdict) -> str:
    assert found.verdict == "refuted" and found.outputs == {}
    return next(check.id for check in found.checks if not check.ok)


def test_an_honest_report_verifies_and_says_whose_word_it_is() -> None:
    for published, more in (({}, {}), ({model_file(DIGEST): MODEL}, {"tokenizer": DIGEST})):
        request, answer = honest(**more)
        found = verify(report(request, answer, published, outcome_of(request, answer, published)))
        assert all(check.ok for check in found.checks) and found.outputs["documents"]
        assert any("word of the signer" in sentence for sentence in found.conditions)


def test_a_kind_that_providers_answer_cannot_be_passed_off_as_the_services() -> None:
    """Without this, a service could report on a run that no provider has signed."""
    claimed = Outcome("holds", (Check("1 everything", True, "fine"),))
    for subject in (Subject("run", "ab" * 32), text_subject(DOCUMENTS), Subject("model", DIGEST)):
        request = new_request("alice", SERVICE, subject, "training.proof", {})
        assert failed(verify(report(request, {"a": b"1"}, {model_file(DIGEST): MODEL}, claimed))) == "5 publication"


def test_a_service_run_names_no_provider_and_no_providers_key_stands_for_it() -> None:
    request, answer = honest()
    outcome = outcome_of(request, answer, {})
    assert failed(verify(report(replace(request, provider="acme"), answer, {}, outcome))) == "5 publication"
    assert failed(verify(report(request, answer, {}, outcome), providers=[PrivateKey.generate().public])) == "5 publication"


@pytest.mark.parametrize(
    ("subject", "published"),
    [
        (Subject("text", "ab" * 32), {}),
        (Subject("commitment", "ab" * 32), {}),
        (Subject("run", "ab" * 32), {}),
        (Subject("model", DIGEST), {}),
        (None, {"run.json": b"{}"}),
        (None, {model_file("ab" * 32): MODEL}),
        (None, {model_file(hashlib.sha256(b"{}").hexdigest()): b"{}"}),
        (None, {model_file(DIGEST): MODEL}),
    ],
)
def test_subject_and_published_files_follow_from_the_evidence(subject: Subject | None, published: dict[str, bytes]) -> None:
    request, _ = honest()
    request = request if subject is None else replace(request, subject=subject)
    key = new_key("vllm-gumbel", {})[0]
    answer = run_detect(read_params(request.params), key, RunContext(request.sha256, b"e" * 32))
    claimed = Outcome("holds", (Check("1 everything", True, "fine"),))
    assert failed(verify(report(request, answer, published, claimed))) in ("5 publication", "6 recheck")


def test_another_outcome_than_the_evidence_gives_is_noticed() -> None:
    request, answer = honest(claim="watermarked")
    claimed = Outcome("holds", (Check("1 claim", True, "marked"),))
    assert failed(verify(report(request, answer, {}, claimed))) == "6 recheck"
    altered = {TRANSCRIPT_FILE: answer[TRANSCRIPT_FILE].replace(b'"num_distinct":', b'"num_distinct":9')}
    found = verify(report(request, altered, {}, outcome_of(request, answer, {})))
    assert failed(found) == "6 recheck" and "does not count" in found.checks[-1].detail


def test_what_an_audit_draws_follows_from_its_request_and_the_services_key() -> None:
    """Neither the auditor nor the provider can try requests until one draws well."""

    def entropy(signer: PrivateKey, request: AuditRequest) -> bytes:
        service: Any = SimpleNamespace(checker=SimpleNamespace(signer=signer))
        return ServiceRuns._entropy(service, request)

    one, other = honest()[0], honest()[0]
    assert entropy(SERVICE_KEY, one) == entropy(SERVICE_KEY, one) and len(entropy(SERVICE_KEY, one)) == 32
    drawn = {entropy(key, request) for key in (SERVICE_KEY, PrivateKey.generate()) for request in (one, other)}
    assert len(drawn) == 4


def test_a_kind_that_is_not_known_is_inconclusive_never_more() -> None:
    request, answer = honest()
    found = verify(report(request, answer, {}, outcome_of(request, answer, {})), registry=Registry())
    assert found.verdict == "inconclusive"
