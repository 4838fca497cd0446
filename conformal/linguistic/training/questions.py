"""Questions with known answers, the text that asks them, and splits that keep an entity on one side. Standard library only."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformal.errors import ConformalError

MAX_FILE_BYTES = 256 << 20
MAX_QUESTIONS = 200_000
MAX_QUESTION_CHARACTERS = 2_000
MAX_ANSWER_CHARACTERS = 200
MAX_ANSWERS = 64
_FIELDS = frozenset({"id", "question", "answers", "entity", "split"})
SPLITS = ("train", "held-out")


class TrainingError(ConformalError):
    """Training for linguistic calibration cannot go on: bad questions, a missing package, a folder of another run."""


@dataclass(frozen=True)
class Question:
    """A question, every accepted spelling of its answer (the first is shown), and the entity it is about.

    `split` is "train", "held-out", or None where `split_questions` is to decide.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    entity: str
    split: str | None = None


def prompt_of(question: str) -> str:
    """The text a model continues, in every stage alike: short-answer samples, paragraphs, evaluation."""
    return f"Question: {question}\nAnswer:"


def normal_form(answer: str) -> str:
    """What two answers are compared by: NFKC, case folded, outer punctuation and leading articles dropped, blanks collapsed."""
    words = unicodedata.normalize("NFKC", answer).casefold().strip(" \t\r\n.,;:!?\"'()[]").split()
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]
    return " ".join(words)


def read_questions(path: Path) -> tuple[Question, ...]:
    """JSON lines: `id`, `question`, `answers` (one or more), optionally `entity` (default: the id) and `split`.

    Raises TrainingError that names the line, or OSError.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise TrainingError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    found: list[Question] = []
    seen: set[str] = set()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if len(found) == MAX_QUESTIONS:
                raise TrainingError(f"{path} holds more than {MAX_QUESTIONS} questions; split it")
            question = _parse(line, f"{path} line {number}")
            if question.id in seen:
                raise TrainingError(f"{path} line {number}: the id {question.id[:40]!r} appears twice")
            seen.add(question.id)
            found.append(question)
    if not found:
        raise TrainingError(f"{path} holds no question")
    return tuple(found)


def split_questions(questions: Sequence[Question], held_out: float = 0.3, seed: int = 0) -> tuple[list[Question], list[Question]]:
    """(train, held-out), by entity: as the questions say, otherwise by a keyed hash of the entity.

    Raises TrainingError when an entity lies on both sides or a side is empty.
    """
    if not 0.0 < held_out < 1.0:
        raise TrainingError(f"the held-out share must lie strictly between 0 and 1, not {held_out}")
    sides: dict[str, list[Question]] = {name: [] for name in SPLITS}
    for question in questions:
        digest = hashlib.sha256(f"{seed}\0{question.entity}".encode()).digest()
        hashed = SPLITS[int.from_bytes(digest[:8], "big") < held_out * 2.0**64]
        sides[question.split or hashed].append(question)
    both = {q.entity for q in sides["train"]} & {q.entity for q in sides["held-out"]}
    if both:
        raise TrainingError(f"the entity {min(both)[:60]!r} lies on both sides of the split; give its questions one `split`")
    for name, side in sides.items():
        if not side:
            raise TrainingError(f"no question is left for the side {name!r}; more entities are needed")
    return sides["train"], sides["held-out"]


def digest_of(questions: Iterable[Question]) -> str:
    """SHA-256 over the questions in order; two runs agree iff they asked the same."""
    digest = hashlib.sha256()
    for q in questions:
        digest.update(json.dumps([q.id, q.text, q.answers, q.entity, q.split]).encode())
    return digest.hexdigest()


def _parse(line: str, where: str) -> Question:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise TrainingError(f"{where} is no JSON object") from None
    if not isinstance(row, dict):
        raise TrainingError(f"{where} is no JSON object")
    unknown = set(row) - _FIELDS
    if unknown:
        raise TrainingError(f"{where}: unknown field {min(unknown)[:40]!r}; the fields are {', '.join(sorted(_FIELDS))}")
    name = _text(row.get("id"), "id", MAX_ANSWER_CHARACTERS, where)
    answers = row.get("answers")
    if not isinstance(answers, list) or not 1 <= len(answers) <= MAX_ANSWERS:
        raise TrainingError(f"{where}: `answers` must be a list of 1 to {MAX_ANSWERS} spellings")
    spelled = tuple(_text(answer, "answers", MAX_ANSWER_CHARACTERS, where) for answer in answers)
    if any(not normal_form(answer) for answer in spelled):
        raise TrainingError(f"{where}: an answer holds nothing but punctuation")
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise TrainingError(f"{where}: `split` must be one of {', '.join(SPLITS)}")
    return Question(
        id=name,
        text=_text(row.get("question"), "question", MAX_QUESTION_CHARACTERS, where),
        answers=spelled,
        entity=_text(row.get("entity", name), "entity", MAX_ANSWER_CHARACTERS, where),
        split=split,
    )


def _text(value: Any, field: str, limit: int, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TrainingError(f"{where}: `{field}` must be text that is not empty")
    if len(value) > limit:
        raise TrainingError(f"{where}: `{field}` is longer than {limit} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise TrainingError(f"{where}: `{field}` holds half of a surrogate pair") from None
    return value.strip()
