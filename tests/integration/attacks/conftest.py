"""One small proven run and one answered request for every attack; reports made without a service, as a lying one could."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from api.publishing import read_public_files
from audit.evidence import build_manifest
from audit.kinds import build_registry
from audit.provider.folder import RunFolder
from audit.provider.training import prepare, prove_run
from audit.publications import SignedPublication, sign_publication, sign_registration
from audit.registry import CheckContext
from audit.reports import ReportFacts, sign_report
from audit.requests import AuditRequest, Subject, new_request
from audit.signing import PrivateKey
from tests.integration.test_proven_runs import CONFIG, shorten


@dataclass(frozen=True)
class ProvenRun:
    """A run of two segments on wine, and the answer to `request` (a label histogram)."""

    root: Path
    run_id: str
    public: Mapping[str, bytes]
    request: AuditRequest
    answer: Mapping[str, bytes]


@dataclass
class Forge:
    """Makes report folders as whoever holds a service key could: nothing is checked here."""

    service: PrivateKey = field(default_factory=PrivateKey.generate)
    provider: PrivateKey = field(default_factory=PrivateKey.generate)

    def publish(self, name: str, run_id: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The published files with the provider's signatures, as a service stores them."""
        publication = SignedPublication(name, run_id, build_manifest(files))
        return {
            **files,
            "registration.dsse.json": sign_registration(name, self.provider, self.provider.public),
            "publication.dsse.json": sign_publication(publication, self.provider),
        }

    def report(
        self, request: AuditRequest, answer: Mapping[str, bytes], published: Mapping[str, bytes], **changes: Any
    ) -> dict[str, bytes]:
        """The files of a signed report over the outcome that the kind's check gives."""
        outcome = build_registry().get(request.kind).check(request, answer, CheckContext(published))
        facts: dict[str, Any] = {
            "audit_id": request.sha256[:32],
            "request": request,
            "requested_at": "2026-01-01T00:00:00.000Z",
            "evidence_at": "2026-01-01T00:00:01.000Z",
            "outcome": outcome,
            "answer": build_manifest(answer),
            "published": build_manifest(published),
            "service_key": self.service.public.to_text(),
        }
        files = {"report.dsse.json": sign_report(ReportFacts(**{**facts, **changes}), self.service)}
        files["evidence/request.json"] = request.to_bytes()
        files |= {f"evidence/answer/{name}": data for name, data in answer.items()}
        return files | {f"evidence/published/{name}": data for name, data in published.items()}


@pytest.fixture(scope="session")
def proven(tmp_path_factory: pytest.TempPathFactory) -> ProvenRun:
    """Proven once for all attacks."""
    folder = RunFolder(tmp_path_factory.mktemp("attacked") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("audit.provider.training.plan_training", shorten(4))
        choice = {"source": "wine", "layers": [13, 6, 3], "batch": 11, "epochs": 1, "rate": 0.1, "steps": 2}
        prepare(CONFIG.format(**choice, profile="S10"), folder.root, folder)
        prove_run(folder)
    public = read_public_files(folder.root)
    run_id = str(json.loads(public["run.json"])["run_id"])
    request = new_request("alice", "acme", Subject("run", run_id), "data.label-histogram", {})
    kind = build_registry().get(request.kind)
    answer = kind.answer(request, folder.root, lambda fraction, message: None, lambda: False)
    return ProvenRun(folder.root, run_id, public, request, answer)


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge()
