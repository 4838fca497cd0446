"""The whole story on bundled data: train and prove, publish to a service, audit, verify offline, refuse a forgery.

Everything runs on this machine: the service is a process of its own on a loopback port with SQLite. Nothing is faked:
the provider, the auditor and the reader use the functions behind the commands of the same names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.agent import Agent, find_runs
from api.client import ServiceClient
from api.publishing import publish_run
from api.runtime import open_store
from api.settings import Settings
from audit.canonical import canonical_bytes
from audit.dsse import IN_TOTO_TYPE, sign_envelope
from audit.errors import AuditError
from audit.kinds import build_registry
from audit.provider.folder import RunFolder
from audit.provider.training import RunReport, load_test_rows, prepare, prove_run
from audit.reports import ENVELOPE_NAME, unpack_report, write_report
from audit.requests import Subject, new_request
from audit.signing import PrivateKey
from audit.store.access import create_key
from audit.verify import ReportVerdict, verify_report

PROVIDER, AUDITOR = "demo-provider", "demo-auditor"
CONFIG = """\
[dataset]
source = "sklearn:digits"
test_fraction = 0.2
standardise = true

[model]
layers = [64, 64, 10]
loss = "softmax_ce"

[training]
batch_size = 32
epochs = 8
learning_rate = 0.25
seed = 2026
segment_steps = 128

[zk]
profile = "auto"
"""
START_S = 60.0
Say = Callable[[str], None]


@dataclass
class Audit:
    """One audit of the story: its kind, verdict, outputs, and the folder of its report."""

    kind: str
    verdict: str
    outputs: Mapping[str, Any]
    report: Path
    seconds: float


@dataclass
class Story:
    """What happened, for the table at the end. Times in seconds by stage, in order."""

    out: Path
    run: RunReport | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    audits: list[Audit] = field(default_factory=list)
    offline: ReportVerdict | None = None
    forgeries: dict[str, str] = field(default_factory=dict)
    proof_sizes: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        assert self.run is not None and self.offline is not None
        return {
            "ok": self.offline.verdict == "holds" and all(self.forgeries.values()),
            "run": {
                "id": self.run.run_id,
                "segments": self.run.n_segments,
                "steps": self.run.n_steps,
                "refreshes": self.run.n_refreshes,
                "proof_bytes": self.run.proof_bytes,
                "ms_per_step": 1000 * self.run.seconds_proving / self.run.n_steps,
                "integer_accuracy": self.run.integer_accuracy,
                "float_accuracy": self.run.float_accuracy,
            },
            "seconds": self.seconds,
            "audits": [
                {"kind": a.kind, "verdict": a.verdict, "outputs": dict(a.outputs), "report": str(a.report)} for a in self.audits
            ],
            "offline": self.offline.to_json(),
            "forgeries_refused": self.forgeries,
            "folders": {"run": str(self.out / "run"), "reports": str(self.out / "reports")},
        }


def tell(out: Path, say: Say) -> Story:
    """Play the story into the new folder `out`. Raises the errors of the rooms it visits."""
    story = Story(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.toml").write_text(CONFIG)
    _provider(story, say)
    with _service(story, out / "service") as url:
        _publish_and_audit(story, url, say)
    _reader(story, say)
    return story


@contextmanager
def _timed(story: Story, name: str) -> Iterator[None]:
    at = time.monotonic()
    yield
    story.seconds[name] = time.monotonic() - at


def _provider(story: Story, say: Say) -> None:
    folder = RunFolder(story.out / "run")
    with _timed(story, "plan and commit"):
        prepare(CONFIG, story.out, folder, lambda _, message: say(f"provider: {message}"))
    with _timed(story, "train and prove"):
        story.run = prove_run(folder, lambda _, message: say(f"provider: {message}"))
    for path in sorted((folder.public / "proofs").glob("*.proof")):
        story.proof_sizes[path.stem] = path.stat().st_size


@contextmanager
def _service(story: Story, data: Path) -> Iterator[str]:
    """`assay serve` on a free loopback port, stopped at the end."""
    program = "from api.cli.main import main; main()"
    command = [sys.executable, "-c", program, "serve", "--data", str(data), "--port", "0", "--json"]
    with open(story.out / "service.log", "w") as log:
        with _timed(story, "start the service"):
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            assert child.stdout is not None
            line = child.stdout.readline()
        if not line:
            raise AuditError(f"the service did not start; its log is {story.out / 'service.log'}")
        try:
            yield json.loads(line)["url"]
        finally:
            child.terminate()
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()


def _publish_and_audit(story: Story, url: str, say: Say) -> None:
    run, data = story.out / "run", story.out / "service"
    assert story.run is not None
    provider_key, auditor_key = _api_keys(data)
    signer = PrivateKey.load_or_create(story.out / "run" / "private" / "provider.key")
    with ServiceClient(url, provider_key) as provider, ServiceClient(url, auditor_key) as auditor:
        with _timed(story, "publish, verified by the service"):
            say("provider: publishing the public half")
            publish_run(provider, run, PROVIDER, signer)
            found = provider.wait_for_run(PROVIDER, story.run.run_id)
        if found["state"] != "verified":
            raise AuditError(f"the service found the run {found['state']}: {found['detail']}")
        agent = Agent(provider, PROVIDER, build_registry(), find_runs([run]))
        for kind, params in _questions(RunFolder(run)):
            say(f"auditor: {kind}")
            at = time.monotonic()
            made = auditor.create_audit(new_request(AUDITOR, PROVIDER, Subject("run", story.run.run_id), kind, params))
            agent.answer_open()
            for _ in auditor.watch_audit(made["id"]):
                pass
            _keep_report(story, auditor, made["id"], kind, time.monotonic() - at)


def _api_keys(data: Path) -> tuple[str, str]:
    store = open_store(Settings(data))
    with store.write() as session:
        keys = create_key(session, "provider", PROVIDER), create_key(session, "auditor", AUDITOR)
    store.close()
    return keys


def _questions(folder: RunFolder) -> list[tuple[str, dict[str, Any]]]:
    """What the auditor asks. The public labelled set is the held-out part of the digits, in two made-up groups."""
    rows = load_test_rows(folder)
    features, labels = rows["features"].tolist(), rows["labels"].tolist()
    groups = [int(label >= 5) for label in labels]
    return [
        ("training.proof", {}),
        ("model.accuracy", {"features": features, "labels": labels, "groups": groups}),
        ("data.label-histogram", {}),
        ("data.nearest-row", {"query": features[0]}),
    ]


def _keep_report(story: Story, auditor: ServiceClient, audit_id: str, kind: str, seconds: float) -> None:
    found = auditor.show_audit(audit_id)
    if found["state"] != "done":
        raise AuditError(f"audit {kind} is {found['state']}: {found['detail']}")
    folder = story.out / "reports" / kind
    files = unpack_report(auditor.read_report_archive(audit_id))
    write_report(folder, files.items())
    outputs = _statement(files)["predicate"]["outputs"]
    story.audits.append(Audit(kind, found["verdict"], outputs, folder, seconds))


def _reader(story: Story, say: Say) -> None:
    """Offline: the report of the accuracy audit, then forged copies of it."""
    say("reader: verifying the report offline")
    folder = story.out / "reports" / "model.accuracy"
    files = _read_folder(folder)
    with _timed(story, "verify a report offline"):
        service_key = PrivateKey.load_or_create(Settings(story.out / "service").signing_key).public
        provider_key = PrivateKey.load_or_create(story.out / "run" / "private" / "provider.key").public
        story.offline = verify_report(files, build_registry(), [service_key], [provider_key])
    say("reader: trying forged copies")
    with _timed(story, "refuse forged copies"):
        for name, forged in _forgeries(files):
            verdict = verify_report(forged, build_registry())
            failed = next((check for check in verdict.checks if check.ok is False), None)
            refused = verdict.verdict == "refuted" and failed is not None
            story.forgeries[name] = f"{failed.id}: {failed.detail}" if refused and failed else ""


def _read_folder(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _forgeries(files: dict[str, bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(what was changed, the forged report)."""
    forger = PrivateKey.generate()
    proof = next(name for name in files if name.endswith("audit.proof"))
    flipped = bytearray(files[proof])
    flipped[len(flipped) // 2] ^= 1
    statement = _statement(files)
    for entry in statement["predicate"]["evidence"]:
        if proof.endswith(entry["name"]):
            entry["sha256"] = hashlib.sha256(flipped).hexdigest()
    statement["predicate"]["service"]["publicKey"] = forger.public.to_text()
    forged = {**files, proof: bytes(flipped), ENVELOPE_NAME: _sealed(statement, files, forger)}
    yield "one bit of the proof, signed by the forger", forged
    statement = _statement(files)
    statement["predicate"]["outputs"]["accuracy"] = "0.999999"
    yield "a better accuracy under the old signature", {**files, ENVELOPE_NAME: _sealed(statement, files, None)}
    statement["predicate"]["service"]["publicKey"] = forger.public.to_text()
    yield "a better accuracy, signed by the forger", {**files, ENVELOPE_NAME: _sealed(statement, files, forger)}


def _statement(files: Mapping[str, bytes]) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads(base64.b64decode(json.loads(files[ENVELOPE_NAME])["payload"]))
    return statement


def _sealed(statement: dict[str, Any], files: Mapping[str, bytes], forger: PrivateKey | None) -> bytes:
    """The changed statement in an envelope: with the signatures of the true one, or signed by the forger."""
    payload = canonical_bytes(statement)
    if forger is not None:
        return canonical_bytes(sign_envelope(payload, IN_TOTO_TYPE, [forger]))
    document = json.loads(files[ENVELOPE_NAME])
    return json.dumps({**document, "payload": base64.b64encode(payload).decode()}).encode()
