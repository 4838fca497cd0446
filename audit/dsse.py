"""DSSE 1.0.2 envelopes: what is signed is the pre-authentication encoding of payload type and payload.

The rules that matter: both lengths are in bytes; `keyid` is an unauthenticated hint and never decides anything; a
signature that fails is skipped; unique *keys* are counted, not signatures; the caller gets the verified bytes and
never reads the envelope again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from audit.canonical import parse_json
from audit.errors import SignatureError

IN_TOTO_TYPE = "application/vnd.in-toto+json"
MAX_ENVELOPE_BYTES = 16 * 1024 * 1024
MAX_SIGNATURES = 16


class Signer(Protocol):
    """A key that can sign."""

    @property
    def key_id(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


class SignatureVerifier(Protocol):
    """A key that can check a signature; `verify` answers and never raises on malformed signatures."""

    @property
    def key_id(self) -> str: ...

    def verify(self, signature: bytes, message: bytes) -> bool: ...


@dataclass(frozen=True)
class VerifiedPayload:
    """Bytes that were signed, by at least the demanded number of accepted keys."""

    payload: bytes
    payload_type: str
    key_ids: tuple[str, ...]


def compute_pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: `DSSEv1 SP len(type) SP type SP len(body) SP body`, lengths in bytes, decimal."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, payload_type: str, signers: Sequence[Signer]) -> dict[str, Any]:
    """An envelope over `payload`, signed by every signer, as a JSON value."""
    message = compute_pae(payload_type, payload)
    return {
        "payload": base64.b64encode(payload).decode("ascii"),
        "payloadType": payload_type,
        "signatures": [
            {"keyid": signer.key_id, "sig": base64.b64encode(signer.sign(message)).decode("ascii")} for signer in signers
        ],
    }


def verify_envelope(
    envelope: bytes | dict[str, Any],
    accepted: Iterable[SignatureVerifier],
    *,
    payload_type: str,
    threshold: int = 1,
) -> VerifiedPayload:
    """Check an envelope and give the verified bytes.

    Guarantees that at least `threshold` different keys among `accepted` signed exactly these bytes under exactly
    `payload_type`. What the bytes mean is for the caller to check. Raises SignatureError otherwise.
    """
    if threshold < 1:
        raise SignatureError("at least one signature must be demanded")
    payload, kind, signatures = read_envelope(envelope)
    if kind != payload_type:
        raise SignatureError(f"the envelope holds {kind!r}, not {payload_type!r}")
    message = compute_pae(kind, payload)
    found: list[str] = []
    for key in accepted:
        if key.key_id not in found and any(key.verify(signature, message) for signature in signatures):
            found.append(key.key_id)
    if len(found) < threshold:
        raise SignatureError(f"{len(found)} of the accepted keys signed this; {threshold} must have")
    return VerifiedPayload(payload, kind, tuple(found))


def read_envelope(envelope: bytes | dict[str, Any]) -> tuple[bytes, str, list[bytes]]:
    """Payload, payload type and signature bytes of an envelope, *unverified*. Raises SignatureError when malformed."""
    if isinstance(envelope, bytes):
        envelope = parse_json(envelope, "the envelope", max_bytes=MAX_ENVELOPE_BYTES, error=SignatureError)
    if not isinstance(envelope, dict):
        raise SignatureError("an envelope must be a JSON object")
    kind, entries = envelope.get("payloadType"), envelope.get("signatures")
    if not isinstance(kind, str) or not kind:
        raise SignatureError("the envelope has no payloadType")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_SIGNATURES:
        raise SignatureError(f"an envelope needs 1 to {MAX_SIGNATURES} signatures")
    signatures = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise SignatureError("a signature must be a JSON object")
        signatures.append(decode_base64(entry.get("sig"), "a signature"))
    return decode_base64(envelope.get("payload"), "the payload"), kind, signatures


def decode_base64(text: Any, what: str) -> bytes:
    """Decode standard or URL-safe base64 with padding; only the one canonical spelling of the bytes is accepted."""
    if not isinstance(text, str):
        raise SignatureError(f"{what} must be a base64 string")
    altchars = b"-_" if ("-" in text or "_" in text) else b"+/"
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=altchars, validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise SignatureError(f"{what} is not base64") from error
    if base64.b64encode(raw, altchars=altchars).decode("ascii") != text:
        raise SignatureError(f"{what} is not canonical base64")
    return raw
