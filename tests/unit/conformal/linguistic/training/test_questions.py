"""Questions from a file, and splits by entity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformal.linguistic.training.questions import (
    Question,
    TrainingError,
    digest_of,
    read_questions,
    split_questions,
)

GOOD: dict[str, Any] = {"id": "1", "question": "Capital of Italy?", "answers": ["Rome", "Roma"], "entity": "Italy"}


def _file(folder: Path, *lines: str) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")
    return path


def test_a_question_is_read(tmp_path: Path) -> None:
    assert read_questions(_file(tmp_path, json.dumps(GOOD), "")) == (
        Question("1", "Capital of Italy?", ("Rome", "Roma"), "Italy"),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": 3},
        {"id": "x" * 201},
        {"question": None},
        {"question": "x" * 2001},
        {"answers": []},
        {"answers": "Rome"},
        {"answers": ["Rome", 1]},
        {"answers": ["..."]},
        {"answers": ["a"] * 65},
        {"split": "test"},
        {"answer": "Rome"},
        {"entity": " "},
        {"question": "\ud800?"},
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="line 2"):
        read_questions(_file(tmp_path, json.dumps(GOOD), json.dumps(GOOD | {"id": "2"} | change)))


@pytest.mark.parametrize("line", ["{", "[1]", "null", "__import__('os')", "[" * 20_000, '"\x00"'])
def test_lines_are_data_only(tmp_path: Path, line: str) -> None:
    with pytest.raises(TrainingError, match="line 1"):
        read_questions(_file(tmp_path, line))


def test_an_id_twice_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="twice"):
        read_questions(_file(tmp_path, json.dumps(GOOD), json.dumps(GOOD)))
    with pytest.raises(TrainingError, match="no question"):
        read_questions(_file(tmp_path, ""))


def _some(split: str | None = None) -> list[Question]:
    return [Question(f"{e}/{i}", f"{e} {i}?", ("a",), f"entity {e}", split) for e in range(200) for i in range(3)]


def test_a_split_keeps_entities_on_one_side_and_depends_on_the_seed() -> None:
    train, held_out = split_questions(_some(), 0.3, seed=1)
    assert not {q.entity for q in train} & {q.entity for q in held_out}
    assert len(train) + len(held_out) == 600 and 120 < len(held_out) < 240
    assert split_questions(_some(), 0.3, seed=1)[1] == held_out != split_questions(_some(), 0.3, seed=2)[1]


def test_an_entity_on_both_sides_is_refused() -> None:
    questions = [Question("1", "q", ("a",), "same", "train"), Question("2", "q", ("a",), "same", "held-out")]
    with pytest.raises(TrainingError, match="both sides"):
        split_questions(questions)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_outside_is_refused(share: float) -> None:
    with pytest.raises(TrainingError, match="between 0 and 1"):
        split_questions(_some(), share)


def test_an_empty_side_is_refused() -> None:
    with pytest.raises(TrainingError, match="no question is left"):
        split_questions(_some("train"))


def test_the_digest_sees_every_member() -> None:
    base = Question("1", "q", ("a",), "e", None)
    others = [Question("2", "q", ("a",), "e"), Question("1", "r", ("a",), "e"), Question("1", "q", ("b",), "e")]
    others += [Question("1", "q", ("a",), "f"), Question("1", "q", ("a",), "e", "train")]
    assert len({digest_of([question]) for question in [base, *others]}) == 6
