"""Bring a database to the newest schema: Assay's tables by Alembic, the job system's by its own migrations."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from audit.store.engine import Store

SCRIPTS = Path(__file__).parent / "migrations"
# An arbitrary number for PostgreSQL's advisory lock: one migration at a time.
_LOCK_NUMBER = 0x61737361


def migrate(store: Store) -> None:
    """Create or upgrade Assay's tables. Several processes may call it at once; one works and the others wait."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with migration_lock(store), store.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


@contextmanager
def migration_lock(store: Store) -> Iterator[None]:
    """Hold the database's migration lock."""
    if not store.is_sqlite:
        # Outside a transaction: CREATE INDEX CONCURRENTLY waits for every open one, this one included.
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(:n)"), {"n": _LOCK_NUMBER})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": _LOCK_NUMBER})
        return
    # Beside SQLite's own lock, which a migration takes and gives back several times.
    with Path(f"{store.engine.url.database}.migrate-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
