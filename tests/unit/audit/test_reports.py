"""Reports: deterministic, self-contained, and every alteration is noticed by a numbered check."""

from __future__ import annotations

import io
import json
import os
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from audit.canonical import canonical_bytes
from audit.dsse import IN_TOTO_TYPE, read_envelope, sign_envelope
from audit.errors import EvidenceError, ReportError, RequestError
from audit.evidence import build_manifest
from audit.publications import SignedPublication, sign_publication, sign_registration
from audit.registry import Cancelled, Check, CheckContext, Outcome, Progress, Registry
from audit.rendering import render_figure, render_text
from audit.reports import (
    ReportFacts,
    build_statement,
    pack_report,
    parse_statement,
    read_report,
    sign_report,
    unpack_report,
    write_report,
)
from audit.requests import AuditRequest, Subject, new_request
from audit.signing import PrivateKey
from audit.verify import UNPINNED, verify_report


class EqualKind:
    """Tests only: evidence `a` must equal the published file `b`."""

    name = "test.equal"
    title = "Equality (tests only)"

    def parse_params(self, params: Mapping[str, Any]) -> None:
        if params:
            raise RequestError("no parameters")

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        if "a" not in evidence:
            raise EvidenceError("a is missing")
        same = evidence["a"] == context.published["b"]
        checks = (Check("1 equal", same, "compared <&> \x1b[31m"), Check("2 noted", True, "noted"))
        return Outcome("holds" if same else "refuted", checks, {"n": len(evidence["a"])}, ("the beacon is self-made",))

    def answer(self, request: AuditRequest, workspace: Path, progress: Progress, cancelled: Cancelled) -> dict[str, bytes]:
        raise NotImplementedError


KEY = PrivateKey.generate()
PROVIDER = PrivateKey.generate()
REQUEST = new_request("alice", "acme", Subject("run", "ab" * 32), "test.equal", {})


def registry() -> Registry:
    found = Registry()
    found.add(EqualKind())
    return found


PUBLISHED = {
    "b": b"same",
    "registration.dsse.json": sign_registration("acme", PROVIDER, PROVIDER.public),
    "publication.dsse.json": sign_publication(
        SignedPublication("acme", REQUEST.subject.sha256, build_manifest({"b": b"same"})), PROVIDER
    ),
}


def facts(answer: bytes = b"same") -> tuple[ReportFacts, dict[str, bytes]]:
    evidence, published = {"a": answer}, PUBLISHED
    outcome = EqualKind().check(REQUEST, evidence, CheckContext(published))
    made = ReportFacts(
        REQUEST.sha256[:32], REQUEST, "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z", outcome,
        build_manifest(evidence), build_manifest(published), KEY.public.to_text(),
    )  # fmt: skip
    files = {
        "evidence/request.json": REQUEST.to_bytes(),
        "evidence/answer/a": answer,
        **{f"evidence/published/{name}": data for name, data in published.items()},
    }
    return made, files


def report(answer: bytes = b"same") -> dict[str, bytes]:
    made, files = facts(answer)
    statement = build_statement(made)
    return {
        "report.dsse.json": sign_report(made, KEY),
        "report.txt": render_text(statement).encode(),
        "figure.svg": render_figure(statement).encode(),
        **files,
    }


def resign(files: dict[str, bytes], key: PrivateKey = KEY, **predicate: Any) -> dict[str, bytes]:
    """The same report with an altered predicate, signed again: what a lying service could make."""
    statement = parse_statement(read_envelope(files["report.dsse.json"])[0])
    statement["predicate"].update(predicate)
    envelope = sign_envelope(canonical_bytes(statement), IN_TOTO_TYPE, [key])
    return {**files, "report.dsse.json": canonical_bytes(envelope)}


def failed_check(files: Mapping[str, bytes]) -> str:
    verdict = verify_report(files, registry(), [KEY.public])
    assert verdict.verdict == "refuted"
    return next(check.id for check in verdict.checks if check.ok is False)


def test_an_honest_report_holds() -> None:
    verdict = verify_report(report(), registry(), [KEY.public])
    provider = f"the provider acme is whoever holds the key {PROVIDER.public.to_text()}, registered here"
    assert (verdict.verdict, verdict.outputs) == ("holds", {"n": 4})
    assert verdict.conditions == (provider, "the beacon is self-made")
    steps = ["1 envelope", "2 statement", "3 evidence", "4 request", "5 publication", "6 recheck"]
    assert [check.id for check in verdict.checks] == steps


def test_an_honest_refutation_is_refuted_with_every_check_passed() -> None:
    verdict = verify_report(report(b"other"), registry(), [KEY.public])
    assert verdict.verdict == "refuted" and all(check.ok for check in verdict.checks)


def test_reports_are_deterministic() -> None:
    assert report() == report()


def test_without_a_pinned_key_the_result_says_so() -> None:
    verdict = verify_report(report(), registry())
    assert verdict.verdict == "holds" and verdict.conditions[0] == UNPINNED


def test_an_unknown_kind_is_inconclusive() -> None:
    assert verify_report(report(), Registry(), [KEY.public]).verdict == "inconclusive"


def test_another_signer_is_refused() -> None:
    stranger = PrivateKey.generate()
    assert failed_check(resign(report(), stranger)) == "1 envelope"
    unpinned = verify_report(resign(report(), stranger), registry())
    assert unpinned.verdict == "refuted" and unpinned.checks[0].id == "1 envelope"


@pytest.mark.parametrize("name", ["evidence/request.json", "evidence/answer/a", "evidence/published/b"])
def test_evidence_altered_missing_or_added_is_refused(name: str) -> None:
    files = report()
    assert failed_check({**files, name: files[name] + b"x"}) == "3 evidence"
    assert failed_check({key: value for key, value in files.items() if key != name}) == "3 evidence"
    assert failed_check({**files, "evidence/more": b""}) == "3 evidence"


def test_every_byte_of_the_envelope_counts() -> None:
    files = report()
    envelope = files["report.dsse.json"]
    for position in range(0, len(envelope), 7):
        altered = envelope[:position] + bytes([envelope[position] ^ 1]) + envelope[position + 1 :]
        verdict = verify_report({**files, "report.dsse.json": altered}, registry(), [KEY.public])
        if verdict.verdict == "holds":  # only the unauthenticated hint may change
            assert json.loads(altered)["payload"] == json.loads(envelope)["payload"]
            assert json.loads(altered)["signatures"][0]["sig"] == json.loads(envelope)["signatures"][0]["sig"]


@pytest.mark.parametrize(
    "lie",
    [
        {"verdict": "refuted"},
        {"outputs": {"n": 5}},
        {"conditions": []},
        {"checks": [{"id": "1 equal", "ok": True, "detail": "nicer"}]},
    ],
)
def test_a_service_that_lies_about_the_outcome_is_caught(lie: dict[str, Any]) -> None:
    assert failed_check(resign(report(), **lie)) == "6 recheck"


def test_a_service_that_swaps_request_or_subject_is_caught() -> None:
    files = report()
    other = replace(REQUEST, nonce="00" * 32)
    assert failed_check(resign(files, request={"sha256": other.sha256, **other.to_json()})) == "4 request"
    statement = parse_statement(read_envelope(files["report.dsse.json"])[0])
    statement["subject"] = [Subject("run", "00" * 32).to_json()]
    envelope = canonical_bytes(sign_envelope(canonical_bytes(statement), IN_TOTO_TYPE, [KEY]))
    assert failed_check({**files, "report.dsse.json": envelope}) == "4 request"


@pytest.mark.parametrize(
    "broken",
    [{"verdict": 1}, {"checks": [1]}, {"checks": [{"id": "x", "ok": 1}]}, {"evidence": {}}, {"service": {}}, {"conditions": [1]}],
)  # fmt: skip
def test_a_malformed_statement_fails_its_own_check(broken: dict[str, Any]) -> None:
    assert failed_check(resign(report(), **broken)) in ("2 statement", "3 evidence")


def test_folders_and_archives_read_back(tmp_path: Path) -> None:
    files = report()
    write_report(tmp_path / "report", files.items())
    assert read_report(tmp_path / "report") == files
    with pytest.raises(ReportError, match="not empty"):
        write_report(tmp_path / "report", files.items())
    first, second = io.BytesIO(), io.BytesIO()
    pack_report(files.items(), first)
    pack_report(files.items(), second)
    assert first.getvalue() == second.getvalue() and unpack_report(first.getvalue()) == files
    with pytest.raises(ReportError, match=r"holds no report\.dsse\.json"):
        read_report(tmp_path)


def test_hostile_archives_are_refused() -> None:
    for content in (b"", b"PK", b"PK\x05\x06" + b"\0" * 10):
        with pytest.raises(ReportError):
            unpack_report(content)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../escape", b"x")
    with pytest.raises(EvidenceError):
        unpack_report(buffer.getvalue())


def test_damaged_archives_are_refused() -> None:
    buffer = io.BytesIO()
    pack_report([("report.dsse.json", b"x" * 5000), ("evidence/a", bytes(range(256)) * 20)], buffer)
    whole, random = buffer.getvalue(), Random(1)
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(random.randint(1, 3)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        with suppress(ReportError, EvidenceError):
            unpack_report(bytes(damaged))


def test_odd_report_folders_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_report(folder, report().items())
    (folder / "evidence/link").symlink_to(tmp_path)
    with pytest.raises(ReportError, match="link"):
        read_report(folder)
    (folder / "evidence/link").unlink()
    os.mkfifo(folder / "evidence/pipe")
    with pytest.raises(ReportError, match="ordinary"):
        read_report(folder)
    (folder / "evidence/pipe").unlink()
    os.makedirs(folder / "/".join("d" * 600))
    with pytest.raises(ReportError, match="deep"):
        read_report(folder)


def test_renderings_obey_nobody() -> None:
    files = report()
    text, figure = files["report.txt"].decode(), files["figure.svg"].decode()
    assert "\x1b" not in text and "\\x1b" in text
    assert "HOLDS" in text and "the beacon is self-made" in text
    ElementTree.fromstring(figure)
    assert "<script" not in figure and "\x1b" not in figure and "&lt;&amp;&gt;" in figure


def test_verdicts_and_checks_agree() -> None:
    with pytest.raises(RequestError):
        Outcome("holds", (Check("1", False, ""),))
    with pytest.raises(RequestError):
        Outcome("holds", (Check("1", None, ""),))
    with pytest.raises(RequestError):
        Outcome("holds", ())
    with pytest.raises(RequestError):
        Outcome("maybe", (Check("1", True, ""),))  # type: ignore[arg-type]


def test_the_registry_refuses_doubles_and_bad_names() -> None:
    found = registry()
    with pytest.raises(RequestError, match="twice"):
        found.add(EqualKind())
    bad = EqualKind()
    bad.name = "Bad Name"
    with pytest.raises(RequestError):
        found.add(bad)
    with pytest.raises(RequestError, match=r"known kinds: test\.equal"):
        found.get("other")
