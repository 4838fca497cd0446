"""`assay privacy extract|membership|unlearning|whitebox` on files of the user's own: verdicts, exit codes, bad files."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from privacy.probes.model import Access
from privacy.redaction import find_residue
from tests.unit.api.privacy_commands import MODEL, REFERENCE, Models, models, refused, run
from tests.unit.privacy.fake_model import FakeModel
from tests.unit.privacy.probes.test_white_box import Remembering, crowd

__all__ = ["models"]
Capture = pytest.CaptureFixture[str]
WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "fern", "grove", "hazel", "iris", "jade",
    "kelp", "larch", "maple", "north", "olive", "pearl", "quartz", "raven", "sage", "thorn",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _the_same_token_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commitments follow from it, and from these the halves of non-members, splits of people, decoys and nulls."""
    monkeypatch.setattr("api.cli.privacy.run_folder.new_token", lambda: "5" * 32)


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choice(WORDS) for _ in range(6)) for _ in range(count)]


def write(path: Path, lines: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def record_lines(members: Sequence[str], others: Sequence[str]) -> list[dict[str, str]]:
    rows = [(text, "member") for text in members] + [(text, "non-member") for text in others]
    return [{"id": f"r{i}", "text": text, "role": role} for i, (text, role) in enumerate(rows)]


@pytest.fixture
def corpus(models: Models, tmp_path: Path) -> Path:
    """Sixty texts that the model was trained on, sixty that it was not."""
    members, others = texts(60, 1), texts(60, 2)
    for text in members[:40]:
        models.fakes[MODEL].plant_text(text, 0.97)
    return write(tmp_path / "records.jsonl", record_lines(members, others))


def secrets_of(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def residue(folder: Path, values: Sequence[str]) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and find_residue(path.read_bytes(), values)]


EXTRACT = ("--prefix", "14", "--suffix", "8", "--model", MODEL)


def test_extract(corpus: Path, models: Models, tmp_path: Path, capsys: Capture) -> None:
    out, hidden = tmp_path / "run", secrets_of(corpus)
    found = run(capsys, "extract", "--records", str(corpus), *EXTRACT, "--coins", "-o", str(out), secrets=hidden)
    assert found.code == 3 and found.out.startswith("memorised") and "of 60" in found.out and "condition:" in found.out
    content = json.loads((out / "result.json").read_text())
    assert content["result"]["verdict"] == "memorised" and (out / "figure.svg").read_text().startswith("<svg")
    assert residue(out, hidden) == [] and residue(out, ["r17"]) == []
    asked = dict(models.fakes[MODEL].calls)
    again = run(capsys, "extract", "--records", str(corpus), *EXTRACT, "--coins", "-o", str(out), "--json", secrets=hidden)
    assert again.json == content and models.fakes[MODEL].calls.get("write_tokens") == asked.get("write_tokens")


def test_extract_without_a_basis_is_an_association(corpus: Path, capsys: Capture) -> None:
    found = run(capsys, "extract", "--records", str(corpus), *EXTRACT, secrets=secrets_of(corpus))
    assert found.code == 5 and found.out.startswith("association only")


def test_membership(corpus: Path, models: Models, tmp_path: Path, capsys: Capture) -> None:
    out, hidden = tmp_path / "run", secrets_of(corpus)
    words = ("--records", str(corpus), "--model", MODEL, "--coins", "--fpr", "0.1", "--score", "loss", "-o", str(out))
    found = run(capsys, "membership", *words, secrets=hidden)
    assert found.code == 3 and "members: memorised" in found.out and "AUC" in found.out
    assert residue(out, hidden) == [] and "<svg" in (out / "figure.svg").read_text()


def test_membership_needs_what_its_scores_need(corpus: Path, models: Models, capsys: Capture) -> None:
    words = ("membership", "--records", str(corpus), "--model", MODEL)
    refused(run(capsys, *words, "--score", "reference", secrets=secrets_of(corpus)), 1, "reference model")
    refused(run(capsys, *words, "--score", "perplexity", secrets=secrets_of(corpus)), 1, "no score")
    refused(run(capsys, *words, "--fpr", "0.001", secrets=secrets_of(corpus)), 1, "0.001")
    refused(run(capsys, *words, "--reference", MODEL, secrets=secrets_of(corpus)), 2, "same model")
    models.fakes[MODEL] = FakeModel(1, access=Access.TOP_K)
    refused(run(capsys, *words, "--fpr", "0.1", secrets=secrets_of(corpus)), 1, "log-probability")


def facts(entities: int, seed: int = 3) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for i in range(entities):
        answer, *wrong = (f"{rng.randrange(10**9):09}" for _ in range(5))
        rows.append(
            {"entity": f"e{i}", "context": f"The code of {WORDS[i % 20]} {i} is", "answer": answer, "alternatives": wrong}
        )
    return rows


MARGINS = ("--margin", "probability=0.2", "--margin", "rank=0.3", "--rewordings", "0")


def test_unlearning_found_wanting_and_shown(models: Models, tmp_path: Path, capsys: Capture) -> None:
    rows = facts(60)
    path = write(tmp_path / "forget.jsonl", rows)
    hidden = [row["answer"] for row in rows]
    words = ("unlearning", "--forget", str(path), "--model", MODEL, "--reference", REFERENCE, *MARGINS)
    out = tmp_path / "run"
    same = run(capsys, *words, "-o", str(out), secrets=hidden)
    assert same.code == 0 and same.out.startswith("forget set: forgotten within the margins")
    assert residue(out, hidden) == [] and "<svg" in (out / "figure.svg").read_text()
    for row in rows:
        models.fakes[MODEL].plant_fact(row["context"], row["answer"], 0.9)
    found = run(capsys, *words, secrets=hidden)
    assert found.code == 3 and "forget set: not forgotten" in found.out


def test_few_entities_show_nothing(tmp_path: Path, models: Models, capsys: Capture) -> None:
    path = write(tmp_path / "forget.jsonl", facts(3))
    found = run(capsys, "unlearning", "--forget", str(path), "--model", MODEL, "--reference", REFERENCE, *MARGINS)
    assert found.code == 5 and "inconclusive" in found.out and "entities" in found.out


@pytest.mark.parametrize("text", ["probability", "probability=big", "=0.1", "speed=0.1", "probability=2"])
def test_margins_that_are_none(text: str, tmp_path: Path, models: Models, capsys: Capture) -> None:
    path = write(tmp_path / "forget.jsonl", facts(3))
    found = run(capsys, "unlearning", "--forget", str(path), "--model", MODEL, "--reference", REFERENCE, "--margin", text)
    refused(found, 2 if text in ("probability", "probability=big") else 1)


def test_soft_prompts_need_weights(tmp_path: Path, models: Models, capsys: Capture) -> None:
    people = [
        {"id": f"p{i}", "values": {"name": f"{WORDS[i % 20]} {WORDS[i // 20]}er", "phone": f"+1 202-555-01{i:02}"}}
        for i in range(40)
    ]
    path = write(tmp_path / "people.jsonl", people)
    hidden = [row["values"]["phone"] for row in people]
    words = ("whitebox", "--people", str(path), "--model", MODEL, "--types", "phone", "--trained", "20")
    refused(run(capsys, *words, secrets=hidden), 1, "weights")
    refused(run(capsys, *words[:-1], "39", secrets=hidden), 1, "too few")
    refused(run(capsys, *words[:-3], ",", "--trained", "20", secrets=hidden), 2, "--types names")


SECRET = "orla.quennell@example.org"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"\xff\xfe" + SECRET.encode(), "line 1"),
        (SECRET.encode(), "line 1"),
        (b'["' + SECRET.encode() + b'"]', "JSON object"),
        (b'{"id": "a", "id": "b", "text": "x", "role": "member"}', "line 1"),
        (b'{"id": "a", "text": "orla.quennell@example.org"}', "the members are"),
        (b'{"id": "a", "text": 7, "role": "member"}', "text is no text"),
        (b'{"id": "a", "text": "x", "role": "orla.quennell@example.org"}', "the role is one of"),
        (b'{"id": "a", "text": "x", "role": "member", "orla.quennell@example.org": 1}', "the members are"),
        (b"[" * 100_000, "line 1"),
        (b'{"id": "a", "text": "' + b"x" * (4 << 20) + b'"}', "longer than"),
        (b'{"id": "a", "text": "xy", "role": "member"}\n{"id": "a", "text": "xz", "role": "member"}', "same id"),
        (b'{"id": "a", "text": "xy", "role": "member"}\n{"id": "b", "text": "xy", "role": "member"}', "same text"),
        (b'{"id": "a", "text": "", "role": "member"}', "1 to"),
    ],
)
def test_files_of_records_that_are_none(data: bytes, message: str, tmp_path: Path, models: Models, capsys: Capture) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(data)
    for command in ("extract", "membership"):
        refused(run(capsys, command, "--records", str(path), "--model", MODEL, secrets=[SECRET]), 1, message)
    assert models.opened == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"entity": "e", "context": "c"}], "the members are"),
        ([{"entity": "e", "context": "c", "answer": SECRET, "alternatives": SECRET}], "alternatives is no list"),
        ([{"entity": "e", "context": "c", "answer": SECRET, "alternatives": [1]}], "lists of"),
        ([{"entity": "e", "context": "c", "answer": SECRET, "alternatives": []}], "wrong answers"),
        ([{"entity": "e", "context": "c", "answer": SECRET, "alternatives": [SECRET]}], "differ"),
        ([{"entity": "e", "context": "c", "answer": " ", "alternatives": ["x"]}], "1 to"),
        ([{"entity": "e", "context": "c", "answer": SECRET, "alternatives": ["x"]}] * 2, "same"),
    ],
)
def test_files_of_facts_that_are_none(lines: Any, message: str, tmp_path: Path, models: Models, capsys: Capture) -> None:
    path = write(tmp_path / "facts.jsonl", lines)
    words = ("unlearning", "--forget", str(path), "--model", MODEL, "--reference", REFERENCE)
    refused(run(capsys, *words, secrets=[SECRET]), 1, message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "a", "values": [SECRET]}], "values is no dict"),
        ([{"id": "a", "values": {"name": "Orla Quennell"}}], "besides the name"),
        ([{"id": "a", "values": {"email": SECRET, "phone": "+1 202-555-0143"}}], "needs a name"),
        ([{"id": "a", "values": {"name": "Orla Quennell", "email": "orla.quennell"}}], "email"),
        ([{"id": "", "values": {"name": "Orla Quennell", "email": SECRET}}], "an id"),
        ([{"id": "a", "values": {"name": "Orla Quennell", "email": SECRET}}] * 2, "same id"),
    ],
)
def test_files_of_people_that_are_none(lines: Any, message: str, tmp_path: Path, models: Models, capsys: Capture) -> None:
    path = write(tmp_path / "people.jsonl", lines)
    words = ("whitebox", "--people", str(path), "--model", MODEL, "--types", "email", "--trained", "10")
    refused(run(capsys, *words, secrets=[SECRET, "Orla Quennell"]), 1, message)
    assert models.opened == 0


@pytest.mark.parametrize("error", [ValueError(SECRET), KeyboardInterrupt(), OSError(28, "No space left on device", "part")])
def test_failures_in_the_middle(error: BaseException, corpus: Path, models: Models, tmp_path: Path, capsys: Capture) -> None:
    class Fails(FakeModel):
        def score(self, sequences: Any) -> Any:
            raise error

    models.fakes[MODEL] = Fails(1)
    out, hidden = tmp_path / "run", [*secrets_of(corpus), SECRET]
    words = ("--records", str(corpus), "--model", MODEL, "--fpr", "0.1", "-o", str(out))
    found = run(capsys, "membership", *words, secrets=hidden)
    refused(found, 130 if isinstance(error, KeyboardInterrupt) else 1)
    assert residue(out, hidden) == []


@pytest.mark.parametrize(("known", "code", "word"), [(True, 3, "memorised"), (False, 0, "no gain shown")])
def test_soft_prompts_on_a_stand_in(
    known: bool, code: int, word: str, models: Models, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors")
    people = crowd(34, "p", 5)
    stand_in = Remembering(people if known else [], recall=0.0, plain=12.0)
    monkeypatch.setattr("api.cli.privacy.named_model.white_box_of", lambda model: stand_in)
    path = write(
        tmp_path / "people.jsonl", [{"id": f"{person.values['name']}!", "values": dict(person.values)} for person in people]
    )
    (tmp_path / "templates.tsv").write_text("ask\ttwin\tphone\tThe phone number of {name} is\n")
    hidden = [value for person in people for value in person.values.values()]
    words = ("--types", "phone", "--trained", "20", "--canaries", "--steps", "20", "--soft-tokens", "2")
    out = tmp_path / "run"
    files = ("--people", str(path), "--templates", str(tmp_path / "templates.tsv"), "-o", str(out))
    found = run(capsys, "whitebox", *files, *words, "--model", MODEL, secrets=hidden)
    assert found.code == code and word in found.out and "on 14 people" in found.out
    assert residue(out, hidden) == [] and not (out / "tuning").exists() and "<svg" in (out / "figure.svg").read_text()
    again = run(capsys, "whitebox", *files, *words, "--model", MODEL, "--json", secrets=hidden)
    assert again.json == json.loads((out / "result.json").read_text())
