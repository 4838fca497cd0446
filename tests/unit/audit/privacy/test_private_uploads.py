"""Sealed uploads: nothing of them lies clear anywhere, whoever may not use them learns nothing, and a consent is used once."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from audit.errors import AuditError, ConflictError, ForbiddenError, NotFoundError, RequestError, StorageError
from audit.privacy.records import new_records, read_records
from audit.private_uploads import PrivateUploads
from audit.requests import SERVICE, Subject, new_request
from audit.sealing import Sealer
from audit.signing import PrivateKey
from audit.store import audits, sealed
from audit.store.access import Principal
from audit.store.engine import Store
from audit.store.migrate import migrate
from audit.store.models import Audit, ConsentUse
from audit.store.sealed import AskedModel, ConsentLimits
from audit.vault import Vault
from privacy.consent import read_openings
from privacy.redaction import find_residue
from tests.unit.audit.privacy.people import MODEL, NOW, VALUES, Signed, new_subject, sign

ORLA, ALICE, MALLORY = (Principal(name, "auditor", "k") for name in ("orla", "alice", "mallory"))
SECRETS = [value for _, value in VALUES]
TEXTS = {"members": ["Mr Quennell lives at 4 Rowan Way.", "Ring 202-555-0171 after six."], "others": ["Nothing here."]}


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[PrivateUploads]:
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    migrate(store)
    yield PrivateUploads(store, Vault(tmp_path / "lent", Sealer(PrivateKey.generate())))
    store.close()


def residue(folder: Path, values: list[str]) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and find_residue(path.read_bytes(), values)]


def use(uploads: PrivateUploads, *digests: str, auditor: str = "alice", model: str = MODEL, **limits: int) -> Audit:
    request = new_request(auditor, SERVICE, Subject("model", "cd" * 32), "privacy.probe", {})
    with uploads.store.write() as session:
        audit = audits.create_audit(session, request, ())
        sealed.use_uploads(session, audit, digests, (), AskedModel("orla", model), ConsentLimits(**limits))
    return audit


def test_an_upload_lies_sealed_and_opens_again(uploads: PrivateUploads, tmp_path: Path) -> None:
    signed = sign()
    row = uploads.add_openings(ORLA, signed.body("alice"))
    assert row.digest == signed.digest and [item["type"] for item in row.facts["items"]] == ["name", "phone", "email"]
    assert read_openings(uploads.vault.unseal(row.digest)).values == signed.values
    assert residue(tmp_path, [*SECRETS, json.loads(signed.openings)["key"]]) == []
    (path,) = (tmp_path / "lent/sealed").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_records_are_bound_by_a_keyed_commitment(uploads: PrivateUploads, tmp_path: Path) -> None:
    document, commitment = new_records(TEXTS)
    row = uploads.add_records(ORLA, json.dumps({"records": json.loads(document)}).encode())
    assert row.digest == commitment and row.facts == {"groups": {"members": 2, "others": 1}}
    found = read_records(uploads.vault.unseal(commitment))
    assert found.groups["members"] == tuple(TEXTS["members"]) and "Rowan" not in repr(found)
    assert residue(tmp_path, [text for texts in TEXTS.values() for text in texts]) == []
    assert new_records(TEXTS)[1] != commitment  # another key
    assert set(found.take("members", optional=["others"])) == {"members", "others"}
    with pytest.raises(RequestError, match="groups members"):
        found.take("members")


def test_records_are_read_by_models_of_their_owner_only(uploads: PrivateUploads) -> None:
    """Texts with guesses in them, scored by somebody else's model, would tell what consents are there to protect."""
    document, commitment = new_records(TEXTS)
    uploads.add_records(ORLA, json.dumps({"records": json.loads(document), "auditors": ["alice"]}).encode())
    for owner, refused in (("mallory", True), ("orla", False)):
        with uploads.store.write() as session:
            asked = new_request("alice", SERVICE, Subject("model", "cd" * 32), "privacy.extraction", {})
            audit = audits.create_audit(session, asked, ())
            with pytest.raises(ForbiddenError) if refused else nullcontext():
                sealed.use_uploads(session, audit, (), [commitment], AskedModel(owner, MODEL), ConsentLimits())
    with uploads.store.write() as session, pytest.raises(ConflictError, match="are used by audit"):
        asked = new_request("alice", SERVICE, Subject("model", "cd" * 32), "privacy.extraction", {})
        audit = audits.create_audit(session, asked, ())
        sealed.use_uploads(session, audit, (), [commitment], AskedModel("orla", MODEL), ConsentLimits())


def test_another_name_or_key_opens_nothing(uploads: PrivateUploads) -> None:
    sealer, other = Sealer(PrivateKey.generate()), Sealer(PrivateKey.generate())
    data = sealer.seal("a" * 64, b"value")
    assert sealer.open("a" * 64, data) == b"value" and sealer.seal("a" * 64, b"value") != data
    for opener, name, given in (
        (other, "a" * 64, data),
        (sealer, "b" * 64, data),
        (sealer, "a" * 64, data[:-1]),
        (sealer, "a" * 64, b""),
        (sealer, "a" * 64, data[:-1] + bytes([data[-1] ^ 1])),
        (sealer, "a" * 64, data[15:]),
    ):
        with pytest.raises(StorageError, match="upload it again"):
            opener.open(name, given)
    assert sealer.pseudonym("x") != other.pseudonym("x")


BAD: list[tuple[Callable[[Signed], bytes], str]] = [
    (lambda signed: b"{", "not valid JSON"),
    (lambda signed: b"[]", "JSON object with"),
    (lambda signed: signed.body(extra="+1 920-555-0169"), "JSON object with"),
    (lambda signed: signed.body("*"), "named auditors"),
    (lambda signed: signed.body(openings={}), "openings must be"),
    (lambda signed: signed.body(openings=json.loads(sign().openings)), "another consent"),
    (lambda signed: signed.body(consent={**signed.document, "purpose": "other"}), "not signed"),
    (lambda signed: signed.body(openings=changed(signed, value="+1 920-555-0144")), "not the values"),
    (lambda signed: signed.body(openings=changed(signed, type="fax")), "not the values"),
    (lambda signed: signed.body(openings=changed(signed, value="\ud83d")), "JSON"),
    (lambda signed: b"\xff" * 10, "not valid JSON"),
    (lambda signed: sign(values=[("name", "Orla Quennell"), ("phone", "call me")]).body(), "phone"),
    (lambda signed: sign(values=[("name", "Orla Quennell"), ("email", "orla at example")]).body(), "e-mail"),
    (lambda signed: sign(now=NOW - timedelta(days=9), days=9).body(), "expired"),
    (lambda signed: sign(purpose="who knows 19205550169?").body(), "says one of the values"),
]


def test_of_a_defect_no_message_is_logged(
    uploads: PrivateUploads, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(data: bytes) -> Any:
        raise KeyError(data)

    monkeypatch.setattr("privacy.consent.read_openings", fail)
    with pytest.raises(AuditError, match="internal error"):
        uploads.add_openings(ORLA, sign().body())
    assert "KeyError" in caplog.text and not find_residue(caplog.text.encode(), SECRETS)


def changed(signed: Signed, **members: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(signed.openings)
    content["values"][1] |= members
    return content


@pytest.mark.parametrize("case", range(len(BAD)))
def test_what_is_wrong_is_refused_without_a_value(uploads: PrivateUploads, tmp_path: Path, case: int) -> None:
    make, reason = BAD[case]
    with pytest.raises(RequestError, match=reason) as refused:
        uploads.add_openings(ORLA, make(sign()))
    assert not find_residue(str(refused.value).encode(), [*SECRETS, "call me", "orla at example", "920-555-0144"])
    assert list((tmp_path / "lent/sealed").iterdir()) == [] and uploads.list_uploads(ORLA) == []


def test_owner_and_named_auditors_alone(uploads: PrivateUploads) -> None:
    signed = sign()
    digest = uploads.add_openings(ORLA, signed.body("alice")).digest
    assert [row.digest for row in uploads.list_uploads(ALICE)] == [digest] and uploads.list_uploads(MALLORY) == []
    with pytest.raises(NotFoundError):
        use(uploads, digest, auditor="mallory")
    with pytest.raises(ConflictError):
        uploads.add_openings(MALLORY, signed.body("mallory"))
    with pytest.raises(NotFoundError):
        uploads.delete_upload(MALLORY, digest)
    with pytest.raises(ForbiddenError):
        uploads.delete_upload(ALICE, digest)
    uploads.add_openings(ORLA, signed.body("bob"))  # again: other auditors
    with pytest.raises(NotFoundError):
        use(uploads, digest)
    uploads.delete_upload(ORLA, digest)
    with pytest.raises(StorageError):
        uploads.vault.unseal(digest)


def test_a_consent_is_used_once_whatever_becomes_of_it(uploads: PrivateUploads) -> None:
    signed = sign()
    digest = uploads.add_openings(ORLA, signed.body("alice")).digest
    audit = use(uploads, digest)
    with pytest.raises(ConflictError, match="used by an audit before"):
        use(uploads, digest)
    uploads.sweep()
    assert uploads.vault.unseal(digest)  # it runs still
    with uploads.store.write() as session:
        audits.cancel_audit(session, audit.id)
    uploads.remove_of("f" * 32)
    assert uploads.vault.unseal(digest)
    uploads.remove_of(audit.id)
    assert uploads.vault.list_sealed() == [] and uploads.list_uploads(ORLA) == []
    with pytest.raises(ConflictError, match="used by an audit before"):
        uploads.add_openings(ORLA, signed.body("alice"))
    with pytest.raises(ConflictError, match="used by an audit before"):
        use(uploads, digest)
    assert use(uploads, uploads.add_openings(ORLA, sign().body("alice")).digest)  # a new one is taken


def test_a_rolled_back_audit_uses_nothing(uploads: PrivateUploads) -> None:
    digest = uploads.add_openings(ORLA, sign().body("alice")).digest
    with pytest.raises(AuditError), uploads.store.write() as session:
        audit = audits.create_audit(session, new_request("alice", SERVICE, Subject("model", "cd" * 32), "k", {}), ())
        sealed.use_uploads(session, audit, [digest], (), AskedModel("orla", MODEL), ConsentLimits())
        raise RequestError("something else was wrong")
    assert use(uploads, digest).state == "running"


def test_another_model_and_expiry_are_refused(uploads: PrivateUploads, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = uploads.add_openings(ORLA, sign(days=1).body("alice")).digest
    with pytest.raises(RequestError, match="another model"):
        use(uploads, digest, model="12" * 32)
    later = int((NOW + timedelta(days=2)).timestamp() * 1000)
    monkeypatch.setattr(sealed, "now_ms", lambda: later)
    with pytest.raises(RequestError, match="expired"):
        use(uploads, digest)
    uploads.sweep()
    assert uploads.vault.list_sealed() == []


def test_asking_again_and_again_is_refused(uploads: PrivateUploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle: whoever signs himself can put a guess for another's phone into every new consent."""

    def guess(number: int, seed: int, name: str = "Orla Quennell") -> str:
        values = (("name", name), ("phone", f"+1 202-555-01{number:02}"))
        return uploads.add_openings(ALICE, sign(values=values, subject=new_subject(seed)).body()).digest

    for number in range(3):
        use(uploads, guess(number, seed=1))
    with pytest.raises(ConflictError, match="subject key"):
        use(uploads, guess(3, seed=1, name="Una Harrow"))
    with pytest.raises(ConflictError, match="this name"):
        use(uploads, guess(4, seed=2, name="QUENNELL  Orla"))  # another key, the name turned round
    assert use(uploads, guess(5, seed=3), uses=4)
    values = (("name", "Orla Quennell"), ("email", "o@example.org"))
    assert use(uploads, uploads.add_openings(ALICE, sign(values=values, subject=new_subject(1)).body()).digest)  # another type
    month = 31 * sealed.DAY_MS
    now = sealed.now_ms()
    monkeypatch.setattr(sealed, "now_ms", lambda: now + month)
    uploads.sweep()
    with uploads.store.read() as session:
        assert session.scalars(select(ConsentUse.seq).where(ConsentUse.name_tag.is_not(None))).all() == []


def test_two_signatures_of_one_request_are_one_consent(uploads: PrivateUploads) -> None:
    """Ed25519 lets a signer give a message several signatures, each with a digest of its own; the nonce is the same."""
    first = uploads.add_openings(ORLA, sign().body("alice"))
    use(uploads, first.digest)
    with uploads.store.write() as session, pytest.raises(ConflictError, match="used by an audit before"):
        twin = sealed.SealedUpload(
            **{name: getattr(first, name) for name in ("kind", "owner", "auditors", "facts", "subject", "nonce", "model_digest")},
            digest="ee" * 32,
            expires_at=first.expires_at,
            created_at=1,
        )
        sealed.add_upload(session, twin)


def test_what_a_crash_left_is_swept(uploads: PrivateUploads, tmp_path: Path) -> None:
    digest = uploads.add_openings(ORLA, sign().body()).digest
    folder = tmp_path / "lent/sealed"
    for name in (f"{'9' * 64}.sealed", f".{'9' * 64}.sealed.ab12cd34"):
        (folder / name).write_bytes(b"left")
    uploads.sweep()
    assert len(list(folder.iterdir())) == 3  # young: an upload may be under way
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    uploads.sweep()
    assert [path.name for path in folder.iterdir()] == [f"{digest}.sealed"]
