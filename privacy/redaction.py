"""What may be said of a personal value without saying it: a keyed commitment, its type, the class of its length.

The key belongs to the data subject. Whoever holds it and the value can show that a report speaks of it; deleting the key makes
every commitment a random number, for values of few possibilities too, which a plain hash would not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

KEY_BYTES = 32
_DOMAIN = b"assay-privacy-value/1\0"
_LENGTH_CLASSES = (4, 8, 16, 32, 64, 128)
SHORTEST_SOUGHT = 4
MASK = "[redacted]"


@dataclass(frozen=True)
class Redactor:
    """Commits to values under a key of 32 bytes; neither is ever printed."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"a redaction key has {KEY_BYTES} bytes")

    @classmethod
    def new(cls) -> Redactor:
        return cls(secrets.token_bytes(KEY_BYTES))

    def derive(self, purpose: str) -> Redactor:
        """A redactor of its own for one purpose (a request's nonce): commitments of two of them cannot be linked."""
        return Redactor(hmac.digest(self.key, b"assay-privacy-derive/1\0" + purpose.encode(), hashlib.sha256))

    def commit(self, type_: str, value: str) -> str:
        """HMAC-SHA256 over type and value, in hex."""
        message = _DOMAIN + len(type_).to_bytes(2, "big") + type_.encode() + value.encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, message, hashlib.sha256).hex()

    def verify(self, commitment: str, type_: str, value: str) -> bool:
        """Whether the commitment is to this value; in constant time."""
        return hmac.compare_digest(commitment.encode(), self.commit(type_, value).encode())


def length_class(value: str) -> str:
    """The class of a value's length in characters: "5-8", "9-16", ..., so that the length itself is not told."""
    low = 1
    for high in _LENGTH_CLASSES:
        if len(value) <= high:
            return f"{low}-{high}"
        low = high + 1
    return f"over {_LENGTH_CLASSES[-1]}"


def forms_of(value: str) -> Iterator[bytes]:
    """The ways in which a value may lie in a file: plain, folded, digits only, base64 at any offset, hex, URL- and JSON-escaped.

    Forms shorter than SHORTEST_SOUGHT bytes are left out: they occur by chance.
    """
    plain = value.encode("utf-8", "surrogatepass")
    found = {plain, value.casefold().encode("utf-8", "surrogatepass"), value.upper().encode("utf-8", "surrogatepass")}
    digits = re.sub(r"\D", "", value)
    if len(digits) >= 7:
        found.add(digits.encode())
    for text in (plain, digits.encode() if len(digits) >= 7 else plain):
        found |= {text.hex().encode(), text.hex().upper().encode()}
        for shift in range(3):  # wherever in the stream of three-byte groups it begins
            coded = base64.b64encode(b"\0" * shift + text).rstrip(b"=")
            body = coded[(0, 2, 3)[shift] : len(coded) - (1 if (shift + len(text)) % 3 else 0)]
            found |= {body, body.replace(b"+", b"-").replace(b"/", b"_")}
    found |= {quote(value, safe="").encode(), quote_plus(value).encode(), quote(value).encode()}
    found |= {value.encode("unicode_escape"), json.dumps(value)[1:-1].encode()}
    yield from sorted((form for form in found if len(form) >= SHORTEST_SOUGHT), key=len, reverse=True)


def find_residue(data: bytes, values: Iterable[str]) -> list[int]:
    """Which of the values (by their place) lie in the data in any of their forms."""
    lowered = data.lower()
    return [i for i, value in enumerate(values) if any(form in data or form.lower() in lowered for form in forms_of(value))]


def mask(text: str, values: Iterable[str]) -> str:
    """The text with every form of every value replaced; for messages of other people's code."""
    for value in values:
        for form in forms_of(value):
            text = re.sub(re.escape(form.decode("utf-8", "replace")), MASK, text, flags=re.IGNORECASE)
    return text
