"""Attacks by an auditor to whom values or records were lent sealed: to have them sent to a server of his own, or to use a model
that was lent to him as an oracle for guesses about others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.blobs import BlobFolder
from audit.canonical import canonical_bytes
from audit.errors import ForbiddenError, RequestError
from audit.kinds import build_registry
from audit.privacy.records import new_records
from audit.private_uploads import PrivateUploads
from audit.requests import SERVICE, AuditRequest, Subject, new_request
from audit.sealing import Sealer
from audit.service import AuditService
from audit.signing import PrivateKey
from audit.store.access import Principal
from audit.store.engine import Store
from audit.store.migrate import migrate
from audit.store.models import Model
from audit.subjects import MODEL_FORMAT
from audit.vault import Vault
from tests.unit.audit.privacy.people import Signed, sign

ORLA, MALLORY = (Principal(name, "auditor", "k") for name in ("orla", "mallory"))
TEMPLATE = {"id": "other", "kind": "twin", "target": "phone", "text": "{name} aside, Una Harrow can be called at"}
WEIGHTS = "ab" * 32


class Jobs:
    def submit(self, session: Any, job: str, job_id: str, args: Any) -> None:
        """Nothing runs here."""


class Service:
    """A service in memory and on a folder, without workers."""

    def __init__(self, root: Path) -> None:
        self.store = Store(f"sqlite:///{root / 'a.db'}")
        migrate(self.store)
        self.blobs = BlobFolder(root / "blobs")
        self.uploads = PrivateUploads(self.store, Vault(root / "lent", Sealer(PrivateKey.generate())))
        self.service = AuditService(self.store, self.blobs, build_registry(), Jobs())  # type: ignore[arg-type]

    def register(self, name: str, owner: str, kind: str, *auditors: str, weights: str | None = None) -> str:
        found = {"capabilities": {"tier": "T4"}, "attestation": {"model": name, "model_digest": weights}}
        members = {"name": name, "owner": owner, "kind": kind, "address": f"http://{name}.example", "nonce": name}
        digest = self.blobs.put(canonical_bytes({"format": MODEL_FORMAT, **members, **found}))
        with self.store.write() as session:
            session.add(
                Model(
                    id=name,
                    name=name,
                    owner=owner,
                    kind=kind,
                    address=members["address"],
                    auditors=list(auditors),
                    state="ready",
                    job_id=name,
                    tier=4,
                    digest=digest,
                    created_at=1,
                    **found,
                )
            )
        return digest

    def lend(self, *auditors: str) -> Signed:
        signed = sign(WEIGHTS)
        self.uploads.add_openings(ORLA, signed.body(*auditors))
        return signed

    def ask(self, request: AuditRequest) -> str:
        with self.store.write() as session:
            return self.service.open_audit(session, request).state


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = Service(tmp_path)
    yield found
    found.store.close()


def probe(signed: Signed, model: str, subject: str | None = None, **params: Any) -> AuditRequest:
    asked = {"model": model, "consents": [signed.document], "types": ["phone"], "tier": "full", **params}
    return new_request("mallory", SERVICE, Subject("model", subject or model), "privacy.probe", asked)


def test_a_reference_behind_the_auditors_address_would_be_sent_the_values(service: Service) -> None:
    """It would read every candidate and, in the prompts, the name and the person's other values. No consent names it."""
    signed = service.lend("mallory")
    model = service.register("asked", "wystan", "directory", "mallory", weights=WEIGHTS)
    spy = service.register("spy", "mallory", "endpoint")
    with pytest.raises(ForbiddenError, match="nobody signed for it"):
        service.ask(probe(signed, model, reference=spy))
    everybody = service.register("spy-for-all", "mallory", "endpoint", "*")
    with pytest.raises(ForbiddenError, match="nobody signed for it"):
        service.ask(probe(signed, model, reference=everybody))
    kept = service.register("public", "root", "directory", "*", weights="cd" * 32)
    assert service.ask(probe(signed, model, reference=kept)) == "running"


def test_the_owner_of_the_values_may_name_an_address(service: Service) -> None:
    signed = service.lend("mallory")
    model = service.register("asked", "wystan", "directory", "mallory", weights=WEIGHTS)
    own = service.register("own", "orla", "endpoint", "mallory")
    assert service.ask(probe(signed, model, reference=own)) == "running"


def test_a_lent_model_is_no_oracle_as_the_reference_of_ones_own(service: Service) -> None:
    """With a constant model of his own, which he signs for himself, ranks would be those by the lent model, turned round."""
    signed = sign(WEIGHTS)
    service.uploads.add_openings(MALLORY, signed.body())
    own = service.register("constant", "mallory", "directory", weights=WEIGHTS)
    lent = service.register("lent", "wystan", "directory", "mallory", weights="cd" * 32)
    with pytest.raises(ForbiddenError, match="lent to named auditors"):
        service.ask(probe(signed, own, reference=lent))


def test_prompts_of_ones_own_ask_about_anybody(service: Service) -> None:
    """The name that is counted is that of the consent; what is asked about would be the name in the prompt."""
    signed = service.lend("mallory")
    lent = service.register("asked", "wystan", "directory", "mallory", weights=WEIGHTS)
    with pytest.raises(ForbiddenError, match="with the built-in ones"):
        service.ask(probe(signed, lent, templates=[TEMPLATE]))
    own = service.register("own", "mallory", "directory", weights=WEIGHTS)
    assert service.ask(probe(signed, own, templates=[TEMPLATE])) == "running"


def records(service: Service, caller: Principal, *auditors: str) -> str:
    document, commitment = new_records({"member": ["Una Harrow: 202-555-0171"] * 30, "non-member": ["nothing"] * 30})
    body = {"records": json.loads(document), "auditors": list(auditors)}
    service.uploads.add_records(caller, json.dumps(body).encode())
    return commitment


def extract(subject: str, **params: Any) -> AuditRequest:
    return new_request("mallory", SERVICE, Subject("model", subject), "privacy.extraction", params)


def test_records_are_not_sent_to_the_auditors_address(service: Service) -> None:
    """Neither as the reference, nor with the owner's model as the subject and another one as what is asked."""
    commitment = records(service, ORLA, "mallory")
    own = service.register("orlas", "orla", "directory", "mallory", weights=WEIGHTS)
    spy = service.register("spy", "mallory", "endpoint")
    for params in ({"model": own, "reference": spy}, {"model": spy, "reference": own}):
        with pytest.raises(ForbiddenError, match="nobody signed for it"):
            service.ask(extract(own, records=commitment, **params))


def test_guesses_in_records_are_not_read_by_a_lent_model(service: Service) -> None:
    """Mallory's own model is the subject; the model in the parameters is the one that was lent to him."""
    commitment = records(service, MALLORY)
    own = service.register("own", "mallory", "directory", weights=WEIGHTS)
    lent = service.register("lent", "wystan", "directory", "mallory", weights="cd" * 32)
    for params in ({"model": own, "reference": lent}, {"model": lent, "reference": own}):
        with pytest.raises(ForbiddenError, match="lent to named auditors"):
            service.ask(extract(own, records=commitment, **params))


def test_a_run_whose_subject_is_another_model_asks_nothing() -> None:
    request = extract("12" * 32, model="34" * 32, records="56" * 32)
    kind: Any = build_registry().get("privacy.extraction")
    with pytest.raises(RequestError, match="subject of the request is not the model"):
        kind.run(request, None, lambda fraction, message: None, lambda: False)
