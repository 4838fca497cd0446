"""Private texts that an audit reads and no report shows: groups of records, bound into a request by a keyed commitment.

The commitment is HMAC-SHA256 under a key that the owner drew: whoever holds the document can show which records an audit read;
without it the commitment is a random number, for records of few possibilities too.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from audit.canonical import dump_document, parse_json
from audit.errors import RequestError

FORMAT = "assay-privacy-records/1"
KEY_BYTES = 32
MAX_BYTES = 3 << 20
MAX_GROUPS, MAX_RECORDS, MAX_RECORD_CHARS = 16, 20_000, 20_000
_DOMAIN = b"assay-privacy-records/1\x00"
_GROUP, _HEX64 = re.compile(r"[a-z][a-z0-9_-]{0,39}"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Records:
    """Texts by group. Printing shows none."""

    groups: Mapping[str, tuple[str, ...]] = field(repr=False)
    commitment: str

    def take(self, *names: str) -> tuple[tuple[str, ...], ...]:
        """The texts of exactly these groups. Raises RequestError that names the groups, never a text."""
        if set(self.groups) != set(names):
            raise RequestError(f"these records must have the groups {', '.join(names)} and no other")
        return tuple(self.groups[name] for name in names)


def new_records(groups: Mapping[str, Sequence[str]]) -> tuple[bytes, str]:
    """The document (secret) of these texts under a fresh key, and its commitment (public). Raises RequestError."""
    content = {
        "format": FORMAT,
        "key": secrets.token_bytes(KEY_BYTES).hex(),
        "groups": {name: list(texts) for name, texts in groups.items()},
    }
    data = dump_document(content)
    return data, read_records(data).commitment


def read_records(data: bytes) -> Records:
    """Read a document of private records. Raises RequestError that names the place; no message quotes a text."""
    content = parse_json(data, "the document of private records", max_bytes=MAX_BYTES)
    if not isinstance(content, dict) or set(content) != {"format", "key", "groups"} or content["format"] != FORMAT:
        raise RequestError(f"private records must be {FORMAT} with key and groups")
    key, groups = content["key"], content["groups"]
    if not isinstance(key, str) or not _HEX64.fullmatch(key):
        raise RequestError("private records need a key of 64 hexadecimal digits")
    if not isinstance(groups, dict) or not 1 <= len(groups) <= MAX_GROUPS or not all(map(_GROUP.fullmatch, groups)):
        raise RequestError(f"private records have 1 to {MAX_GROUPS} groups, named by small letters, digits, '_' and '-'")
    if sum(len(texts) for texts in groups.values() if isinstance(texts, list)) > MAX_RECORDS:
        raise RequestError(f"private records are at most {MAX_RECORDS} texts")
    for name, texts in groups.items():
        if not isinstance(texts, list) or not texts:
            raise RequestError(f"the group {name} of private records must be a list of texts")
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str) or not 0 < len(text) <= MAX_RECORD_CHARS or _is_torn(text):
                raise RequestError(f"record {number} of the group {name} must be a text of 1 to {MAX_RECORD_CHARS} characters")
    commitment = hmac.digest(bytes.fromhex(key), _DOMAIN + dump_document({"groups": groups}), hashlib.sha256).hex()
    return Records({name: tuple(texts) for name, texts in groups.items()}, commitment)


def _is_torn(text: str) -> bool:
    """Half of a surrogate pair, which no UTF-8 file holds."""
    return any("\ud800" <= character <= "\udfff" for character in text)
