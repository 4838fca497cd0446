"""Alembic environment: always online, on the connection that `audit.store.migrate` hands over."""

from __future__ import annotations

from typing import Any

from alembic import context

from audit.store.models import Base


def _is_ours(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Leave the job system's tables alone; they share the database."""
    return not (kind == "table" and reflected and name not in Base.metadata.tables)


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    include_object=_is_ours,
    version_table="assay_schema",
)
with context.begin_transaction():
    context.run_migrations()
