"""`assay factuality` from labels to a certificate, a filter, a replay and an audit; refusals are one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from tests.unit.conformal.vendors import COMPONENTS, records

AT = ["--at", "2026-02-01T00:00:00Z"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ledgers, components, a signing key, and a certificate of 2026-01-01."""
    where = tmp_path_factory.mktemp("factuality")
    for name, seed, n, drift in (("calibration", 0, 200, 0.0), ("fresh", 1, 300, 0.0), ("bad", 2, 300, 1.4)):
        lines = [json.dumps(record) for record in records(seed, n, name, drift)]
        (where / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (where / "components.json").write_text(json.dumps(COMPONENTS))
    (where / "report.json").write_text(
        json.dumps({"components": {"s": {k: v for k, v in COMPONENTS.items() if k != "labeller"}}})
    )
    with pytest.raises(SystemExit):
        main(["keys", "signing", str(where / "key.pem")])
    made = [
        "--claims", str(where / "calibration.jsonl"), "--score", "s", "--alpha", "0.1", "--key", str(where / "key.pem"),
        "--certificate", str(where / "C.json"), "--components", str(where / "components.json"),
        "--issued", "2026-01-01T00:00:00Z",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(["factuality", "calibrate", *made])
    assert stop.value.code in (0, None)
    return where


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["factuality", *arguments, "--json"])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(stop.value.code or 0), json.loads(out) if out else None, err


def certified(folder: Path, command: str, ledger: str, *more: str, certificate: str = "C.json") -> list[str]:
    components = [] if command == "replay" else ["--components", str(folder / "components.json"), *AT]
    return [command, str(folder / ledger), "--certificate", str(folder / certificate), *components, *more]


def test_filter_replay_and_audit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, err = run(capsys, *certified(folder, "filter", "fresh.jsonl"))
    assert code == 0 and found["counts"]["outputs"] == 300 and not found["issuer_pinned"] and "--issuer" in err
    pinned = ["--issuer", found["issuer"]]
    assert run(capsys, *certified(folder, "filter", "fresh.jsonl", *pinned))[1]["issuer_pinned"]
    assert run(capsys, *certified(folder, "filter", "fresh.jsonl", "--components", str(folder / "report.json")))[0] == 0
    assert run(capsys, *certified(folder, "replay", "calibration.jsonl", *pinned))[1]["verdict"] == "holds"
    assert run(capsys, *certified(folder, "replay", "fresh.jsonl"))[0] == 3
    for ledger, code, verdict in (("fresh", 0, "consistent"), ("bad", 3, "refuted")):
        for more in ([], ["--sequential"]):
            done, audit, _ = run(capsys, *certified(folder, "audit", f"{ledger}.jsonl", *more))
            assert done == code and audit["verdict"] == verdict
    assert run(capsys, *certified(folder, "audit", "calibration.jsonl"))[0] == 1


def test_refusals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((folder / "C.json").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "altered.json").write_bytes(bytes(data))
    for command, ledger in (("filter", "fresh.jsonl"), ("audit", "fresh.jsonl"), ("replay", "calibration.jsonl")):
        code, found, err = run(capsys, *certified(folder, command, ledger, certificate="altered.json"))
        assert code == 1 and found is None and len(err.strip().splitlines()) == 1
    code, found, err = run(capsys, "filter", str(folder / "fresh.jsonl"), "--certificate", str(folder / "C.json"), *AT)
    assert code == 1 and found is None and "the model in use is not given" in err
    stranger = "A" * 43 + "="
    assert run(capsys, *certified(folder, "filter", "fresh.jsonl", "--issuer", stranger))[0] == 1
    code, found, _ = run(capsys, *certified(folder, "filter", "fresh.jsonl", "--at", "2027-01-01T00:00:00Z"))
    assert code == 3 and found["counts"]["kept_claims"] == 0 and found["counts"]["abstentions"] == 300


def test_lines_that_are_no_outputs_abstain(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"id":"x","claims":[{"text":"t","scores":{"s":-9,"s":99}}]}',
        b"9" * 5000,
        b"null",
    ]
    (folder / "hostile.jsonl").write_bytes(b"\n".join(lines))
    code, found, _ = run(capsys, *certified(folder, "filter", "hostile.jsonl"))
    assert code == 0 and found["counts"]["abstentions_by_reason"] == {"output-malformed": len(lines)}


@pytest.mark.parametrize(
    "more", [["--alpha", "0.2"], ["--jitter"], ["--components", "nowhere.json"], ["--days", "99999"], ["--issued", "today"]]
)
def test_no_certificate_without_one_level_a_key_and_stored_scores(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    target = folder / "never.json"
    base = [
        "calibrate",
        "--claims",
        str(folder / "calibration.jsonl"),
        "--score",
        "s",
        "--alpha",
        "0.1",
        "--certificate",
        str(target),
    ]
    assert run(capsys, *base, "--key", str(folder / "key.pem"), *more)[0] != 0 and not target.exists()
    assert run(capsys, *base)[0] == 2 and not target.exists()
