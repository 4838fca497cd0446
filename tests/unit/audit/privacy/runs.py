"""What a privacy audit is lent in tests: models that stand for registered ones, openings and records in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from audit.canonical import canonical_bytes
from audit.kinds import build_registry
from audit.privacy.records import Records, read_records
from audit.registry import CheckContext, Outcome
from audit.requests import SERVICE, AuditRequest, Subject
from audit.runners.protocol import Attestation, Capabilities, Tier
from audit.subjects import MODEL_FORMAT, model_file
from privacy.consent import Openings, read_openings
from privacy.probes.model import Access
from tests.unit.audit.privacy.people import Signed
from tests.unit.privacy.fake_model import FakeModel

Json = dict[str, Any]
TIERS = {Access.TEXT: Tier.CHAT, Access.TOP_K: Tier.TOP_LOGPROBS, Access.FULL: Tier.TOKENS, Access.WEIGHTS: Tier.IN_PROCESS}


@dataclass
class FakeRunner:
    """Stands for a runner: what matters of it is the model that probes see."""

    model: FakeModel

    def capabilities(self) -> Capabilities:
        return Capabilities(TIERS[self.model.access], True, True, 0, True, True, True, False, vocab_size=256)

    def attestation(self) -> Attestation:
        facts = self.model.facts()
        return Attestation(facts.name, facts.digest, "none", "none")

    def registration(self) -> bytes:
        members = {"name": self.model.name, "owner": "o", "kind": "directory", "address": self.model.name, "nonce": "00"}
        found = {"capabilities": self.capabilities().to_json(), "attestation": self.attestation().to_json()}
        return canonical_bytes({"format": MODEL_FORMAT, **members, **found})


@dataclass
class Lent:
    """`audit.service_kinds.Resources` in memory. `kept` is what a killed worker would find again."""

    runners: Mapping[str, FakeRunner]
    openings: Mapping[str, bytes] = field(default_factory=dict)
    records: Mapping[str, bytes] = field(default_factory=dict)
    entropy: bytes = b"e" * 32
    kept: dict[str, bytes] = field(default_factory=dict)

    def open_model(self, digest: str) -> Any:
        return self.runners[digest]

    def tokenizer_folder(self, digest: str) -> None:
        return None

    def open_key(self, commitment: str) -> Any:
        raise AssertionError("no key is needed")

    def open_openings(self, digest: str) -> Openings:
        return read_openings(self.openings[digest])

    def open_records(self, commitment: str) -> Records:
        return read_records(self.records[commitment])

    def keep(self, name: str, make: Callable[[], bytes]) -> bytes:
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]


@dataclass
class World:
    """Models, and what subjects signed for."""

    models: list[FakeRunner]
    signed: list[Signed] = field(default_factory=list)
    records: dict[str, bytes] = field(default_factory=dict)

    @property
    def digests(self) -> list[str]:
        from hashlib import sha256

        return [sha256(runner.registration()).hexdigest() for runner in self.models]

    def lend(self) -> Lent:
        openings = {one.digest: one.openings for one in self.signed}
        return Lent(dict(zip(self.digests, self.models)), openings, self.records)

    def request(self, kind: str, **params: Any) -> AuditRequest:
        """With a nonce that is always the same."""
        digest = self.digests[0]
        return AuditRequest("alice", "5" * 64, SERVICE, Subject("model", digest), kind, {"model": digest, **params})

    def context(self, request: AuditRequest) -> CheckContext:
        needed = build_registry().get(request.kind).needs(request.params).models  # type: ignore[attr-defined]
        documents = {digest: runner.registration() for digest, runner in zip(self.digests, self.models)}
        return CheckContext({model_file(digest): documents[digest] for digest in needed})

    def run(self, request: AuditRequest, lent: Lent | None = None, progress: Any = None) -> dict[str, bytes]:
        kind: Any = build_registry().get(request.kind)
        note = progress or (lambda fraction, message: None)
        return dict(kind.run(request, lent or self.lend(), note, lambda: False))

    def judge(self, request: AuditRequest, evidence: Mapping[str, bytes]) -> Outcome:
        return build_registry().get(request.kind).check(request, evidence, self.context(request))


@pytest.fixture
def seen_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes see the fake model of a fake runner."""
    monkeypatch.setattr("audit.runners.probed_model.RunnerModel", lambda runner, cancelled=None: runner.model)
