"""Tables. Times are milliseconds since 1970, UTC; lists of files, checks and outputs are JSON.

What holds between tables is enforced by the database: foreign keys, unique digests, one event per sequence number.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite gives out ascending row numbers for INTEGER primary keys only.
_Serial = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Constraint names are fixed, so that migrations can name them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ApiKey(Base):
    """An API key: only the SHA-256 of its secret is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str] = mapped_column(String(63))
    created_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class Provider(Base):
    """A provider and the public key it proved to hold."""

    __tablename__ = "providers"

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    owner: Mapped[str] = mapped_column(String(63))
    public_key: Mapped[str] = mapped_column(String(44))
    envelope_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)


class Commitment(Base):
    """A signed commitment; `digest` is the SHA-256 of the committed record."""

    __tablename__ = "commitments"
    __table_args__ = (UniqueConstraint("provider", "digest"),)

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    provider: Mapped[str] = mapped_column(String(63), ForeignKey("providers.name"))
    name: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64))
    envelope_sha256: Mapped[str] = mapped_column(String(64))
    envelope_size: Mapped[int] = mapped_column(BigInteger)
    record_size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Run(Base):
    """A published run. `manifest` lists its public files; the verdict is about exactly that manifest. `accepted` is the last
    manifest that was not refused: every later one holds its files unchanged."""

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("provider", "run_id"),)

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    provider: Mapped[str] = mapped_column(String(63), ForeignKey("providers.name"))
    run_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    manifest: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    accepted: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)
    envelope_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(200))
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    detail: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class Segment(Base):
    """One statement and proof of a run. It counts only in the state `verified`."""

    __tablename__ = "segments"

    run_seq: Mapped[int] = mapped_column(_Serial, ForeignKey("runs.seq"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    statement_sha256: Mapped[str] = mapped_column(String(64))
    proof_sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str | None] = mapped_column(Text)


class Audit(Base):
    """An audit from request to report. `claim_*` say which agent answers it, and until when."""

    __tablename__ = "audits"
    __table_args__ = (Index(None, "provider", "state", "seq"), Index(None, "auditor", "seq"))

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    request_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    auditor: Mapped[str] = mapped_column(String(63))
    provider: Mapped[str] = mapped_column(String(63), ForeignKey("providers.name"))
    kind: Mapped[str] = mapped_column(String(63))
    published: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    claim_sha256: Mapped[str | None] = mapped_column(String(64))
    claim_agent: Mapped[str | None] = mapped_column(String(63))
    claim_until: Mapped[int | None] = mapped_column(BigInteger)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    answer: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)
    answer_sha256: Mapped[str | None] = mapped_column(String(64))
    evidence_at: Mapped[int | None] = mapped_column(BigInteger)
    job_id: Mapped[str | None] = mapped_column(String(200))
    verdict: Mapped[str | None] = mapped_column(String(16))
    report_sha256: Mapped[str | None] = mapped_column(String(64))
    detail: Mapped[str | None] = mapped_column(Text)
    last_event: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class Model(Base):
    """A model that audits may run. Its key, if it has one, lies in a file; `digest` is that of its registration document,
    which exists once the model was probed. `auditors` are the others who may use it; "*" is everybody."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    owner: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    kind: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(2048))
    auditors: Mapped[list[str]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str | None] = mapped_column(Text)
    job_id: Mapped[str] = mapped_column(String(200))
    tier: Mapped[int | None] = mapped_column(Integer)
    capabilities: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    attestation: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    digest: Mapped[str | None] = mapped_column(String(64), unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class WatermarkKeyRow(Base):
    """What may be known of a watermark key; the key itself lies in `file`, below the service's folder of keys."""

    __tablename__ = "watermark_keys"

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    commitment: Mapped[str] = mapped_column(String(64), unique=True)
    owner: Mapped[str] = mapped_column(String(63))
    family: Mapped[str] = mapped_column(String(63))
    public: Mapped[dict[str, Any]] = mapped_column(JSON)
    hazards: Mapped[list[str]] = mapped_column(JSON)
    tokenizer: Mapped[str | None] = mapped_column(String(64))
    auditors: Mapped[list[str]] = mapped_column(JSON)
    file: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[int] = mapped_column(BigInteger)


class SealedUpload(Base):
    """What may be known of a sealed upload: `kind` is "openings" (`digest` is the consent's) or "records" (their commitment).

    `facts` is public. `subject`, `nonce` and `model_digest` are the consent's, null for records. `name_tag` holds pseudonyms of
    the name that the values belong to, one of every two words, which only this service can make. `audit_id` is set while an
    audit uses the upload.
    """

    __tablename__ = "sealed_uploads"

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str] = mapped_column(String(63))
    auditors: Mapped[list[str]] = mapped_column(JSON)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    subject: Mapped[str | None] = mapped_column(String(64))
    nonce: Mapped[str | None] = mapped_column(String(64))
    model_digest: Mapped[str | None] = mapped_column(String(64))
    name_tag: Mapped[str | None] = mapped_column(String(64))
    expires_at: Mapped[int] = mapped_column(BigInteger)
    audit_id: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[int] = mapped_column(BigInteger)


class ConsentUse(Base):
    """A consent that an audit has used: (subject, nonce) is used once, whatever becomes of the audit."""

    __tablename__ = "consent_uses"
    __table_args__ = (UniqueConstraint("subject", "nonce"), Index(None, "model_digest", "used_at"))

    seq: Mapped[int] = mapped_column(_Serial, primary_key=True, autoincrement=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    subject: Mapped[str] = mapped_column(String(64))
    nonce: Mapped[str] = mapped_column(String(64))
    model_digest: Mapped[str] = mapped_column(String(64))
    types: Mapped[list[str]] = mapped_column(JSON)
    name_tag: Mapped[str | None] = mapped_column(String(64))
    auditor: Mapped[str] = mapped_column(String(63))
    audit_id: Mapped[str] = mapped_column(String(32))
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int] = mapped_column(BigInteger)


class Event(Base):
    """What happened to an audit, numbered 1, 2, 3 ... without gaps; stored before it is sent."""

    __tablename__ = "events"

    audit_seq: Mapped[int] = mapped_column(_Serial, ForeignKey("audits.seq"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)


class IdempotencyRecord(Base):
    """The stored answer to a request that carried an Idempotency-Key, written in the transaction of its effect."""

    __tablename__ = "idempotency"

    principal: Mapped[str] = mapped_column(String(63), primary_key=True)
    operation: Mapped[str] = mapped_column(String(255), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)
