"""What an auditor asks: one canonical JSON document, bound to one provider, one subject and one fresh nonce.

Its SHA-256 is the identity of the audit towards the provider. Evidence carries it, so an answer to another request, or
to the same question asked before, is refused.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audit.canonical import MAX_JSON_DEPTH, canonical_bytes, measure_depth, parse_json
from audit.errors import RequestError

FORMAT = "assay-request/1"
# The provider that requests name when the service makes the evidence itself. Nobody can register it.
SERVICE = "service"
NONCE_BYTES = 32
MAX_REQUEST_BYTES = 2 * 1024 * 1024
MAX_NAME_CHARS = 63
AUDIT_ID_CHARS = 32
# A report holds the request some levels down, and is read with MAX_JSON_DEPTH.
MAX_REQUEST_DEPTH = MAX_JSON_DEPTH - 8
# Seconds a provider's agent may hold a request without renewing its claim.
MIN_LEASE_S, MAX_LEASE_S = 2, 3600

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?\Z")
_HEX32 = re.compile(r"[0-9a-f]{64}\Z")
_FIELDS = ("format", "auditor", "nonce", "provider", "subject", "kind", "params")


@dataclass(frozen=True)
class Subject:
    """What is audited: `name` says what sort of thing ("run", "commitment"), `sha256` which one."""

    name: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """In-toto resource form."""
        return {"name": self.name, "digest": {"sha256": self.sha256}}


@dataclass(frozen=True)
class AuditRequest:
    """A well-formed request. `params` are JSON values as the auditor wrote them; the kind gives them meaning."""

    auditor: str
    nonce: str
    provider: str
    subject: Subject
    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The document that is hashed."""
        return {
            "format": FORMAT,
            "auditor": self.auditor,
            "nonce": self.nonce,
            "provider": self.provider,
            "subject": self.subject.to_json(),
            "kind": self.kind,
            "params": dict(self.params),
        }

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes of the document."""
        return canonical_bytes(self.to_json())

    @property
    def sha256(self) -> str:
        """Hex digest of the canonical bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def new_request(auditor: str, provider: str, subject: Subject, kind: str, params: Mapping[str, Any]) -> AuditRequest:
    """A request with a fresh nonce. Raises RequestError like `parse_request`."""
    nonce = secrets.token_bytes(NONCE_BYTES).hex()
    request = AuditRequest(auditor, nonce, provider, subject, kind, params)
    return parse_request(request.to_bytes())


def parse_request(document: bytes | Mapping[str, Any]) -> AuditRequest:
    """Read a request document. Raises RequestError that names the member at fault."""
    data = parse_json(document, "the request", max_bytes=MAX_REQUEST_BYTES) if isinstance(document, bytes) else document
    if not isinstance(data, Mapping):
        raise RequestError("a request must be a JSON object")
    if measure_depth(data) > MAX_REQUEST_DEPTH:
        raise RequestError(f"the request is nested deeper than {MAX_REQUEST_DEPTH} levels")
    unknown, absent = sorted(set(data) - set(_FIELDS)), [name for name in _FIELDS if name not in data]
    if unknown:
        raise RequestError(f"the request has unknown members: {', '.join(map(str, unknown))[:200]}")
    if absent:
        raise RequestError(f"the request lacks: {', '.join(absent)}")
    if data["format"] != FORMAT:
        raise RequestError(f"format must be {FORMAT!r}")
    if not isinstance(data["params"], Mapping):
        raise RequestError("params must be a JSON object")
    request = AuditRequest(
        auditor=parse_name(data["auditor"], "auditor"),
        nonce=parse_digest(data["nonce"], "nonce"),
        provider=parse_name(data["provider"], "provider"),
        subject=parse_subject(data["subject"]),
        kind=parse_name(data["kind"], "kind"),
        params=dict(data["params"]),
    )
    if len(request.to_bytes()) > MAX_REQUEST_BYTES:
        raise RequestError(f"a request has at most {MAX_REQUEST_BYTES} bytes")
    return request


def audit_id_of(request: AuditRequest) -> str:
    """The id of the audit of a request: a prefix of its digest, 128 bits."""
    return request.sha256[:AUDIT_ID_CHARS]


def parse_subject(value: Any) -> Subject:
    """Read `{"name", "digest": {"sha256"}}`. Raises RequestError."""
    if not isinstance(value, Mapping) or set(value) != {"name", "digest"}:
        raise RequestError('subject must be {"name": ..., "digest": {"sha256": ...}}')
    digest = value["digest"]
    if not isinstance(digest, Mapping) or set(digest) != {"sha256"}:
        raise RequestError("subject.digest must hold exactly one member, sha256")
    return Subject(parse_name(value["name"], "subject.name"), parse_digest(digest["sha256"], "subject.digest.sha256"))


def parse_name(value: Any, where: str) -> str:
    """A name: lower-case letters, digits, dot, dash, underscore; at most 63 characters. Raises RequestError."""
    if not isinstance(value, str) or not _NAME.match(value):
        raise RequestError(
            f"{where} must be 1 to {MAX_NAME_CHARS} characters of a-z, 0-9, '.', '_' and '-', "
            "beginning and ending with a letter or digit"
        )
    return value


def parse_digest(value: Any, where: str) -> str:
    """32 bytes in 64 lower-case hex digits. Raises RequestError."""
    if not isinstance(value, str) or not _HEX32.match(value):
        raise RequestError(f"{where} must be 64 lower-case hexadecimal digits (32 bytes)")
    return value
