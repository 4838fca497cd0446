"""Registered models and watermark keys: who owns them, and who else may use them.

A key that detects is a key that forges, and a model may cost its owner money: only the owner, and the auditors that he
listed, use either. Everybody else is told that it does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.errors import ConflictError, ForbiddenError, NotFoundError, RequestError
from audit.requests import parse_name
from audit.store.engine import for_update, now_ms
from audit.store.models import Model, WatermarkKeyRow

EVERYBODY = "*"
MAX_AUDITORS = 64
MAX_OWNED = 1000

Row = TypeVar("Row", Model, WatermarkKeyRow)


def parse_auditors(value: Any) -> list[str]:
    """The names of those who may use a model or key besides its owner, or ["*"]. Raises RequestError."""
    if not isinstance(value, list) or len(value) > MAX_AUDITORS:
        raise RequestError(f"auditors must be a list of at most {MAX_AUDITORS} names")
    names = [name if name == EVERYBODY else parse_name(name, "auditors") for name in value]
    return sorted(set(names))


def may_use(row: Model | WatermarkKeyRow, auditor: str) -> bool:
    """Whether audits of `auditor` may use this model or key."""
    return row.owner == auditor or auditor in row.auditors or EVERYBODY in row.auditors


def add_model(session: Session, row: Model) -> Model:
    """Add a model in the state `probing`. Raises ConflictError when its owner has one of that name that is not `failed`."""
    known = session.scalar(for_update(select(Model).where(Model.owner == row.owner, Model.name == row.name)))
    if known is not None and known.state != "failed":
        raise ConflictError(f"you have a model named {row.name} already; choose another name")
    if known is not None:
        session.delete(known)
        session.flush()
    _check_count(session, Model, row.owner)
    session.add(row)
    session.flush()
    return row


def find_model(session: Session, model_id: str, auditor: str | None) -> Model:
    """A model by id; `auditor` None is an administrator. Raises NotFoundError."""
    return _usable(session.scalar(select(Model).where(Model.id == model_id)), auditor, "model", model_id)


def use_model(session: Session, digest: str, auditor: str) -> Model:
    """The model of a digest, for an audit of `auditor`. Raises NotFoundError."""
    return _usable(session.scalar(select(Model).where(Model.digest == digest)), auditor, "model", digest)


def finish_model(session: Session, model_id: str, found: dict[str, Any], digest: str, tier: int) -> bool:
    """Write down what the probe found; False when the registration is not waiting for one."""
    row = session.scalar(for_update(select(Model).where(Model.id == model_id)))
    if row is None or row.state != "probing":
        return False
    row.capabilities, row.attestation = found["capabilities"], found["attestation"]
    row.state, row.digest, row.tier = "ready", digest, tier
    return True


def fail_model(session: Session, model_id: str, reason: str) -> bool:
    """The model did not answer the probe; its owner may register it again under the same name."""
    row = session.scalar(for_update(select(Model).where(Model.id == model_id)))
    if row is None or row.state != "probing":
        return False
    row.state, row.detail = "failed", reason
    return True


def delete_model(session: Session, model_id: str, owner: str | None) -> None:
    """Forget a model; reports about it keep its registration. Only its owner may (None: an administrator)."""
    session.delete(_owned(find_model(session, model_id, owner), owner))


def list_models(session: Session, auditor: str | None) -> Sequence[Model]:
    """What `auditor` may use, newest first; everything for None."""
    return _listed(session.scalars(select(Model).order_by(Model.seq.desc())).all(), auditor)


def add_key(session: Session, row: WatermarkKeyRow) -> WatermarkKeyRow:
    """Add a key; its owner may upload it again, with other auditors. Raises ConflictError when it is another's."""
    known = session.scalar(for_update(select(WatermarkKeyRow).where(WatermarkKeyRow.commitment == row.commitment)))
    if known is not None:
        if known.owner != row.owner:
            raise ConflictError("this key was uploaded by someone else; ask its owner to list you among its auditors")
        known.auditors = row.auditors
        return known
    _check_count(session, WatermarkKeyRow, row.owner)
    row.created_at = now_ms()
    session.add(row)
    session.flush()
    return row


def use_key(session: Session, commitment: str, auditor: str) -> WatermarkKeyRow:
    """The key of a commitment, for an audit of `auditor`. Raises NotFoundError."""
    row = session.scalar(select(WatermarkKeyRow).where(WatermarkKeyRow.commitment == commitment))
    return _usable(row, auditor, "watermark key", commitment)


def delete_key(session: Session, commitment: str, owner: str | None) -> str:
    """Forget a key; the name of its file, for the caller to remove. Only its owner may (None: an administrator)."""
    found = session.scalar(select(WatermarkKeyRow).where(WatermarkKeyRow.commitment == commitment))
    row = _owned(_usable(found, owner, "watermark key", commitment), owner)
    session.delete(row)
    return row.file


def list_keys(session: Session, auditor: str | None) -> Sequence[WatermarkKeyRow]:
    """What `auditor` may use, newest first; everything for None."""
    return _listed(session.scalars(select(WatermarkKeyRow).order_by(WatermarkKeyRow.seq.desc())).all(), auditor)


def _usable(row: Row | None, auditor: str | None, what: str, name: str) -> Row:
    if row is None or (auditor is not None and not may_use(row, auditor)):
        raise NotFoundError(f"there is no {what} {name[:64]} that you may use; its owner can list you among its auditors")
    return row


def _owned(row: Row, owner: str | None) -> Row:
    if owner is not None and row.owner != owner:
        raise ForbiddenError("only its owner can do this")
    return row


def _listed(rows: Sequence[Row], auditor: str | None) -> Sequence[Row]:
    return [row for row in rows if auditor is None or may_use(row, auditor)]


def _check_count(session: Session, table: type[Model] | type[WatermarkKeyRow], owner: str) -> None:
    if len(session.scalars(select(table.seq).where(table.owner == owner)).all()) >= MAX_OWNED:
        raise ConflictError(f"one owner registers at most {MAX_OWNED} of these")
