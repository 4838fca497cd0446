"""Consent: what a data subject signs before anything of theirs is scored, and the guard that keeps to it.

A request names the model by digest, the purpose, an expiry, and commits to every item (type and value) under a key that is
derived from the subject's for this request alone. It holds no value. The values travel apart, as openings, to whoever runs the
probe, and the guard refuses what the request does not cover. Rank oracles: a value is scored once a request, a request is used
once.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from privacy.errors import ConsentError
from privacy.redaction import KEY_BYTES, Redactor, length_class

FORMAT = "assay-privacy-consent/1"
OPENINGS_FORMAT = "assay-privacy-openings/1"
_CONTEXT = b"assay-privacy-consent/1\0"
MAX_ITEMS = 64
MAX_VALUE = 400
MAX_PURPOSE = 400
MAX_BYTES = 1 << 20
MAX_VALIDITY = timedelta(days=366)
_HEX64, _HEX128 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")
_TYPE = re.compile(r"[a-z][a-z0-9:._-]{0,39}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Item:
    """One value that may be scored, by commitment. `length_class` may be published."""

    type: str
    commitment: str
    length_class: str

    def to_json(self) -> dict[str, str]:
        return {"type": self.type, "commitment": self.commitment, "length_class": self.length_class}


@dataclass(frozen=True)
class Consent:
    """A signed request whose signature was checked. `digest` (hex) is what reports are bound to."""

    subject: str
    model_digest: str
    purpose: str
    items: tuple[Item, ...]
    issued: datetime
    expires: datetime
    nonce: str
    digest: str


@dataclass(frozen=True)
class Openings:
    """The values of a request with the key of its commitments: secret, to be kept in memory or in a file of mode 0600."""

    nonce: str
    redactor: Redactor = field(repr=False)
    values: tuple[tuple[str, str], ...] = field(repr=False)


def new_request(
    signer: Any, redactor: Redactor, model_digest: str, purpose: str, values: Sequence[tuple[str, str]],
    now: datetime, validity: timedelta = timedelta(days=30),
) -> tuple[bytes, bytes]:  # fmt: skip
    """The signed request (public) and its openings (secret), as JSON bytes. `signer` is an Ed25519 private key of `cryptography`.

    `values` are (type, value) pairs. Raises ConsentError for what a reader would refuse.
    """
    nonce = secrets.token_hex(16)
    own = redactor.derive(nonce)
    for type_, value in values:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_VALUE:
            raise ConsentError(f"a value of type {type_} has 1 to {MAX_VALUE} characters")
    body = {
        "format": FORMAT,
        "subject": signer.public_key().public_bytes_raw().hex(),
        "model_digest": model_digest,
        "purpose": purpose,
        "items": [Item(type_, own.commit(type_, value), length_class(value)).to_json() for type_, value in values],
        "issued": now.astimezone(UTC).strftime(_TIME),
        "expires": (now + validity).astimezone(UTC).strftime(_TIME),
        "nonce": nonce,
    }
    signed = {**body, "signature": signer.sign(_CONTEXT + _canonical(body)).hex()}
    request = _canonical(signed)
    read_request(request, now)  # what is refused is refused here first
    openings = {
        "format": OPENINGS_FORMAT,
        "nonce": nonce,
        "key": own.key.hex(),
        "values": [{"type": type_, "value": value} for type_, value in values],
    }
    return request, _canonical(openings)


def read_request(data: bytes, now: datetime) -> Consent:
    """Check a request whole: form, bounds, signature, validity in time. Raises ConsentError that names what is wrong."""
    from hashlib import sha256

    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    content = _parse(data, "the consent request")
    names = {"format", "subject", "model_digest", "purpose", "items", "issued", "expires", "nonce", "signature"}
    if set(content) != names or content["format"] != FORMAT:
        raise ConsentError(f"the consent request must be {FORMAT} with the members {', '.join(sorted(names))}")
    for name, form in (
        ("subject", _HEX64),
        ("signature", _HEX128),
        ("model_digest", _HEX64),
        ("nonce", re.compile("[0-9a-f]{32}")),
    ):
        if not isinstance(content[name], str) or not form.fullmatch(content[name]):
            raise ConsentError(f"{name} of the consent request is no lower-case hexadecimal of the right length")
    body = {name: value for name, value in content.items() if name != "signature"}
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(content["subject"]))
        key.verify(bytes.fromhex(content["signature"]), _CONTEXT + _canonical(body))
    except (InvalidSignature, ValueError):
        raise ConsentError("the consent request is not signed by the subject that it names") from None
    purpose = content["purpose"]
    if not isinstance(purpose, str) or not 0 < len(purpose.strip()) <= MAX_PURPOSE:
        raise ConsentError(f"purpose must be a text of 1 to {MAX_PURPOSE} characters")
    issued, expires = _time(content, "issued"), _time(content, "expires")
    if not issued < expires <= issued + MAX_VALIDITY:
        raise ConsentError("a consent expires after it was issued, and within a year")
    if issued > now + timedelta(minutes=5):
        raise ConsentError("the consent request is issued in the future; check the clocks")
    if expires <= now:
        raise ConsentError(f"the consent expired at {content['expires']}; ask the subject for a new one")
    items = _items(content["items"])
    digest = sha256(_CONTEXT + _canonical(content)).hexdigest()
    return Consent(content["subject"], content["model_digest"], purpose, items, issued, expires, content["nonce"], digest)


def read_openings(data: bytes) -> Openings:
    """Read openings. Raises ConsentError; no message quotes a value."""
    content = _parse(data, "the openings")
    if set(content) != {"format", "nonce", "key", "values"} or content["format"] != OPENINGS_FORMAT:
        raise ConsentError(f"the openings must be {OPENINGS_FORMAT} with nonce, key and values")
    key, values = content["key"], content["values"]
    if not isinstance(key, str) or not _HEX64.fullmatch(key) or not isinstance(content["nonce"], str):
        raise ConsentError("the openings hold no key of 64 hexadecimal digits")
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_ITEMS:
        raise ConsentError(f"openings hold 1 to {MAX_ITEMS} values")
    for number, one in enumerate(values, 1):
        if not isinstance(one, dict) or set(one) != {"type", "value"} or not all(isinstance(v, str) for v in one.values()):
            raise ConsentError(f"value {number} of the openings needs type and value, both texts")
        if not 0 < len(one["value"]) <= MAX_VALUE:
            raise ConsentError(f"value {number} of the openings has 1 to {MAX_VALUE} characters")
    assert len(bytes.fromhex(key)) == KEY_BYTES
    return Openings(content["nonce"], Redactor(bytes.fromhex(key)), tuple((one["type"], one["value"]) for one in values))


class Guard:
    """Lets exactly the consented values be scored, each once, on the consented model."""

    def __init__(self, consent: Consent, openings: Openings, model_digest: str, now: datetime) -> None:
        """Raises ConsentError when the model differs, the consent expired, or a value is not what was signed."""
        if not hmac.compare_digest(consent.nonce, openings.nonce):
            raise ConsentError("the openings belong to another consent request")
        if not hmac.compare_digest(consent.model_digest, model_digest):
            raise ConsentError("the consent is for another model: its digest differs from the one that would be probed")
        if consent.expires <= now:
            raise ConsentError("the consent expired; ask the subject for a new one")
        self.consent, self.openings = consent, openings
        self._left = {(item.type, item.commitment) for item in consent.items}
        given = [(type_, openings.redactor.commit(type_, value)) for type_, value in openings.values]
        if len(set(given)) != len(given):
            raise ConsentError("a value stands twice in the openings")
        if set(given) != self._left:
            raise ConsentError("the openings are not the values that were signed: one is missing, changed or added")

    def release(self, type_: str, value: str) -> str:
        """The commitment of a value that may be scored now; it may not be again. Raises ConsentError."""
        entry = (type_, self.openings.redactor.commit(type_, value))
        if entry not in self._left:
            raise ConsentError(f"a value of type {type_[:40]} is not covered by the consent, or was scored already")
        self._left.remove(entry)
        return entry[1]


def _items(found: Any) -> tuple[Item, ...]:
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_ITEMS:
        raise ConsentError(f"a consent request names 1 to {MAX_ITEMS} items")
    items = []
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict) or set(one) != {"type", "commitment", "length_class"}:
            raise ConsentError(f"item {number} needs type, commitment and length_class")
        if not all(isinstance(value, str) for value in one.values()) or len(one["length_class"]) > 16:
            raise ConsentError(f"item {number} needs texts for type, commitment and length_class")
        if not _TYPE.fullmatch(one["type"]) or not _HEX64.fullmatch(one["commitment"]):
            raise ConsentError(f"item {number} has no type, or no commitment of 64 hexadecimal digits")
        items.append(Item(one["type"], one["commitment"], one["length_class"]))
    if len({(item.type, item.commitment) for item in items}) != len(items):
        raise ConsentError("an item stands twice in the consent request")
    return tuple(items)


def _time(content: Mapping[str, Any], name: str) -> datetime:
    value = content[name]
    try:
        if not isinstance(value, str) or len(value) != 20:
            raise ValueError
        return datetime.strptime(value, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise ConsentError(f"{name} must be a time in UTC, as 2026-01-31T12:00:00Z") from None


def _parse(data: bytes, what: str) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ConsentError(f"{what} is larger than {MAX_BYTES} bytes")
    try:
        content = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse, parse_float=_refuse)
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise ConsentError(f"{what} is no JSON object without repeated members") from None
    if not isinstance(content, dict):
        raise ConsentError(f"{what} is no JSON object")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def _refuse(text: str) -> Any:
    raise ValueError


def _canonical(value: Mapping[str, Any]) -> bytes:
    """RFC 8785 for what stands here: ASCII member names and texts, no numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
