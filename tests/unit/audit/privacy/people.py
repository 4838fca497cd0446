"""Invented subjects that sign for values of theirs. Phones and domains are reserved ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.privacy.consents import issued, read_consent
from privacy.consent import new_request
from privacy.redaction import Redactor

NOW = datetime.now(UTC)
VALUES = (("name", "Orla Quennell"), ("phone", "+1 920-555-0169"), ("email", "orla.quennell@example.org"))
MODEL = "ab" * 32


@dataclass(frozen=True)
class Signed:
    """A request and its openings, as the subject has them."""

    request: bytes
    openings: bytes
    values: tuple[tuple[str, str], ...]

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.request)
        return found

    @property
    def digest(self) -> str:
        return read_consent(self.document, issued(self.document)).digest

    def body(self, *auditors: str, **changed: Any) -> bytes:
        openings = json.loads(self.openings)
        return json.dumps({"consent": self.document, "openings": openings, "auditors": auditors, **changed}).encode()


def new_subject(seed: int = 1) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))


def sign(
    model: str = MODEL, values: Sequence[tuple[str, str]] = VALUES, subject: Ed25519PrivateKey | None = None,
    now: datetime = NOW, days: float = 30, purpose: str = "does the model know me?",
) -> Signed:  # fmt: skip
    """A consent of a subject, by default of the same one."""
    request, openings = new_request(
        subject or new_subject(), Redactor(b"k" * 32), model, purpose, values, now, timedelta(days=days)
    )
    return Signed(request, openings, tuple(values))
