"""The prompts of a run: JSON lines `{"id", "prompt"}`, optionally with a `group`. Read strictly."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformal.claims import MAX_ID_CHARS
from conformal.pipeline.errors import PipelineError

MAX_QUESTIONS = 1_000_000
MAX_PROMPT_CHARS = 1_000_000
MAX_FILE_BYTES = 4 << 30
_FIELDS = {"id", "prompt", "group"}


@dataclass(frozen=True)
class Question:
    """One prompt, with the id that its output keeps in the ledger."""

    id: str
    prompt: str
    group: str | None = None


def read_question_file(path: Path) -> list[Question]:
    """Raises PipelineError naming the line."""
    if not path.is_file():
        raise PipelineError(f'{path} is not a file; name JSON lines of {{"id": ..., "prompt": ...}}')
    if path.stat().st_size > MAX_FILE_BYTES:
        raise PipelineError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    with path.open("rb") as stream:
        return read_questions(stream, path.name)


def read_questions(lines: Iterable[bytes], name: str = "the prompts") -> list[Question]:
    """Raises PipelineError naming the line: nothing is begun on half a list."""
    found: dict[str, Question] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        if len(line) > 8 * MAX_PROMPT_CHARS:
            raise PipelineError(f"{where}: longer than {8 * MAX_PROMPT_CHARS} bytes")
        try:
            question = _question(json.loads(line), where)
        except (ValueError, RecursionError):
            raise PipelineError(f"{where}: not valid JSON") from None
        if question.id in found:
            raise PipelineError(f"{where}: the id {question.id!r} was used before")
        if len(found) >= MAX_QUESTIONS:
            raise PipelineError(f"{name}: more than {MAX_QUESTIONS} prompts; split them")
        found[question.id] = question
    if not found:
        raise PipelineError(f"{name} is empty: one JSON object a line is needed")
    return list(found.values())


def _question(value: Any, where: str) -> Question:
    if not isinstance(value, dict) or set(value) - _FIELDS:
        raise PipelineError(f"{where}: a prompt must be an object with id and prompt, and a group if there is one")
    identity, prompt, group = value.get("id"), value.get("prompt"), value.get("group")
    if not isinstance(identity, str) or not 0 < len(identity) <= MAX_ID_CHARS:
        raise PipelineError(f"{where}: id must be a text of 1 to {MAX_ID_CHARS} characters")
    if not isinstance(prompt, str) or not prompt.strip() or len(prompt) > MAX_PROMPT_CHARS:
        raise PipelineError(f"{where}: prompt must be a text of 1 to {MAX_PROMPT_CHARS} characters")
    if group is not None and (not isinstance(group, str) or not 0 < len(group) <= MAX_ID_CHARS):
        raise PipelineError(f"{where}: group must be a text of 1 to {MAX_ID_CHARS} characters")
    return Question(identity, prompt, group)
