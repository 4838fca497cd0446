"""`assay privacy probe` on a stand-in for a model: verdicts and exit codes, refusals before anything is asked, going on again."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from privacy.errors import BoundaryError
from privacy.invented.people import draw_people
from privacy.probes.model import Access
from privacy.redaction import find_residue
from tests.unit.api.privacy_commands import (
    EMAIL,
    MODEL,
    NAME,
    PHONE,
    QUICK,
    REFERENCE,
    SECRETS,
    VALUES,
    Models,
    models,
    refused,
    run,
    sign,
    templates,
)
from tests.unit.privacy.fake_model import FakeModel

__all__ = ["models", "templates"]
Capture = pytest.CaptureFixture[str]
BOTH = ("--model", MODEL, "--reference", REFERENCE, *QUICK)


def test_a_planted_value_is_memorised_and_the_other_is_not(
    models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture
) -> None:
    models.fakes[MODEL].plant_fact(NAME, PHONE, 0.9)
    out = tmp_path / "run"
    found = run(capsys, "probe", *sign(tmp_path).options, *BOTH, *templates, "-o", str(out))
    assert found.code == 3
    phone, email = (line for line in found.out.splitlines() if "9-16" in line or "17-32" in line)
    assert "phone" in phone and "rank 1 of 41" in phone and phone.endswith("memorised")
    assert "email" in email and "not detected (leak <" in email
    assert " of 59 decoys accused" in found.out and "gamma:" in found.out and "condition:" in found.out
    content = json.loads((out / "result.json").read_text())
    assert content["result"]["found"] == 1 and content["consents"][0]["purpose"] == "does it know me?"
    figure = (out / "figure.svg").read_text()
    assert figure.startswith("<svg") and "59 decoys: phone" in figure and figure.count("<circle") == 2 + 2 * 59
    for path in out.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600 and find_residue(path.read_bytes(), SECRETS) == []


def test_nothing_detected_is_exit_0_and_json_is_all_of_stdout(
    models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture
) -> None:
    found = run(capsys, "probe", *sign(tmp_path).options, *BOTH, *templates, "--json")
    assert found.code == 0 and found.json["result"]["found"] == 0
    (person,) = found.json["result"]["people"]
    assert {item["verdict"] for item in person["items"]} == {"not detected"}
    assert all(item["p_adjusted"] > 0.05 for item in person["items"])


def test_a_model_that_cannot_be_told_from_its_reference_shows_nothing(
    models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture
) -> None:
    models.fakes[REFERENCE] = FakeModel(1)
    found = run(capsys, "probe", *sign(tmp_path).options, *BOTH, *templates)
    assert found.code == 5 and "not detected" in found.out and "shows nothing here: decoys rank last" in found.out


def test_without_a_reference_it_is_an_association(
    models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture
) -> None:
    models.fakes[MODEL].plant_fact(NAME, PHONE, 0.9)
    found = run(capsys, "probe", *sign(tmp_path).options, "--model", MODEL, *QUICK, *templates)
    assert found.code == 5 and "association only" in found.out and "--reference" in found.out
    assert not any(line.endswith("memorised") for line in found.out.splitlines())


def test_decoys_that_leak_leave_no_verdict(models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture) -> None:
    """Invented people whose values the model knows: something is wrong with the run, and nobody is accused by it."""
    models.fakes[MODEL].plant_fact(NAME, PHONE, 0.9)
    drawn = draw_people(random.Random(hashlib.sha256(b"decoys").digest()), 59, ("phone", "email"), [NAME])
    for decoy in drawn[:20]:
        models.fakes[MODEL].plant_fact(decoy.values["name"], decoy.values["phone"], 0.9)
    found = run(capsys, "probe", *sign(tmp_path).options, *BOTH, *templates)
    assert found.code == 5 and re.search(r"2\d of 59 decoys accused", found.out)
    assert [line.endswith("no verdict") for line in found.out.splitlines() if "rank " in line] == [True, True]


def test_several_subjects(models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture) -> None:
    other = (("name", "Tobin Marlgate"), ("phone", "+1 202-555-0177"))
    models.fakes[MODEL].plant_fact("Tobin Marlgate", "+1 202-555-0177", 0.9)
    pair = (*sign(tmp_path).options, *sign(tmp_path, other, name="b").options)
    found = run(capsys, "probe", *pair, "--model", MODEL, "--reference", REFERENCE, "--nulls", "80", *templates, "--json")
    people = found.json["result"]["people"]
    assert [person["verdict"] for person in people] == ["not detected", "memorised"]


def test_a_consent_is_used_once(models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture) -> None:
    words = ("probe", *sign(tmp_path).options, *BOTH, *templates)
    assert run(capsys, *words).code == 0
    asked = dict(models.fakes[MODEL].calls)
    refused(run(capsys, *words), 1, "used before")
    assert models.fakes[MODEL].calls == asked  # refused before any forward pass
    (record,) = (tmp_path / "state/used-consents").iterdir()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600 and len(record.read_bytes()) == 64
    assert find_residue(record.read_bytes() + record.name.encode(), SECRETS) == []


class Ends(FakeModel):
    """Ends after a number of calls."""

    left = 1
    error: BaseException = KeyboardInterrupt()

    def score_candidates(self, prompts: Any, candidates: Any, progress: Any = None) -> Any:
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().score_candidates(prompts, candidates, progress)


def test_an_interrupted_run_goes_on_with_the_same_command(
    models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privacy.probes.black_box.ROWS_AT_ONCE", 1000)
    signed, out = sign(tmp_path), tmp_path / "run"
    models.fakes[MODEL] = Ends(1).plant_fact(NAME, PHONE, 0.9)
    words = ("probe", *signed.options, *BOTH, *templates, "-o", str(out))
    refused(run(capsys, *words), 130, "resume")
    kept = {path: path.read_bytes() for path in (out / "kept").iterdir()}
    assert kept and find_residue(b"".join(kept.values()), SECRETS) == [] and b"0." not in b"".join(kept.values())
    refused(run(capsys, *words, "--nulls", "60"), 1, "another request, model or plan")
    refused(run(capsys, *words[:-1], str(tmp_path / "elsewhere")), 1, "used before")
    models.fakes[MODEL] = FakeModel(1).plant_fact(NAME, PHONE, 0.9)
    assert run(capsys, *words).code == 3
    assert all(path.read_bytes() == data for path, data in kept.items())
    again = run(capsys, *words, "--json")
    assert again.code == 3 and again.json == json.loads((out / "result.json").read_text())


def test_a_folder_of_something_else_is_left_alone(
    models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture
) -> None:
    words = ("probe", *sign(tmp_path).options, *BOTH, *templates)
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("all of it")
    refused(run(capsys, *words, "-o", str(out)), 1, "not empty")
    refused(run(capsys, *words, "-o", str(out / "thesis.txt")), 1)
    (out / "thesis.txt").rename(out / "run.json")
    refused(run(capsys, *words, "-o", str(out)), 1)
    assert (out / "run.json").read_text() == "all of it" and models.opened == 0
    assert not (tmp_path / "state").exists()  # the consent is not used up


def test_refused_before_a_model_is_opened(models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture) -> None:
    """Expired, for another model, changed, of another request, given twice, unsigned, too few nulls, too few decoys."""
    now = datetime.now(UTC)
    good, other = sign(tmp_path), sign(tmp_path, name="b")
    expired = sign(tmp_path, name="old", now=now - timedelta(days=40))
    elsewhere = sign(tmp_path, name="c", model="12" * 32)
    same_name = sign(tmp_path, (*VALUES[:1], ("phone", "+1 202-555-0177")), name="d")
    forged = sign(tmp_path, name="e")
    forged.request.write_text(forged.request.read_text().replace("does it know", "does IT know"))
    tail = (*BOTH, *templates)
    cases: list[tuple[tuple[str, ...], int, str]] = [
        ((*expired.options, *tail), 1, "expired"),
        ((*elsewhere.options, *tail), 1, "another model"),
        (("--request", str(good.request), "--openings", str(other.openings), *tail), 1, "belong to another"),
        ((*good.options, *good.options, *tail), 1, "given twice"),
        ((*good.options, *same_name.options, *tail, "--nulls", "80"), 1, "name of another one"),
        (("--request", str(good.request), *good.options, *tail), 2, "as often as each other"),
        ((*forged.options, *tail), 1, "not signed"),
        ((*good.options, *tail, "--nulls", "20"), 1, "at least 39 nulls"),
        ((*good.options, *tail, "--decoys", "20"), 1, "59 are needed"),
        ((*good.options, *tail, "--decoy-rate", "0.051"), 1, "take more"),
        ((*good.options, *BOTH, "--tier", "weights"), 2, "--tier"),
        ((*good.options, *BOTH, "--templates", str(good.openings)), 1, "templates"),
        ((*good.options, "--model", "absent", *templates), 1, "not a folder"),
    ]
    for words, code, message in cases:
        refused(run(capsys, "probe", *words), code, message)
    assert models.opened == 0 and not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "damage", ["missing", "binary", "huge", "json", "deep", "open", "values", "value", "type", "swapped", "number", "folder"]
)
def test_damaged_openings(damage: str, models: Models, tmp_path: Path, capsys: Capture) -> None:
    signed = sign(tmp_path)
    content = json.loads(signed.openings.read_text())
    if damage == "missing":
        signed.openings.unlink()
    elif damage == "folder":
        signed.openings.unlink()
        signed.openings.mkdir()
    elif damage == "open":
        signed.openings.chmod(0o644)
    elif damage in ("binary", "huge", "json", "deep"):
        data = {"binary": b"\xff\x00", "huge": b" " * (1 << 21), "json": PHONE.encode(), "deep": b"[" * 200_000}[damage]
        signed.openings.write_bytes(data)
    else:
        changed: Any = {
            "values": [],
            "value": [{"type": "phone", "value": ""}],
            "type": [{"type": "phone"}],
            "swapped": [{"type": "name", "value": NAME}, {"type": "phone", "value": "+1 202-555-0144"}],
            "number": [{"type": "phone", "value": 12025550143}],
        }
        signed.openings.write_text(json.dumps(content | {"values": changed[damage]}))
    refused(run(capsys, "probe", *signed.options, *BOTH, secrets=(*SECRETS, "+1 202-555-0144")), 1)
    assert models.opened == 0


@pytest.mark.parametrize("values", [(("name", NAME), ("phone", "ask Orla")), (("phone", PHONE),), (("name", NAME),)])
def test_signed_values_of_the_wrong_form(values: Any, models: Models, tmp_path: Path, capsys: Capture) -> None:
    found = run(capsys, "probe", *sign(tmp_path, values).options, *BOTH, secrets=(*SECRETS, "ask Orla"))
    refused(found, 1)
    assert models.opened == 0


def test_a_model_without_log_probabilities(models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture) -> None:
    models.fakes[MODEL] = FakeModel(1, access=Access.TEXT)
    signed = sign(tmp_path)
    refused(run(capsys, "probe", *signed.options, *BOTH, *templates, "--tier", "full"), 1, "tier full", "text")
    models.fakes[MODEL], models.fakes[REFERENCE] = FakeModel(1), FakeModel(1, access=Access.TEXT)
    refused(run(capsys, "probe", *signed.options, *BOTH, *templates), 1, "reference")
    assert not (tmp_path / "state").exists()


class Hostile(FakeModel):
    """Answers as a test says."""

    score_of: float | None = None
    joins = False
    error: Exception | None = None

    def tokenize(self, text: str) -> tuple[int, ...]:
        return (sum(text.encode()) % 255,) if self.joins else super().tokenize(text)

    def score_candidates(self, prompts: Any, candidates: Any, progress: Any = None) -> Any:
        if self.error is not None:
            raise self.error
        rows = super().score_candidates(prompts, candidates, progress)
        return [[tuple(self.score_of if self.score_of is not None else one for one in row) for row in own] for own in rows]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score_of": math.nan}, "NaN"),
        ({"score_of": 3.0}, "above 0"),
        ({"joins": True}, ""),
        ({"error": BoundaryError("the tokenizer joins prompt and value")}, "joins"),
        ({"error": ValueError(f"cannot handle {PHONE}")}, "internal error (ValueError)"),
        ({"error": MemoryError()}, "memory"),
        ({"error": OSError(28, "No space left on device", "kept")}, "free space"),
        ({"error": KeyError(EMAIL)}, "internal error (KeyError)"),
    ],
)
@pytest.mark.parametrize("traceback", ["", "1"])
def test_failures_in_the_middle_quote_nothing(
    changes: dict[str, Any], message: str, traceback: str, models: Models, templates: Sequence[str], tmp_path: Path,
    capsys: Capture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("ASSAY_TRACEBACKS", traceback)
    models.fakes[MODEL] = Hostile(1)
    for name, value in changes.items():
        setattr(models.fakes[MODEL], name, value)
    out = tmp_path / "run"
    found = run(capsys, "probe", *sign(tmp_path).options, *BOTH, *templates, "-o", str(out))
    assert found.code == 1 and found.out == "" and message in found.err
    if not traceback:
        refused(found, 1)
    left = [path for path in out.rglob("*") if path.is_file() and find_residue(path.read_bytes(), SECRETS)]
    assert left == []


def test_the_reference_is_another_model(models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture) -> None:
    words = ("--model", MODEL, "--reference", MODEL, *QUICK, *templates)
    refused(run(capsys, "probe", *sign(tmp_path).options, *words), 2, "model itself")


def test_text_tier_counts_hits(models: Models, templates: Sequence[str], tmp_path: Path, capsys: Capture) -> None:
    for fake in (MODEL, REFERENCE):
        models.fakes[fake] = FakeModel(1, access=Access.TEXT)
    words = ("--tier", "text", "--samples", "3", *templates)
    found = run(capsys, "probe", *sign(tmp_path, VALUES[:2]).options, *BOTH, *words)
    assert "0 hits in 3" in found.out and found.code in (0, 5)


def test_defaults_are_enough(models: Models, tmp_path: Path) -> None:
    """The plan that is made without options passes its own checks: nulls for all tests, decoys for the level."""
    from api.cli.privacy.consented import read_consented
    from api.cli.privacy.probe import _plan

    signed = [sign(tmp_path, name=str(i), values=(("name", f"{NAME} {'X' * i}"), *VALUES[1:])) for i in range(1, 8)]
    consented = read_consented([one.request for one in signed], [one.openings for one in signed])
    people = consented.people()
    for alpha in (0.4, 0.2, 0.05, 0.01):
        plan = _plan(consented, people, None, alpha, None, None, None, None, "US", 300)
        decoys = draw_people(random.Random(1), plan.decoys, plan.types, [])
        replace(plan).check([*people, *decoys])
        assert plan.nulls >= 14 / alpha - 1
