"""Database engines and transactions, for one SQLite file or PostgreSQL.

SQLite runs with WAL (readers never block the writer), BEGIN IMMEDIATE for every writing transaction (a writer waits
at its start, not in the middle), a 30 s busy timeout and foreign keys. These are read back and asserted, because a
setting that SQLite ignores is silent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, Select, create_engine, event, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from audit.errors import ConflictError, RequestError, StorageError

BUSY_TIMEOUT_MS = 30_000
_READ_ONLY = "assay_read_only"


def now_ms() -> int:
    """Milliseconds since 1970, UTC: the service's clock. Never part of a decision about evidence."""
    return time.time_ns() // 1_000_000


def format_ms(moment: int) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    seconds, rest = divmod(moment, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"


def normalise_url(url: str) -> str:
    """A database URL with the driver Assay uses. Raises StorageError for anything but SQLite and PostgreSQL."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise StorageError("the database URL is malformed; for example sqlite:///assay.db") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StorageError("an in-memory SQLite database cannot be shared with the worker; name a file")
        return parsed.set(drivername="sqlite").render_as_string(hide_password=False)
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    raise StorageError(f"the database must be SQLite or PostgreSQL, not {backend}")


def open_engine(url: str) -> Engine:
    """An engine for Assay's own tables."""
    url = normalise_url(url)
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
    engine = create_engine(url, pool_size=10, max_overflow=30)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` says, and nowhere else
        _set_pragmas(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        read_only = connection.get_execution_options().get(_READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def open_job_engine(url: str) -> Engine:
    """An engine for the job system's tables in the same database.

    DBOS uses an engine it is given as it is, so all four settings are made here. It begins its own transactions:
    hence the driver's isolation level instead of a `begin` listener.
    """
    url = normalise_url(url)
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=10)
    engine = create_engine(url, pool_size=10, max_overflow=10)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        _set_pragmas(connection)

    return engine


def _set_pragmas(connection: Any) -> None:
    wanted = {"busy_timeout": BUSY_TIMEOUT_MS, "journal_mode": "wal", "foreign_keys": 1}
    for name, value in wanted.items():
        connection.execute(f"PRAGMA {name}={value}").close()
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != value:
            raise StorageError(f"SQLite keeps {name}={found}; {value} is needed (is the file on a network drive?)")
    connection.execute("PRAGMA synchronous=FULL").close()


class Store:
    """Transactions on Assay's tables. Both contexts commit at the end and roll back on an exception."""

    def __init__(self, url: str) -> None:
        self.url = normalise_url(url)
        self.engine = open_engine(self.url)
        self._reader = self.engine.execution_options(**{_READ_ONLY: True})

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent look; what is written in it is lost."""
        with _explained(), Session(self._reader, expire_on_commit=False) as session:
            yield session  # closing rolls back, and leaves the rows that were read usable

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction. On SQLite it holds the write lock from its start."""
        with _explained(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            session.connection()  # begin now, not at the first statement
            yield session

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def for_update(statement: Select[Any]) -> Select[Any]:
    """Lock the selected rows until the transaction ends (SQLite holds its one lock already and ignores this)."""
    return statement.with_for_update()


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a database that cannot work, or a lost race for a unique value, into one clear line."""
    try:
        yield
    except IntegrityError as error:
        raise ConflictError("another request did the same at this moment; look at the result, or try again") from error
    except DataError as error:
        raise RequestError("a value in this call is nothing the database can hold or look for") from error
    except (OperationalError, InterfaceError) as error:
        raise StorageError(_explain(error)) from error
    except PoolTimeoutError as error:
        raise StorageError("every connection to the database is busy; try again in a moment") from error


def _explain(error: DBAPIError) -> str:
    text = str(error.orig)
    if "no such table" in text or "does not exist" in text:
        return "the database has no tables of Assay yet; start the service with `assay serve`, which creates them"
    if "locked" in text:
        return f"the database was locked for {BUSY_TIMEOUT_MS // 1000} s; try again"
    if "full" in text or "disk I/O" in text:
        return "the disk of the service is full or failing; free some space and try again"
    if "readonly" in text:
        return "the database file is read-only; make it writable for the service"
    return "the database does not answer; check its URL and that it runs"
