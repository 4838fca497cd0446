"""A service operator, or whoever holds a service key, signs reports that their evidence does not support."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from audit.canonical import canonical_bytes
from audit.dsse import IN_TOTO_TYPE, read_envelope, sign_envelope
from audit.errors import EvidenceError
from audit.evidence import build_manifest
from audit.kinds import build_registry
from audit.publications import SignedPublication, sign_publication, sign_registration
from audit.registry import Cancelled, CheckContext, Outcome, Progress, Registry
from audit.reports import parse_statement
from audit.requests import AuditRequest, Subject, new_request
from audit.signing import PrivateKey
from audit.verify import ReportVerdict, verify_report
from tests.integration.attacks.conftest import Forge, ProvenRun


def judge(forge: Forge, files: dict[str, bytes]) -> ReportVerdict:
    return verify_report(files, build_registry(), [forge.service.public])


def failed(verdict: ReportVerdict) -> list[str]:
    return [check.id for check in verdict.checks if check.ok is False]


def test_the_honest_report_holds(forge: Forge, proven: ProvenRun) -> None:
    verdict = judge(forge, forge.report(proven.request, proven.answer, forge.publish("acme", proven.run_id, proven.public)))
    assert verdict.verdict == "holds" and not failed(verdict)
    assert any(forge.provider.public.to_text() in sentence for sentence in verdict.conditions)


def test_a_run_is_not_attributed_to_a_provider_who_never_signed_it(forge: Forge, proven: ProvenRun) -> None:
    """No registration and publication at all: the operator simply names a provider."""
    verdict = judge(forge, forge.report(proven.request, proven.answer, proven.public))
    assert verdict.verdict == "refuted" and failed(verdict) == ["5 publication"]


def test_the_run_of_one_provider_is_not_reported_as_that_of_another(forge: Forge, proven: ProvenRun) -> None:
    published = forge.publish("mallory", proven.run_id, proven.public)
    assert failed(judge(forge, forge.report(proven.request, proven.answer, published))) == ["5 publication"]
    mixed = {**published, "registration.dsse.json": sign_registration("acme", forge.provider, forge.provider.public)}
    assert failed(judge(forge, forge.report(proven.request, proven.answer, mixed))) == ["5 publication"]


def test_a_publication_by_another_key_than_the_registered_one_is_refused(forge: Forge, proven: ProvenRun) -> None:
    published = forge.publish("acme", proven.run_id, proven.public)
    stranger = PrivateKey.generate()
    published["registration.dsse.json"] = sign_registration("acme", stranger, stranger.public)
    assert failed(judge(forge, forge.report(proven.request, proven.answer, published))) == ["5 publication"]


def test_a_pinned_provider_key_decides(forge: Forge, proven: ProvenRun) -> None:
    files = forge.report(proven.request, proven.answer, forge.publish("acme", proven.run_id, proven.public))
    good = verify_report(files, build_registry(), [forge.service.public], providers=[forge.provider.public])
    assert good.verdict == "holds" and not any("registered here" in sentence for sentence in good.conditions)
    other = verify_report(files, build_registry(), [forge.service.public], providers=[PrivateKey.generate().public])
    assert failed(other) == ["5 publication"]


@pytest.mark.parametrize("change", ["added", "removed", "altered", "another run"])
def test_published_files_are_those_the_provider_signed(forge: Forge, proven: ProvenRun, change: str) -> None:
    signed = dict(proven.public)
    run_id = "ab" * 32 if change == "another run" else proven.run_id
    if change == "added":
        del signed["run.json"]
    elif change == "removed":
        signed["more.json"] = b"{}"
    elif change == "altered":
        signed["run.json"] = b'{"features": {"mean": [], "scale": [], "bits": 0}}'
    publication = SignedPublication("acme", run_id, build_manifest(signed))
    published = forge.publish("acme", proven.run_id, proven.public)
    published["publication.dsse.json"] = sign_publication(publication, forge.provider)
    assert failed(judge(forge, forge.report(proven.request, proven.answer, published))) == ["5 publication"]


def test_the_audit_id_is_that_of_the_request(forge: Forge, proven: ProvenRun) -> None:
    published = forge.publish("acme", proven.run_id, proven.public)
    files = forge.report(proven.request, proven.answer, published, audit_id="00" * 16)
    assert failed(judge(forge, files)) == ["4 request"]


def test_the_signer_names_itself_in_the_statement(forge: Forge, proven: ProvenRun) -> None:
    published = forge.publish("acme", proven.run_id, proven.public)
    files = forge.report(proven.request, proven.answer, published, service_key=PrivateKey.generate().public.to_text())
    assert failed(judge(forge, files)) == ["1 envelope"]


def test_stated_outputs_are_not_shown_as_findings_when_the_recheck_differs(forge: Forge, proven: ProvenRun) -> None:
    files = forge.report(proven.request, proven.answer, forge.publish("acme", proven.run_id, proven.public))
    statement = parse_statement(read_envelope(files["report.dsse.json"])[0])
    statement["predicate"]["outputs"] = {"counts": [1, 2, 3]}
    files["report.dsse.json"] = canonical_bytes(sign_envelope(canonical_bytes(statement), IN_TOTO_TYPE, [forge.service]))
    verdict = judge(forge, files)
    assert failed(verdict) == ["6 recheck"] and dict(verdict.outputs) == {}


def test_an_answer_to_one_request_is_none_to_another(forge: Forge, proven: ProvenRun) -> None:
    kind = build_registry().get("data.label-histogram")
    for other in (replace(proven.request, nonce="00" * 32), replace(proven.request, auditor="bob"),
                  replace(proven.request, provider="other"), replace(proven.request, params={})):  # fmt: skip
        if other.sha256 == proven.request.sha256:
            continue
        with pytest.raises(EvidenceError, match="another request"):
            kind.check(other, proven.answer, CheckContext(proven.public))
    with pytest.raises(EvidenceError):
        kind.check(replace(proven.request, subject=Subject("run", "ab" * 32)), proven.answer, CheckContext(proven.public))


def test_evidence_does_not_shadow_a_published_proof(proven: ProvenRun) -> None:
    """Under the name of a published proof, other bytes: what was published would silently not be checked."""
    published = dict(proven.public)
    published["proofs/segment-0001.proof"] = b"refuted"
    answer = dict(proven.answer)
    for part in ("stmt", "proof"):
        answer[f"proofs/segment-0001.{part}"] = proven.public[f"proofs/segment-0001.{part}"]
    with pytest.raises(EvidenceError, match="published"):
        build_registry().get("data.label-histogram").check(proven.request, answer, CheckContext(published))


def test_the_answer_itself_is_in_the_evidence_not_among_the_published_files(proven: ProvenRun) -> None:
    audit = {name: data for name, data in proven.answer.items() if name.startswith("proofs/audit.")}
    answer = {name: data for name, data in proven.public.items() if name.startswith("proofs/certificate-")}
    with pytest.raises(EvidenceError, match="lacks proofs/audit"):
        build_registry().get("data.label-histogram").check(proven.request, answer, CheckContext({**proven.public, **audit}))


@pytest.mark.parametrize("name", ["notes.html", "proofs/readme.txt", "evil/audit.stmt"])
def test_evidence_carries_nothing_but_proofs(proven: ProvenRun, name: str) -> None:
    """Other files would travel under the service's signature without anybody having looked at them."""
    with pytest.raises(EvidenceError, match="nothing but"):
        build_registry().get("data.label-histogram").check(
            proven.request, {**proven.answer, name: b"<script>"}, CheckContext(proven.public)
        )


def test_a_second_audit_statement_does_not_ride_along(proven: ProvenRun) -> None:
    second = {name.replace("/audit.", "/zzz."): data for name, data in proven.answer.items() if "/audit." in name}
    with pytest.raises(EvidenceError, match="one audit"):
        build_registry().get("data.label-histogram").check(
            proven.request, {**proven.answer, **second}, CheckContext(proven.public)
        )
    training = new_request("alice", "acme", Subject("run", proven.run_id), "training.proof", {})
    with pytest.raises(EvidenceError, match="audit"):
        build_registry().get("training.proof").check(training, proven.answer, CheckContext(proven.public))


def test_a_training_proof_says_that_it_shows_no_possession(proven: ProvenRun) -> None:
    """Whoever copies the public folder of another provider can publish it and answer training.proof with it."""
    request = new_request("alice", "copycat", Subject("run", proven.run_id), "training.proof", {})
    answer = {name: data for name, data in proven.public.items() if name.startswith("proofs/")}
    outcome = build_registry().get("training.proof").check(request, answer, CheckContext(proven.public))
    assert any("name no provider" in sentence for sentence in outcome.conditions)


class Crashing:
    """A kind whose check has a defect."""

    name, title = "data.label-histogram", "crashes"

    def parse_params(self, params: object) -> None:
        pass

    def check(self, request: AuditRequest, evidence: object, context: CheckContext) -> Outcome:
        raise OverflowError("int too big to convert")

    def answer(self, request: AuditRequest, workspace: object, progress: Progress, cancelled: Cancelled) -> dict[str, bytes]:
        raise NotImplementedError


def test_a_defect_in_a_check_is_no_traceback_and_no_refutation(forge: Forge, proven: ProvenRun) -> None:
    files = forge.report(proven.request, proven.answer, forge.publish("acme", proven.run_id, proven.public))
    registry = Registry()
    registry.add(Crashing())
    verdict = verify_report(files, registry, [forge.service.public])
    assert verdict.verdict == "inconclusive" and "OverflowError" in verdict.checks[-1].detail


def test_a_feature_number_beyond_its_field_is_refused_at_once(forge: Forge, proven: ProvenRun) -> None:
    with pytest.raises(Exception, match=r"params\.feature"):
        build_registry().get("data.predicate-count").parse_params({"feature": 1 << 32, "threshold": 0})


def test_a_false_rendering_is_pointed_out(forge: Forge, proven: ProvenRun) -> None:
    files = forge.report(proven.request, proven.answer, forge.publish("acme", proven.run_id, proven.public))
    for name in ("report.txt", "figure.svg", "VERIFIED.txt"):
        verdict = judge(forge, {**files, name: b"HOLDS: everything is fine"})
        assert any(name in sentence for sentence in verdict.conditions), name
    assert not any("report.txt" in sentence for sentence in judge(forge, files).conditions)


def test_a_report_of_a_long_run_stays_within_its_own_bounds(forge: Forge, proven: ProvenRun) -> None:
    """Published files and an answer, each within the bounds of a manifest, make a report that verifies."""
    from audit.evidence import MAX_FILES

    extra = {f"notes/{number}.json": b"{}" for number in range(MAX_FILES - len(proven.public) - 2)}
    public = {**proven.public, **extra}
    files = forge.report(proven.request, proven.answer, forge.publish("acme", proven.run_id, public))
    files_of_answer = len(json.loads(read_envelope(files["report.dsse.json"])[0])["predicate"]["evidence"])
    assert files_of_answer > MAX_FILES
    assert judge(forge, files).verdict == "holds"
