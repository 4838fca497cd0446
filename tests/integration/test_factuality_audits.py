"""The factuality audits through a real service, from the command line to a report that verifies offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.factuality.certificates import sign_certificate
from audit.signing import PrivateKey
from conformal.replay import parse_certificate
from tests.integration.conftest import ServiceProcesses
from tests.integration.test_watermark_audits import run
from tests.unit.audit.factuality.test_kinds import AT, ledger, paragraphs

Capture = pytest.CaptureFixture[str]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def audited(capsys: Capture, folder: Path, *asked: str) -> int:
    """Ask, wait, download, verify offline; the exit code of the verdict."""
    code, out = run(["audit", "request", *asked, "--json"], capsys)
    assert code == 0, out
    audit = json.loads(out)["id"]
    code, out = run(["audit", "watch", audit], capsys)
    assert "verdict=" in out
    assert run(["report", audit, "--out", str(folder)], capsys)[0] == 0
    assert run(["verify", str(folder)], capsys)[0] == code
    assert any("<svg" in path.read_text() for path in folder.rglob("*.svg"))
    return code


def test_every_kind_from_file_to_verified_report(
    service: ServiceProcesses, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_URL", service.url)
    monkeypatch.setenv("ASSAY_API_KEY", service.new_key("auditor", "finn"))
    known = write_lines(tmp_path / "known.jsonl", ledger(100, 21))
    level = ["--params", json.dumps({"score": "s", "alpha": "0.1", "at": AT})]
    assert audited(capsys, tmp_path / "certify", "--kind", "factuality.certify", "--documents", str(known), *level) == 0
    certificate = json.loads((tmp_path / "certify/evidence/answer/result.json").read_text())["result"]["certificate"]

    signed = tmp_path / "certificate.json"
    signed.write_bytes(sign_certificate(parse_certificate(certificate), PrivateKey.generate()))
    fresh = write_lines(tmp_path / "fresh.jsonl", ledger(300, 5, 0.9))
    with_it = ["--documents", str(fresh), "--certificate", str(signed), "--params", json.dumps({"at": AT})]
    assert audited(capsys, tmp_path / "filter", "--kind", "factuality.filter", *with_it) == 0
    assert audited(capsys, tmp_path / "audit", "--kind", "factuality.audit", *with_it) == 3
    params = json.dumps({"score": "s", "calibration": ledger(100, 21)})
    stream = ["--documents", str(fresh), "--params", params]
    assert audited(capsys, tmp_path / "drift", "--kind", "factuality.drift", *stream) == 3
    texts = write_lines(tmp_path / "texts.jsonl", paragraphs(200, 3, False))
    stated = ["--documents", str(texts), "--params", json.dumps({"draws": 199, "resamples": 100})]
    assert audited(capsys, tmp_path / "stated", "--kind", "calibration.evaluate", *stated) == 3

    padded = ledger(100, 21)
    padded[0]["claims"][0]["label"] = "Y "
    bad = write_lines(tmp_path / "bad.jsonl", padded)
    assert run(["audit", "request", "--kind", "factuality.certify", "--documents", str(bad), *level], capsys)[0] == 1
    torn = tmp_path / "torn.jsonl"
    torn.write_text("{")
    assert run(["audit", "request", "--kind", "factuality.certify", "--documents", str(torn)], capsys)[0] in (1, 2)
