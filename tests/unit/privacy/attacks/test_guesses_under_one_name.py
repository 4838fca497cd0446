"""The rank oracle: whoever signs himself, with a new key each time, puts a guess for another's phone into every consent.
Counted is the name that is asked with; here it is written in other ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.errors import ConflictError, RequestError
from audit.private_uploads import PrivateUploads
from audit.requests import SERVICE, Subject, new_request
from audit.sealing import Sealer
from audit.signing import PrivateKey
from audit.store import audits, sealed
from audit.store.access import Principal
from audit.store.engine import Store
from audit.store.migrate import migrate
from audit.vault import Vault
from privacy.redaction import find_residue
from tests.unit.audit.privacy.people import MODEL, new_subject, sign

MALLORY = Principal("mallory", "auditor", "k")


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[PrivateUploads]:
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    migrate(store)
    yield PrivateUploads(store, Vault(tmp_path / "lent", Sealer(PrivateKey.generate())))
    store.close()


def guess(uploads: PrivateUploads, number: int, name: str) -> None:
    values = (("name", name), ("phone", f"+1 202-555-01{number:02}"))
    digest = uploads.add_openings(MALLORY, sign(values=values, subject=new_subject(number + 1)).body()).digest
    with uploads.store.write() as session:
        request = new_request("mallory", SERVICE, Subject("model", "cd" * 32), "privacy.probe", {})
        audit = audits.create_audit(session, request, ())
        sealed.use_uploads(session, audit, [digest], (), sealed.AskedModel("wystan", MODEL), sealed.ConsentLimits())


SPELLINGS = (
    "Dr. Una B. Harrow Jr", "HARROW, Una", "Xerxes Una Harrow", "Una Harrow Zed", "Una van Harrow", "U\u0301na Harrow",
    "Una Maud Harrow", "Una Harrow's Phone",
)  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_another_spelling_is_the_same_name(uploads: PrivateUploads, name: str) -> None:
    for number in range(3):
        guess(uploads, number, "Una Harrow")
    with pytest.raises(ConflictError, match="this name"):
        guess(uploads, 3, name)
    guess(uploads, 4, "Orla Quennell")


@pytest.mark.parametrize(
    "name", ["Una Harrow, whose number begins with 202", "All these other names Una Harrow", "Una Harrow\nand more", "Una"]
)
def test_a_name_is_no_prompt(uploads: PrivateUploads, name: str) -> None:
    with pytest.raises(RequestError) as refused:
        guess(uploads, 1, name)
    assert not find_residue(str(refused.value).encode(), [name, "Harrow"])
    assert uploads.list_uploads(MALLORY) == []
