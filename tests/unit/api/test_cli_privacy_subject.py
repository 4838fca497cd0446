"""`assay privacy subject`: files of mode 0600, values checked by type and never quoted, requests that cannot be linked."""

from __future__ import annotations

import getpass
import io
import json
import stat
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from privacy.consent import Guard, read_openings, read_request
from privacy.redaction import find_residue
from tests.unit.api.privacy_commands import EMAIL, MODEL, NAME, PHONE, SECRETS, VALUES, refused, run

Capture = pytest.CaptureFixture[str]
LINES = "".join(f"{type_}={value}\n" for type_, value in VALUES)


@pytest.fixture
def subject(tmp_path: Path, capsys: Capture) -> Path:
    values, out = tmp_path / "values.txt", tmp_path / "subject.json"
    values.write_text(f"# mine\n\n{LINES}")
    assert run(capsys, "subject", "new", "--from", str(values), "-o", str(out)).code == 0
    values.unlink()
    return out


def test_new_writes_a_private_file_and_prints_no_value(subject: Path, tmp_path: Path, capsys: Capture) -> None:
    content = json.loads(subject.read_text())
    assert stat.S_IMODE(subject.stat().st_mode) == 0o600
    assert [(row["type"], row["value"]) for row in content["values"]] == list(VALUES)
    found = run(capsys, "subject", "new", "--name", NAME, "--phone", PHONE, "-o", str(tmp_path / "b.json"), "--json")
    assert found.code == 0 and [item["type"] for item in found.json["items"]] == ["name", "phone"]
    assert "history" in found.err and json.loads((tmp_path / "b.json").read_text())["key"] != content["key"]


@pytest.mark.parametrize(
    "text", [json.dumps(dict(VALUES)), json.dumps([{"type": t, "value": v} for t, v in VALUES]), LINES, "\ufeff" + LINES]
)
def test_values_from_json_lines_or_standard_input(
    text: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s.json"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    found = run(capsys, "subject", "new", "--from", "-", "-o", str(out))
    assert found.code == 0 and "history" not in found.err
    assert {row["type"]: row["value"] for row in json.loads(out.read_text())["values"]} == dict(VALUES)


def test_values_are_asked_without_echo(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(text: str, hide_input: bool, err: bool) -> str:
        asked.append((text, hide_input))
        return dict(VALUES)[text]

    monkeypatch.setattr(typer, "prompt", answer)
    words = ("--name", "-", "--phone", "-", "--value", "email=-")
    found = run(capsys, "subject", "new", *words, "-o", str(tmp_path / "s.json"))
    assert found.code == 0 and "history" not in found.err
    assert asked == [("name", True), ("phone", True), ("email", True)]


def test_nothing_is_asked_where_the_answer_would_show(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def shows(text: str, hide_input: bool, err: bool) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return NAME

    monkeypatch.setattr(typer, "prompt", shows)
    refused(run(capsys, "subject", "new", "--name", "-", "-o", str(tmp_path / "s.json")), 2, "--from FILE")


def test_a_phone_of_a_region_is_taken_with_a_remark(tmp_path: Path, capsys: Capture) -> None:
    words = ("subject", "new", "--name", NAME, "-o", str(tmp_path / "s.json"), "--phone", "202-555-0143")
    assert "no country code" in run(capsys, *words).err


def test_the_region_of_a_phone_goes_along(tmp_path: Path, capsys: Capture) -> None:
    out, hidden = tmp_path / "s.json", [NAME, "202-555-0143"]
    words = ("subject", "new", "--name", NAME, "--phone", "202-555-0143", "-o", str(out))
    refused(run(capsys, *words, "--region", "ZZ", secrets=hidden), 1, "phone", "ZZ")
    assert run(capsys, *words, "--region", "CA", secrets=hidden).code == 0
    names = ("--model", MODEL, "--purpose", "x", "-o", str(tmp_path / "r"), "--openings", str(tmp_path / "o"))
    out.write_text(out.read_text().replace('"CA"', '"ZZ"'))
    refused(run(capsys, "subject", "sign", "--subject", str(out), *names, secrets=hidden), 1, "phone", "ZZ")
    out.write_text(out.read_text().replace('"ZZ"', '"CA"'))
    assert run(capsys, "subject", "sign", "--subject", str(out), *names, secrets=hidden).code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--phone", "555-ORLA"], 1, "phone"),
        (["--email", "orla.quennell at example"], 1, "email"),
        (["--value", "us-ssn=000-00-0000"], 1, "us-ssn"),
        (["--value", "iban=DE00 Quennell"], 1, "iban"),
        (["--value", "shoe=Orla's 44"], 1, "unknown type"),
        (["--value", f"{PHONE}=phone"], 1, "value 2 has an unknown type"),
        (["--value", f"{PHONE}=-"], 2, "unknown type"),
        (["--value", "id:XX.NONE=Orla"], 1, "id:XX.NONE"),
        (["--value", "Orla Quennell"], 2, "--value 1"),
        (["--value", f"phone={PHONE}", "--phone", PHONE], 1, "two values of type 'phone'"),
        (["--phone", ""], 1, "phone"),
        (["--phone", "  "], 1, "phone"),
        (["--value", "affiliation=" + "Quennell " * 50], 1, "affiliation"),
        (["--phone", "+1", "202-555-0143"], 2, "1 words too many"),
        ([], 1, "besides the name"),
        (["--from", "absent.txt", "--phone", PHONE], 1, "absent.txt"),
        (["--from", "/", "--phone", PHONE], 1, "no regular file"),
        (["--from", "/dev/zero", "--phone", PHONE], 1, "no regular file"),
    ],
)
def test_new_refuses_by_type(words: list[str], code: int, message: str, tmp_path: Path, capsys: Capture) -> None:
    found = run(capsys, "subject", "new", "--name", NAME, "-o", str(tmp_path / "s.json"), *words)
    refused(found, code, message)
    assert "555-ORLA" not in found.err and "44" not in found.err and "Quennell" not in found.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe\x00", "UTF-8"),
        (b'{"phone": "' + PHONE.encode(), "JSON"),
        (b'{"phone": "+1 202-555-0143", "phone": "x"}', "JSON"),
        (b'[["phone", "+1 202-555-0143"]]', "must hold values"),
        (b'{"phone": 12025550143}', "no text"),
        (PHONE.encode(), "line 1"),
        (b"[" * 200_000, "JSON"),
        (b"phone=" + b"5" * (1 << 20), "larger"),
        (b"phone=+1 202-555-0143\nname=Someone Else", "two values of type 'name'"),
    ],
)
def test_files_of_values_that_are_none(data: bytes, message: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "values"
    path.write_bytes(data)
    refused(run(capsys, "subject", "new", "--name", NAME, "--from", str(path), "-o", str(tmp_path / "s.json")), 1, message)
    assert not (tmp_path / "s.json").exists()


def test_nothing_is_overwritten(subject: Path, tmp_path: Path, capsys: Capture) -> None:
    before = subject.read_bytes()
    refused(run(capsys, "subject", "new", "--name", NAME, "--phone", PHONE, "-o", str(subject)), 1, "exists")
    for request, openings in ((subject, tmp_path / "o"), (tmp_path / "r", subject), (tmp_path / "r", tmp_path / "r")):
        words = ("--model", MODEL, "--purpose", "x", "-o", str(request), "--openings", str(openings))
        assert run(capsys, "subject", "sign", "--subject", str(subject), *words).code == 1
    assert subject.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["subject.json"]


def sign(capsys: Capture, subject: Path, name: str, *words: str) -> tuple[Path, Path]:
    request, openings = subject.parent / f"{name}.json", subject.parent / f"{name}-openings.json"
    common = ("--subject", str(subject), "--model", MODEL, "--purpose", "does it know me?", "-o", str(request))
    found = run(capsys, "subject", "sign", *common, "--openings", str(openings), *words)
    assert found.code == 0, found.err
    return request, openings


def test_sign_makes_what_the_guard_takes(subject: Path, capsys: Capture) -> None:
    request, openings = sign(capsys, subject, "a", "--types", "phone")
    now = datetime.now(UTC)
    consent, opened = read_request(request.read_bytes(), now), read_openings(openings.read_bytes())
    assert consent.model_digest == MODEL and [item.type for item in consent.items] == ["name", "phone"]
    assert opened.values == VALUES[:2] and Guard(consent, opened, MODEL, now).release("phone", PHONE)
    assert stat.S_IMODE(openings.stat().st_mode) == 0o600
    assert find_residue(request.read_bytes(), SECRETS) == []
    assert (consent.expires - consent.issued).days == 30


def test_requests_of_one_subject_share_no_commitment(subject: Path, capsys: Capture) -> None:
    now = datetime.now(UTC)
    found = [read_request(sign(capsys, subject, name)[0].read_bytes(), now) for name in ("a", "b")]
    assert found[0].subject == found[1].subject
    assert not {item.commitment for item in found[0].items} & {item.commitment for item in found[1].items}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--types", "shoe"], 1, "lacks a value"),
        (["--types", PHONE], 1, "lacks a value"),
        (["--types", "name"], 2, "besides the name"),
        (["--types", ","], 2, "names no type"),
        (["--purpose", " "], 1, "purpose"),
        (["--purpose", "x" * 401], 1, "purpose"),
        (["--model", "absent-folder"], 1, "not a folder"),
        (["--model", "https://models.example/v1"], 2, "#MODEL"),
        (["--subject", "absent.json"], 1, "absent.json"),
    ],
)
def test_sign_refuses(words: list[str], code: int, message: str, subject: Path, tmp_path: Path, capsys: Capture) -> None:
    given = {"--subject": str(subject), "--model": MODEL, "--purpose": "x"} | dict(zip(words[::2], words[1::2]))
    flat = [word for pair in given.items() for word in pair]
    found = run(capsys, "subject", "sign", *flat, "-o", str(tmp_path / "r"), "--openings", str(tmp_path / "o"))
    refused(found, code, message)
    assert [path.name for path in tmp_path.iterdir()] == ["subject.json"]


@pytest.mark.parametrize("days", ["0", "367", "many"])
def test_validity_is_bounded(days: str, subject: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ("--model", MODEL, "--purpose", "x", "-o", str(tmp_path / "r"), "--openings", str(tmp_path / "o"), "--days", days)
    assert run(capsys, "subject", "sign", "--subject", str(subject), *words).code == 2


@pytest.mark.parametrize("damage", ["open", "format", "key", "values", "binary", "member", "type"])
def test_a_damaged_subject_file_is_refused_without_quoting(damage: str, subject: Path, tmp_path: Path, capsys: Capture) -> None:
    content = json.loads(subject.read_text())
    if damage == "open":
        subject.chmod(0o640)
    else:
        content |= {"format": "x"} if damage == "format" else {}
        content |= {"key": content["key"].upper() + NAME} if damage == "key" else {}
        content |= {"values": [{"type": "phone", "value": EMAIL}, *content["values"][:1]]} if damage == "values" else {}
        content |= {NAME: 1} if damage == "member" else {}
        content |= {"values": [PHONE]} if damage == "type" else {}
        subject.write_bytes(b"\xff\x00" if damage == "binary" else json.dumps(content).encode())
    words = ("--model", MODEL, "--purpose", "x", "-o", str(tmp_path / "r"), "--openings", str(tmp_path / "o"))
    refused(run(capsys, "subject", "sign", "--subject", str(subject), *words), 1)
    assert not (tmp_path / "r").exists()


def test_erase_removes_keys_and_says_what_remains(subject: Path, tmp_path: Path, capsys: Capture) -> None:
    request, openings = sign(capsys, subject, "a")
    stranger = tmp_path / "letter.txt"
    stranger.write_text("dear all")
    stranger.chmod(0o600)
    refused(run(capsys, "subject", "erase", "--subject", str(stranger), "--openings", str(openings)), 1, "JSON")
    refused(run(capsys, "subject", "erase", "--subject", str(subject), "--openings", str(stranger)), 1, "JSON")
    assert stranger.exists() and subject.exists() and openings.exists()
    found = run(capsys, "subject", "erase", "--subject", str(subject), "--openings", str(openings))
    assert found.code == 0 and "random numbers" in found.out
    assert request.exists() and not subject.exists() and not openings.exists()
