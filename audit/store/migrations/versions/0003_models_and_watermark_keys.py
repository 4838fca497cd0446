"""Models and watermark keys, and the reserved provider of the audits that the service runs itself"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=2048), nullable=False),
        sa.Column("auditors", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("job_id", sa.String(length=200), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=True),
        sa.Column("capabilities", sa.JSON(), nullable=True),
        sa.Column("attestation", sa.JSON(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_models")),
        sa.UniqueConstraint("id", name=op.f("uq_models_id")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_models_owner_name")),
        sa.UniqueConstraint("digest", name=op.f("uq_models_digest")),
    )
    op.create_table(
        "watermark_keys",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("commitment", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("family", sa.String(length=63), nullable=False),
        sa.Column("public", sa.JSON(), nullable=False),
        sa.Column("hazards", sa.JSON(), nullable=False),
        sa.Column("tokenizer", sa.String(length=64), nullable=True),
        sa.Column("auditors", sa.JSON(), nullable=False),
        sa.Column("file", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_watermark_keys")),
        sa.UniqueConstraint("commitment", name=op.f("uq_watermark_keys_commitment")),
    )
    # What audits that the service runs itself refer to. No owner has an empty name, so nobody can act for it.
    op.execute(
        "INSERT INTO providers (name, owner, public_key, envelope_sha256, created_at) "
        "SELECT 'service', '', '', '', 0 WHERE NOT EXISTS (SELECT 1 FROM providers WHERE name = 'service')"
    )


def downgrade() -> None:
    op.execute(
        "DELETE FROM providers WHERE name = 'service' AND owner = '' "
        "AND NOT EXISTS (SELECT 1 FROM audits WHERE audits.provider = 'service')"
    )
    op.drop_table("watermark_keys")
    op.drop_table("models")
