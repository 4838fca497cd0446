"""Paragraphs with questions: what linguistic calibration is measured on. JSON lines, one paragraph a line, read strictly.

`id`, `text`, `questions`: a list of `{id, question, options, truth}` with at least two different `options`, `truth` one of them
word for word, and optionally `readers`: `{name: distribution}`, one probability an option, or null for a non-answer.
`text` may be null where every reading is given, or where a model is to write it; `prompt` is what it was or will be asked
(default: a template around the first question). Every problem is a LedgerError that names the line and the question.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformal.errors import LedgerError
from conformal.linguistic.readers.protocol import Case, ReaderError, Reading, check_distribution

MAX_FILE_BYTES = 1 << 30
MAX_LINE_CHARACTERS = 1 << 20
MAX_PARAGRAPHS = 200_000
MAX_QUESTIONS = 1_000_000
MAX_OPTIONS = 64
MAX_READERS = 16
MAX_ID, MAX_OPTION, MAX_QUESTION, MAX_TEXT = 200, 500, 4_000, 30_000
_FIELDS = frozenset({"id", "text", "prompt", "questions"})
_QUESTION_FIELDS = frozenset({"id", "question", "options", "truth", "readers"})


@dataclass(frozen=True)
class Asked:
    """A question about a paragraph. `truth` is the index of the right option; `readings` by the reader's name."""

    id: str
    question: str
    options: tuple[str, ...]
    truth: int
    readings: Mapping[str, Reading] = field(default_factory=dict)


@dataclass(frozen=True)
class Paragraph:
    """A text and the questions it is read for. `text` is None where the file gives readings only, or where none is written yet;
    `prompt` is None where the file names none."""

    id: str
    text: str | None
    questions: tuple[Asked, ...]
    prompt: str | None = None

    def cases(self) -> list[Case]:
        """The questions as a reader gets them, without the truth. Raises LedgerError for a paragraph without text."""
        if self.text is None:
            raise LedgerError(f"the paragraph {self.id[:60]!r} has no text to read; only its own `readers` can be evaluated")
        return [Case(asked.id, self.text, asked.question, asked.options) for asked in self.questions]

    def to_json(self) -> dict[str, Any]:
        """The paragraph as the file format has it, without readings."""
        questions = [
            {"id": asked.id, "question": asked.question, "options": list(asked.options), "truth": asked.options[asked.truth]}
            for asked in self.questions
        ]
        prompt = {} if self.prompt is None else {"prompt": self.prompt}
        return {"id": self.id, "text": self.text, **prompt, "questions": questions}


def read_paragraphs(path: Path) -> tuple[Paragraph, ...]:
    """The paragraphs of a file. Raises LedgerError that names the line, or OSError."""
    if not path.is_file():
        raise LedgerError(f"{path} is not a file; name JSON lines of paragraphs")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise LedgerError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    with path.open("rb") as stream:
        return parse_paragraphs(_decoded(stream, path.name), path.name)


def _decoded(stream: Iterable[bytes], name: str) -> Iterable[str]:
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise LedgerError(f"{name}, line {number}: no UTF-8 text (byte {error.start})") from None


def parse_paragraphs(lines: Iterable[str], name: str = "the file") -> tuple[Paragraph, ...]:
    """The paragraphs of JSON lines; blank lines are skipped. Raises LedgerError."""
    found: list[Paragraph] = []
    seen: dict[str, str] = {}
    questions = 0
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        if len(line) > MAX_LINE_CHARACTERS:
            raise LedgerError(f"{where}: longer than {MAX_LINE_CHARACTERS} characters")
        paragraph = _paragraph(_object(line, where), where)
        questions += len(paragraph.questions)
        if len(found) == MAX_PARAGRAPHS or questions > MAX_QUESTIONS:
            raise LedgerError(f"{where}: a file has at most {MAX_PARAGRAPHS} paragraphs and {MAX_QUESTIONS} questions")
        for identity in (f"paragraph {paragraph.id}", *(f"question {asked.id}" for asked in paragraph.questions)):
            if identity in seen:
                raise LedgerError(f"{where}: the {identity[:80]!r} was used before ({seen[identity]})")
            seen[identity] = where
        found.append(paragraph)
    if not found:
        raise LedgerError(f"{name} holds no paragraph")
    return tuple(found)


def _object(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line, parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _Rejected) else "not valid JSON"
        raise LedgerError(f"{where}: {reason}") from None
    if not isinstance(row, Mapping):
        raise LedgerError(f"{where}: a paragraph must be a JSON object")
    return row


class _Rejected(ValueError):
    """JSON that another parser would read differently."""


def _no_constant(text: str) -> float:
    raise _Rejected(f"{text} is no number here")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Rejected("a member is given twice")
    return found


def _paragraph(row: Mapping[str, Any], where: str) -> Paragraph:
    _known(row, _FIELDS, where)
    name = _text(row.get("id"), "id", MAX_ID, where)
    if "text" not in row:
        raise LedgerError(f"{where}: `text` is missing (null where every reading is given)")
    text = row["text"]
    if text is not None and (not isinstance(text, str) or len(text) > MAX_TEXT):
        raise LedgerError(f"{where}: `text` must be a text of at most {MAX_TEXT} characters, or null")
    questions = row.get("questions")
    if not isinstance(questions, list) or not questions:
        raise LedgerError(f"{where}: `questions` must be a list that is not empty")
    prompt = _text(row["prompt"], "prompt", MAX_TEXT, where) if row.get("prompt") is not None else None
    return Paragraph(name, text, tuple(_asked(item, name, i, where) for i, item in enumerate(questions)), prompt)


def _asked(row: Any, paragraph: str, index: int, line: str) -> Asked:
    where = f"{line}, question {index}"
    if not isinstance(row, Mapping):
        raise LedgerError(f"{where}: a question must be a JSON object")
    _known(row, _QUESTION_FIELDS, where)
    options = row.get("options")
    if not isinstance(options, list) or not 2 <= len(options) <= MAX_OPTIONS:
        raise LedgerError(f"{where}: `options` must be a list of 2 to {MAX_OPTIONS} answers")
    answers = tuple(_text(option, "options", MAX_OPTION, where) for option in options)
    if len({" ".join(answer.casefold().split()) for answer in answers}) != len(answers):
        raise LedgerError(f"{where}: two options are the same")
    truth = row.get("truth")
    if not isinstance(truth, str) or truth not in answers:
        raise LedgerError(f"{where}: `truth` must be one of the options, word for word")
    name = _text(row.get("id", f"{paragraph}/{index}"), "id", 2 * MAX_ID, where)
    readings = _readings(row.get("readers", {}), len(answers), where)
    return Asked(name, _text(row.get("question"), "question", MAX_QUESTION, where), answers, answers.index(truth), readings)


def _readings(value: Any, options: int, where: str) -> dict[str, Reading]:
    if not isinstance(value, Mapping) or len(value) > MAX_READERS:
        raise LedgerError(f"{where}: `readers` must be an object of at most {MAX_READERS} named distributions")
    found = {}
    for name, distribution in value.items():
        here = f"{where}, reader {str(name)[:60]!r}"
        if not name or len(name) > MAX_ID:
            raise LedgerError(f"{here}: a reader's name has 1 to {MAX_ID} characters")
        if distribution is None:
            found[name] = Reading(None, "given as a non-answer")
            continue
        if not isinstance(distribution, list):
            raise LedgerError(f"{here}: a distribution is a list of numbers, or null")
        try:
            found[name] = Reading(check_distribution(distribution, options, here))
        except ReaderError as error:
            raise LedgerError(str(error)) from None
    return found


def _known(row: Mapping[str, Any], fields: frozenset[str], where: str) -> None:
    unknown = sorted(set(row) - fields)
    if unknown:
        raise LedgerError(f"{where}: unknown member {unknown[0][:40]!r}; known are {', '.join(sorted(fields))}")


def _text(value: Any, name: str, limit: int, where: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > limit:
        raise LedgerError(f"{where}: `{name}` must be a text of 1 to {limit} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LedgerError(f"{where}: `{name}` holds half of a surrogate pair") from None
    return value
