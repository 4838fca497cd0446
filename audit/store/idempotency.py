"""Idempotency-Key (IETF draft-ietf-httpapi-idempotency-key-header-07): one effect for one key.

The answer is stored in the transaction of the effect: there is no moment at which the one exists without the other.
Keys belong to a principal and an operation; another principal's equal key is another key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from audit.errors import ConflictError, IdempotencyMismatchError
from audit.store.engine import now_ms
from audit.store.models import IdempotencyRecord

MAX_KEY_CHARS = 255


@dataclass(frozen=True)
class Claimed:
    """What identifies one idempotent operation. `request_sha256` is the digest of the body as sent."""

    principal: str
    operation: str
    key: str
    request_sha256: str

    @property
    def place(self) -> tuple[str, str, str]:
        return self.principal, self.operation, self.key


@dataclass(frozen=True)
class StoredAnswer:
    """An answer given before."""

    status: int
    body: dict[str, Any]


_busy: set[tuple[str, str, str]] = set()
_busy_lock = threading.Lock()


@contextmanager
def in_progress(claimed: Claimed) -> Iterator[None]:
    """Mark the operation as running in this process. Raises ConflictError while another call holds it.

    Between processes the primary key of the table decides: the second transaction fails or waits, and then replays.
    """
    with _busy_lock:
        if claimed.place in _busy:
            raise ConflictError("a request with this Idempotency-Key is still in progress; try again in a moment")
        _busy.add(claimed.place)
    try:
        yield
    finally:
        with _busy_lock:
            _busy.discard(claimed.place)


def find_answer(session: Session, claimed: Claimed) -> StoredAnswer | None:
    """The stored answer, if there is one. Raises IdempotencyMismatchError when it belongs to another body."""
    row = session.get(IdempotencyRecord, claimed.place)
    if row is None:
        return None
    if row.request_sha256 != claimed.request_sha256:
        raise IdempotencyMismatchError("this Idempotency-Key was used with another body; use a fresh key")
    return StoredAnswer(row.status, row.body)


def store_answer(session: Session, claimed: Claimed, status: int, body: dict[str, Any]) -> None:
    """Keep the answer; call it in the transaction of the effect."""
    session.add(
        IdempotencyRecord(
            principal=claimed.principal,
            operation=claimed.operation,
            key=claimed.key,
            request_sha256=claimed.request_sha256,
            status=status,
            body=body,
            created_at=now_ms(),
        )
    )
