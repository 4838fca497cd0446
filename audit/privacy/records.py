"""Private records that an audit reads and no report shows: groups of them, bound into a request by a keyed commitment.

The commitment is HMAC-SHA256 under a key that the owner drew: whoever holds the document can show which records an audit read;
without it the commitment is a random number, for records of few possibilities too.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.canonical import dump_document, parse_json
from audit.errors import RequestError
from privacy.redaction import Redactor

FORMAT = "assay-privacy-records/1"
KEY_BYTES = 32
MAX_BYTES = 3 << 20
MAX_GROUPS, MAX_RECORDS, MAX_MEMBERS, MAX_LISTED, MAX_TEXT_CHARS = 16, 20_000, 16, 1000, 20_000
_DOMAIN = b"assay-privacy-records/1\x00"
_WORD, _HEX64 = re.compile(r"[a-z][a-z0-9:._-]{0,39}"), re.compile(r"[0-9a-f]{64}")

Record = str | Mapping[str, str | Sequence[str]]
"""A text, or members that are texts or lists of texts (a person's values, a question with its answers)."""


@dataclass(frozen=True)
class Records:
    """Records by group. Printing shows none."""

    groups: Mapping[str, tuple[Record, ...]] = field(repr=False)
    key: bytes = field(repr=False)
    commitment: str

    def take(self, *needed: str, optional: Sequence[str] = ()) -> dict[str, tuple[Record, ...]]:
        """The groups, if they are the needed ones and at most the optional ones beside. Raises RequestError without a text."""
        if not set(needed) <= set(self.groups) <= {*needed, *optional}:
            also = f", and at will {', '.join(optional)}" if optional else ""
            raise RequestError(
                f"these records must have the groups {', '.join(needed)}{also}; they have {', '.join(self.groups)}"
            )
        return dict(self.groups)

    def redactor(self, purpose: str) -> Redactor:
        """Commits for one purpose under the owner's key: the owner can tell which record a report speaks of, nobody else can."""
        return Redactor(self.key).derive(purpose)

    def texts(self) -> Iterator[str]:
        """Every text, for screening what leaves a run."""
        for records in self.groups.values():
            for record in records:
                yield from texts_of(record)


def texts_of(record: Record) -> Iterator[str]:
    """The texts of one record."""
    if isinstance(record, str):
        yield record
        return
    for value in record.values():
        yield from [value] if isinstance(value, str) else value


def new_records(groups: Mapping[str, Sequence[Record]]) -> tuple[bytes, str]:
    """The document (secret) of these records under a fresh key, and its commitment (public). Raises RequestError."""
    key = secrets.token_bytes(KEY_BYTES).hex()
    data = dump_document({"format": FORMAT, "key": key, "groups": {name: list(records) for name, records in groups.items()}})
    return data, read_records(data).commitment


def read_records(data: bytes) -> Records:
    """Read a document of private records. Raises RequestError that names the place; no message quotes a text."""
    content = parse_json(data, "the document of private records", max_bytes=MAX_BYTES)
    if not isinstance(content, dict) or set(content) != {"format", "key", "groups"} or content["format"] != FORMAT:
        raise RequestError(f"private records must be {FORMAT} with key and groups")
    key, groups = content["key"], content["groups"]
    if not isinstance(key, str) or not _HEX64.fullmatch(key):
        raise RequestError("private records need a key of 64 hexadecimal digits")
    if not isinstance(groups, dict) or not 1 <= len(groups) <= MAX_GROUPS or not all(map(_WORD.fullmatch, groups)):
        raise RequestError(f"private records have 1 to {MAX_GROUPS} groups, named by small letters, digits and :._-")
    for name, records in groups.items():
        if not isinstance(records, list) or not records:
            raise RequestError(f"the group {name} of private records must be a list of records")
        for number, record in enumerate(records, 1):
            if not _is_record(record):
                raise RequestError(
                    f"record {number} of the group {name} must be a text of 1 to {MAX_TEXT_CHARS} characters, or an object of 1"
                    f" to {MAX_MEMBERS} such texts or lists of them"
                )
    if sum(map(len, groups.values())) > MAX_RECORDS:
        raise RequestError(f"private records are at most {MAX_RECORDS}")
    commitment = hmac.digest(bytes.fromhex(key), _DOMAIN + dump_document({"groups": groups}), hashlib.sha256).hex()
    return Records({name: tuple(records) for name, records in groups.items()}, bytes.fromhex(key), commitment)


def _is_record(value: Any) -> bool:
    if isinstance(value, dict):
        named = 0 < len(value) <= MAX_MEMBERS and all(map(_WORD.fullmatch, value))
        return named and all(map(_is_member, value.values()))
    return _is_text(value)


def _is_member(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_LISTED and all(map(_is_text, value))
    return _is_text(value)


def _is_text(value: Any) -> bool:
    """Half of a surrogate pair, which no UTF-8 file holds, is no text."""
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT_CHARS and not any("\ud800" <= c <= "\udfff" for c in value)
