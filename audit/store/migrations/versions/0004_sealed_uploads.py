"""Sealed uploads for privacy audits, and the consents that were used"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sealed_uploads",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("auditors", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("nonce", sa.String(length=64), nullable=True),
        sa.Column("model_digest", sa.String(length=64), nullable=True),
        sa.Column("name_tag", sa.String(length=64), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("audit_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_sealed_uploads")),
        sa.UniqueConstraint("digest", name=op.f("uq_sealed_uploads_digest")),
    )
    op.create_table(
        "consent_uses",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=False),
        sa.Column("types", sa.JSON(), nullable=False),
        sa.Column("name_tag", sa.String(length=64), nullable=True),
        sa.Column("auditor", sa.String(length=63), nullable=False),
        sa.Column("audit_id", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_consent_uses")),
        sa.UniqueConstraint("digest", name=op.f("uq_consent_uses_digest")),
        sa.UniqueConstraint("subject", "nonce", name=op.f("uq_consent_uses_subject_nonce")),
    )
    op.create_index(op.f("ix_consent_uses_model_digest_used_at"), "consent_uses", ["model_digest", "used_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_consent_uses_model_digest_used_at"), table_name="consent_uses")
    op.drop_table("consent_uses")
    op.drop_table("sealed_uploads")
