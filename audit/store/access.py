"""API keys: `prefix_id.secret`. Keys give ownership and a role; what may be *claimed* is decided by signatures."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.errors import NotFoundError, RequestError
from audit.requests import parse_name
from audit.store.engine import now_ms
from audit.store.models import ApiKey

Role = Literal["admin", "provider", "auditor"]
ROLES: tuple[str, ...] = get_args(Role)
PREFIX = "assay"
SECRET_BYTES = 32
MAX_KEY_CHARS = 128


@dataclass(frozen=True)
class Principal:
    """Who is calling: the owner's name and the role of the key."""

    owner: str
    role: str
    key_id: str


def create_key(session: Session, role: str, owner: str) -> str:
    """Make an API key and give its full text, which is not stored and cannot be shown again."""
    if role not in ROLES:
        raise RequestError(f"a role is one of {', '.join(ROLES)}, not {role!r}")
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES)
    session.add(
        ApiKey(
            id=key_id,
            secret_sha256=_hash(secret),
            role=role,
            owner=parse_name(owner, "owner"),
            created_at=now_ms(),
            revoked_at=None,
        )
    )
    return f"{PREFIX}_{key_id}.{secret}"


def authenticate(session: Session, text: str) -> Principal | None:
    """The principal of a key, or None. Secrets are compared in constant time, also for unknown ids."""
    if len(text) > MAX_KEY_CHARS or not text.isascii():
        return None
    head, _, secret = text.partition(".")
    prefix, _, key_id = head.partition("_")
    row = session.get(ApiKey, key_id) if prefix == PREFIX and key_id else None
    stored = row.secret_sha256 if row is not None else _hash("")
    same = hmac.compare_digest(stored, _hash(secret))
    if row is None or not same or row.revoked_at is not None:
        return None
    return Principal(row.owner, row.role, row.id)


def revoke_key(session: Session, key_id: str) -> None:
    """Revoke a key; again is harmless. Raises NotFoundError."""
    row = session.get(ApiKey, key_id)
    if row is None:
        raise NotFoundError(f"there is no API key {key_id[:32]}")
    row.revoked_at = row.revoked_at or now_ms()


def list_keys(session: Session) -> list[ApiKey]:
    """Every key, oldest first (their secrets are not known)."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()
