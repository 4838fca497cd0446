"""Documents from files, standard input, folders and JSONL batches: bounded, and every complaint names its place."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from watermark.errors import ConfigError, TokenError, WatermarkError
from watermark.families import MAX_TOKENS

MAX_TEXT_BYTES = 1 << 24
MAX_IDS_BYTES = 1 << 25
MAX_LINE_BYTES = 1 << 25
MAX_FILES = 100_000
MAX_ID_LENGTH = 200
STDIN = Path("-")


class InputError(WatermarkError):
    """A file or a line of a batch is empty, too large, no text, or malformed."""


@dataclass(frozen=True)
class Document:
    """One text or its token ids (exactly one of the two)."""

    id: str | int
    text: str | None = None
    ids: Sequence[int] | npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Record:
    """One line of a batch. `family` and `config`, or `key` (a path or the content of a key file), or neither."""

    document: Document
    family: str | None = None
    config: Mapping[str, Any] | None = None
    key: str | Mapping[str, Any] | None = None


def read_text(path: Path) -> str:
    """The text of a file, or of standard input for `-`. Raises InputError: empty, binary, not UTF-8, above MAX_TEXT_BYTES."""
    data = _read_bounded(path, MAX_TEXT_BYTES)
    if b"\x00" in data:
        raise InputError(f"{path} is binary (it holds a NUL byte), not text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); convert it first, for example with iconv") from None
    if not text.strip():
        raise InputError(f"{path} is empty")
    return text


def read_ids(path: Path) -> npt.NDArray[np.int64]:
    """Token ids of a file or standard input: a JSON list, or integers between white space. Raises InputError, TokenError."""
    data = _read_bounded(path, MAX_IDS_BYTES)
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise InputError(f"{path} holds no token ids; leave --ids out and give --tokenizer for text") from None
    if not text:
        raise InputError(f"{path} is empty")
    if text.startswith("["):
        found = parse_json(data, str(path))
        if not isinstance(found, list) or not found:
            raise InputError(f"{path} is empty: a list of token ids is needed")
    else:
        words = text.split()
        bad = next((position for position, word in enumerate(words) if not word.lstrip("-").isdecimal() or len(word) > 20), None)
        if bad is not None:
            raise TokenError(f"{path}: token {bad} is {words[bad][:40]!r}, not an integer id")
        found = [int(word) for word in words]
    try:
        return check_ids(found)
    except TokenError as error:
        raise TokenError(f"{path}: {error}") from None


def check_ids(ids: Sequence[Any]) -> npt.NDArray[np.int64]:
    """A list of JSON values as int64 ids. Raises TokenError that names the first one at fault."""
    if len(ids) > MAX_TOKENS:
        raise TokenError(f"{len(ids)} tokens are more than {MAX_TOKENS}; split the text")
    if set(map(type, ids)) - {int}:
        position = next(i for i, token in enumerate(ids) if type(token) is not int)
        raise TokenError(f"token {position} is {str(ids[position])[:40]!r}, not an integer id")
    try:
        return np.array(ids, dtype=np.int64)
    except OverflowError:
        raise TokenError("token ids must be integers below 2^63") from None


def list_files(folder: Path) -> list[Path]:
    """Every *.txt of a folder, sorted by name. Raises InputError when there is none or there are more than MAX_FILES."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".txt" and path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    if not 1 <= len(found) <= MAX_FILES:
        raise InputError(f"{folder} holds {len(found)} .txt files; 1 to {MAX_FILES} can be read at once")
    return found


def iter_lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a batch with their numbers, from 1; None for one beyond MAX_LINE_BYTES. Blank lines are passed over."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif line.strip():
            yield number, line


def parse_record(line: bytes | None, number: int) -> Record:
    """One line of a batch. Raises WatermarkError; the caller adds the line's number."""
    if line is None:
        raise InputError(f"longer than {MAX_LINE_BYTES} bytes")
    content = parse_json(line, "this line")
    if not isinstance(content, dict):
        raise InputError("not a JSON object")
    name = content.get("id", f"line-{number}")
    if type(name) not in (str, int) or len(str(name)) > MAX_ID_LENGTH:
        raise InputError(f"id must be a string or an integer of at most {MAX_ID_LENGTH} characters")
    family, config, key = content.get("family"), content.get("config"), content.get("key")
    if key is not None and (family is not None or config is not None):
        raise ConfigError("give either key, or family and config, not both")
    if (family is None) != (config is None):
        raise ConfigError("family and config belong together")
    if family is not None and not (isinstance(family, str) and isinstance(config, dict)):
        raise ConfigError("family must be a string and config an object")
    if key is not None and not isinstance(key, (str, dict)):
        raise ConfigError("key must be the path of a key file, or its content")
    return Record(_document(content, name), family, config, key)


def record_id(line: bytes | None) -> str | int | None:
    """The id of a line that could not be processed, where it has a readable one."""
    try:
        name = json.loads(line or b"null")["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return name if type(name) in (str, int) and len(str(name)) <= MAX_ID_LENGTH else None


def parse_json(data: bytes, where: str) -> Any:
    """JSON without NaN and infinities; integers exact. Raises InputError."""
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):
        raise InputError(
            f"{where} is not JSON that can be read: NaN, a number of thousands of digits, or nested too deep"
        ) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _document(content: Mapping[str, Any], name: str | int) -> Document:
    ids, text = content.get("input_ids"), content.get("text")
    if (ids is None) == (text is None):
        raise InputError("exactly one of input_ids and text is needed")
    if ids is not None:
        if not isinstance(ids, list):
            raise TokenError("input_ids must be a list of integers")
        if not ids:
            raise TokenError("input_ids is empty")
        return Document(name, ids=check_ids(ids))
    if not isinstance(text, str):
        raise InputError("text must be a string")
    if not text.strip():
        raise InputError("text is empty")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InputError("text holds half a surrogate pair, which is no character") from None
    if "\x00" in text or size > MAX_TEXT_BYTES:
        raise InputError(f"text must be without NUL characters and at most {MAX_TEXT_BYTES} bytes long")
    return Document(name, text=text)


def _read_bounded(path: Path, limit: int) -> bytes:
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb") as stream:
                data = stream.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if len(data) > limit:
        raise InputError(f"{path} is larger than {limit} bytes; split it")
    return data
