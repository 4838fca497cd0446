"""Two audits that ask with one consent at the same moment: one gets it, on either database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.errors import AuditError, ConflictError
from audit.private_uploads import PrivateUploads
from audit.requests import SERVICE, Subject, new_request
from audit.sealing import Sealer
from audit.signing import PrivateKey
from audit.store import audits, sealed
from audit.store.access import Principal
from audit.store.engine import Store
from audit.store.migrate import migrate
from audit.store.sealed import AskedModel, ConsentLimits
from audit.vault import Vault
from tests.unit.audit.privacy.people import MODEL, sign

ORLA = Principal("orla", "auditor", "k")


def open_uploads(url: str, folder: Path) -> Iterator[PrivateUploads]:
    store = Store(url)
    migrate(store)
    yield PrivateUploads(store, Vault(folder / "lent", Sealer(PrivateKey.generate())))
    store.close()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[PrivateUploads]:
    yield from open_uploads(f"sqlite:///{tmp_path / 'a.db'}", tmp_path)


@pytest.fixture
def on_postgresql(postgres_url: str, tmp_path: Path) -> Iterator[PrivateUploads]:
    yield from open_uploads(postgres_url, tmp_path)


def race(uploads: PrivateUploads) -> None:
    digest = uploads.add_openings(ORLA, sign().body("alice")).digest
    start, ended = threading.Barrier(8), list[AuditError | None]()

    def use() -> None:
        request = new_request("alice", SERVICE, Subject("model", "cd" * 32), "privacy.probe", {})
        start.wait()
        try:
            with uploads.store.write() as session:
                audit = audits.create_audit(session, request, ())
                sealed.use_uploads(session, audit, [digest], (), AskedModel("orla", MODEL), ConsentLimits())
            ended.append(None)
        except AuditError as error:
            ended.append(error)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended.count(None) == 1 and sum(isinstance(error, ConflictError) for error in ended) == 7, ended
    with uploads.store.read() as session:
        assert len(audits.list_audits(session)) == 1
    assert [row.audit_id is not None for row in uploads.list_uploads(ORLA)] == [True]


def test_one_of_many_gets_a_consent(on_sqlite: PrivateUploads) -> None:
    race(on_sqlite)


@pytest.mark.postgres
def test_one_of_many_gets_a_consent_on_postgresql(on_postgresql: PrivateUploads) -> None:
    race(on_postgresql)
