"""Runs keep the last manifest that was accepted"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("accepted", sa.JSON(), nullable=True))
    op.execute("UPDATE runs SET accepted = manifest WHERE state IN ('verified', 'inconclusive')")


def downgrade() -> None:
    op.drop_column("runs", "accepted")
