"""Sealed uploads and the use of consents: who may use an upload, once, and how often a person may be asked about.

A consent is used once: the pair (subject, nonce) is unique, in the transaction that adds the audit. A subject who signs again
and again for guesses would turn ranks into an oracle for a value; nobody can tell from a signature whether a subject is the
person whose name the values carry. So audits are counted, per model and type of item, in two ways: by the key that signs, and
by auditor and name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from audit.errors import ConflictError, ForbiddenError, NotFoundError, RequestError
from audit.store.engine import for_update, format_ms, now_ms
from audit.store.models import Audit, ConsentUse, SealedUpload

OPENINGS, RECORDS = "openings", "records"
MAX_OWNED = 1000
DAY_MS = 24 * 3600 * 1000
RUNNING = "running"
TAG_CHARS = 10


@dataclass(frozen=True)
class ConsentLimits:
    """At most `uses` consents in `days` days for the same model and type of item: of one subject key, and of one auditor for
    one name."""

    uses: int = 3
    days: int = 30


def may_use(row: SealedUpload, auditor: str) -> bool:
    """Whether audits of `auditor` may use this upload."""
    return row.owner == auditor or auditor in row.auditors


def add_upload(session: Session, row: SealedUpload) -> SealedUpload:
    """Add an upload; its owner may send it again, with other auditors, until an audit uses it. Raises ConflictError."""
    if row.subject is not None and _used(session, row):
        raise ConflictError("this consent was used by an audit before; ask the subject for a new one")
    known = session.scalar(for_update(select(SealedUpload).where(SealedUpload.digest == row.digest)))
    if known is not None:
        if known.owner != row.owner:
            raise ConflictError("this was uploaded by someone else; ask its owner to list you among its auditors")
        if known.audit_id is not None:
            raise ConflictError(f"audit {known.audit_id} uses this upload; it cannot be replaced")
        known.auditors, known.kind, known.facts, known.expires_at = row.auditors, row.kind, row.facts, row.expires_at
        return known
    if len(session.scalars(select(SealedUpload.seq).where(SealedUpload.owner == row.owner)).all()) >= MAX_OWNED:
        raise ConflictError(f"one owner keeps at most {MAX_OWNED} uploads; remove some")
    session.add(row)
    session.flush()
    return row


def find_upload(session: Session, digest: str, kind: str, auditor: str | None) -> SealedUpload:
    """An upload that `auditor` (None: an administrator) may use. Raises NotFoundError."""
    row = session.scalar(for_update(select(SealedUpload).where(SealedUpload.digest == digest, SealedUpload.kind == kind)))
    if row is None or (auditor is not None and not may_use(row, auditor)):
        raise NotFoundError(
            f"there are no {kind} {digest[:64]} that you may use; upload them, or ask their owner to list you among the auditors"
        )
    return row


def list_uploads(session: Session, auditor: str | None) -> Sequence[SealedUpload]:
    """What `auditor` may use, newest first; everything for None."""
    rows = session.scalars(select(SealedUpload).order_by(SealedUpload.seq.desc())).all()
    return [row for row in rows if auditor is None or may_use(row, auditor)]


def delete_upload(session: Session, digest: str, owner: str | None) -> None:
    """Forget an upload. Only its owner may (None: an administrator). Raises NotFoundError, ForbiddenError."""
    row = session.scalar(for_update(select(SealedUpload).where(SealedUpload.digest == digest)))
    if row is None or (owner is not None and not may_use(row, owner)):
        raise NotFoundError(f"there is no upload {digest[:64]} of yours")
    if owner is not None and row.owner != owner:
        raise ForbiddenError("only its owner can do this")
    session.delete(row)


@dataclass(frozen=True)
class AskedModel:
    """The model that an audit asks about: who registered it, and what consents must name. `others` read the uploads too;
    `own_words`: the prompts are the auditor's."""

    owner: str
    digest: str
    others: tuple[OtherModel, ...] = ()
    own_words: bool = False


@dataclass(frozen=True)
class OtherModel:
    """A model that no consent names, such as a reference: `is_remote` where it lies behind an address, `is_public` where its
    owner lends it to everybody."""

    name: str
    owner: str
    is_remote: bool
    is_public: bool


def use_uploads(
    session: Session, audit: Audit, openings: Iterable[str], records: Iterable[str], model: AskedModel, limits: ConsentLimits
) -> None:
    """Bind uploads to a new audit, and use its consents up.

    Records hold no consent: they are read by a model that their owner registered, never by one that was lent to him, or they
    would be a way round the consents. So would be prompts of the auditor's own, which may speak of anybody: they are put to a
    model of his own. What a model behind an address is asked leaves the service: only the consented one is asked there, and
    models of whoever uploaded. Raises NotFoundError, ForbiddenError, RequestError (expired, another model) and
    ConflictError (used before, asked too often).
    """
    rows: list[SealedUpload] = []
    for digest in openings:
        if session.scalar(select(ConsentUse.seq).where(ConsentUse.digest == digest)) is not None:
            raise _used_up(digest)
        row = find_upload(session, digest, OPENINGS, audit.auditor)
        rows.append(row)
        if row.model_digest != model.digest:
            raise RequestError(
                f"the consent {row.digest[:16]} is for another model: it names {str(row.model_digest)[:16]}, the model of the"
                f" request has {model.digest[:16]}"
            )
        if model.own_words and model.owner != audit.auditor:
            raise ForbiddenError(
                "prompts of your own (params.templates) may ask about anybody: of a model that is lent to you, ask with the"
                " built-in ones"
            )
        _use_consent(session, row, audit, limits)
    for digest in records:
        row = find_upload(session, digest, RECORDS, audit.auditor)
        if row.owner != model.owner:
            raise ForbiddenError(
                "private records are read by a model of their owner's only; of a model that is lent, ask by consents"
            )
        rows.append(row)
    for row in rows:
        _check_others(row, audit.auditor, model.others)
        if row.expires_at <= now_ms():
            raise RequestError(f"the {row.kind} {row.digest[:16]} expired at {format_ms(row.expires_at)}; upload new ones")
        if row.audit_id is not None:
            raise ConflictError(f"the {row.kind} {row.digest[:16]} are used by audit {row.audit_id}")
        row.audit_id = audit.id
    session.flush()


def _check_others(row: SealedUpload, auditor: str, others: Sequence[OtherModel]) -> None:
    """Raises ForbiddenError where personal values would be read by a model that nobody entitled to it has named."""
    for other in others:
        if other.is_remote and other.owner != row.owner:
            raise ForbiddenError(
                f"the model {other.name} lies behind an address, which would be sent personal values; nobody signed for it."
                " Take a model that the service runs itself, or one that whoever uploaded them registered"
            )
        if not other.is_public and other.owner not in (row.owner, auditor):
            raise ForbiddenError(
                f"the model {other.name} is lent to named auditors; it is asked about by consents that name it, and is no"
                " reference beside another one"
            )


def _use_consent(session: Session, row: SealedUpload, audit: Audit, limits: ConsentLimits) -> None:
    if _used(session, row):
        raise _used_up(row.digest)
    types = sorted({item["type"] for item in row.facts["items"]} - {"name"})
    _check_limits(session, row, audit.auditor, types, limits)
    session.add(
        ConsentUse(
            digest=row.digest,
            subject=row.subject,
            nonce=row.nonce,
            model_digest=row.model_digest,
            types=types,
            name_tag=row.name_tag,
            auditor=audit.auditor,
            audit_id=audit.id,
            expires_at=row.expires_at,
            used_at=now_ms(),
        )
    )
    session.flush()


def _used_up(digest: str) -> ConflictError:
    return ConflictError(f"the consent {digest[:16]} was used by an audit before; ask the subject for a new one")


def _used(session: Session, row: SealedUpload) -> bool:
    """By subject and nonce: a subject can give one request several valid signatures, which gives it several digests."""
    same = (ConsentUse.subject == row.subject) & (ConsentUse.nonce == row.nonce)
    return session.scalar(select(ConsentUse.seq).where(same | (ConsentUse.digest == row.digest))) is not None


def _check_limits(session: Session, row: SealedUpload, auditor: str, types: Sequence[str], limits: ConsentLimits) -> None:
    since = now_ms() - limits.days * DAY_MS
    recent = session.scalars(
        select(ConsentUse).where(ConsentUse.model_digest == row.model_digest, ConsentUse.used_at > since)
    ).all()
    for type_ in types:
        of_type = [use for use in recent if type_ in use.types]
        signed = sum(use.subject == row.subject for use in of_type)
        named = sum(use.auditor == auditor and bool(_tags(use.name_tag) & _tags(row.name_tag)) for use in of_type)
        if max(signed, named) >= limits.uses:
            whose = "this subject key" if signed >= limits.uses else "this name"
            raise ConflictError(
                f"{whose} was asked about a value of type {type_} of this model {limits.uses} times in {limits.days} days;"
                " asking again and again would tell values that are guessed"
            )


def _tags(name_tag: str | None) -> set[str]:
    """Of every two words of a name."""
    text = name_tag or ""
    return {text[i : i + TAG_CHARS] for i in range(0, len(text), TAG_CHARS)}


def uploads_of(session: Session, audit_id: str) -> Sequence[SealedUpload]:
    """What an audit uses."""
    return session.scalars(select(SealedUpload).where(SealedUpload.audit_id == audit_id)).all()


def list_over(session: Session) -> Sequence[SealedUpload]:
    """Uploads that are of no more use: expired, or their audit is not running any more."""
    rows = session.scalars(select(SealedUpload)).all()
    running = set(session.scalars(select(Audit.id).where(Audit.state == RUNNING)).all())
    return [row for row in rows if row.expires_at <= now_ms() or (row.audit_id is not None and row.audit_id not in running)]


def known_digests(session: Session) -> set[str]:
    """Digests of every upload."""
    return set(session.scalars(select(SealedUpload.digest)).all())


def remove_uploads(session: Session, digests: Sequence[str]) -> None:
    """Forget uploads."""
    session.execute(delete(SealedUpload).where(SealedUpload.digest.in_(digests)))


def forget_uses(session: Session, days: int) -> None:
    """Erase what counting does not need any more: names after `days`, and uses whose consent would be refused as expired."""
    before = now_ms() - days * DAY_MS
    session.execute(update(ConsentUse).where(ConsentUse.used_at <= before).values(name_tag=None))
    session.execute(delete(ConsentUse).where(ConsentUse.used_at <= before, ConsentUse.expires_at <= before))


def public_facts(items: Sequence[Any]) -> list[dict[str, str]]:
    """Items of a consent as a row holds them."""
    return [item.to_json() for item in items]
