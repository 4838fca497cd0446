"""Replies of models, parsed strictly as JSON lines: bounded, never executed, and refused as a whole when one line is off."""

from __future__ import annotations

import json
from typing import Any

from conformal.pipeline.errors import ReplyError

MAX_REPLY_CHARS = 200_000
MAX_REPLY_LINES = 1_000


def parse_json_lines(reply: str) -> list[dict[str, Any]]:
    """One object a line. Blank lines, and a code fence around all of it, are let pass; prose is not. Raises ReplyError."""
    if len(reply) > MAX_REPLY_CHARS:
        raise ReplyError(f"the reply has more than {MAX_REPLY_CHARS} characters")
    lines = [line.strip() for line in reply.strip().split("\n")]
    if len(lines) >= 2 and lines[0] in ("```", "```json", "```jsonl") and lines[-1] == "```":
        lines = lines[1:-1]
    lines = [line for line in lines if line]
    if not lines or len(lines) > MAX_REPLY_LINES:
        raise ReplyError("the reply is empty" if not lines else f"the reply has more than {MAX_REPLY_LINES} lines")
    return [_parse_line(line, number) for number, line in enumerate(lines, 1)]


def _parse_line(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ReplyError(f"line {number} of the reply is no JSON object") from None
    if not isinstance(found, dict):
        raise ReplyError(f"line {number} of the reply is no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")
