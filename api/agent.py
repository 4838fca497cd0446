"""The provider's agent: it polls for requests, answers them on this machine, and sends evidence only.

Data and weights are read by the kind of audit, from the run folder; nothing of it is sent except what `answer`
returns. Evidence is kept under RUN/private/answers until it was handed in, so that a killed agent does not prove twice.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.client import ServiceClient
from api.errors import ServiceError
from api.publishing import read_run_id
from audit.errors import AuditError, CancelledError, EvidenceError, RequestError
from audit.evidence import build_manifest, parse_file_name
from audit.registry import Registry
from audit.requests import AuditRequest, audit_id_of, parse_request

LEASE_S = 60
TICK_S = 1.0
POLL_S = 1.0
RETRY_AFTER_S = 60.0
ANSWERS_FOLDER = "private/answers"


@dataclass(frozen=True)
class Answered:
    """What became of one request: `submitted`, `cancelled`, `failed` (with a reason) or `lost` to another agent."""

    audit_id: str
    kind: str
    result: str
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"audit": self.audit_id, "kind": self.kind, "result": self.result, "detail": self.detail}


def find_runs(folders: Sequence[Path]) -> dict[str, Path]:
    """Run folders by run id. Raises EvidenceError for a folder that is no run."""
    return {read_run_id(folder): folder for folder in folders}


def new_agent_name() -> str:
    """A name for this process. Events show it to everybody, so it says nothing about the machine."""
    return f"agent-{secrets.token_hex(6)}"


class Agent:
    """Answers the requests of one provider about the runs at hand."""

    def __init__(
        self,
        client: ServiceClient,
        provider: str,
        registry: Registry,
        runs: Mapping[str, Path],
        *,
        name: str | None = None,
        lease_s: int = LEASE_S,
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._client, self._provider, self._registry, self._runs = client, provider, registry, runs
        self.name, self._lease_s, self._say = name or new_agent_name(), lease_s, say
        self._not_before: dict[str, float] = {}

    def answer_open(self) -> list[Answered]:
        """Answer everything that is open now. Raises ServiceError when the service refuses or is gone."""
        answered = []
        for audit in self._client.list_work(self._provider):
            if self._not_before.get(audit["id"], 0.0) > time.monotonic():
                continue
            result = self._answer(audit)
            if result is not None:
                answered.append(result)
                self._say(f"{result.audit_id}: {result.result} {result.detail}".rstrip())
        return answered

    def watch(self, stop: threading.Event, report: Callable[[Answered], None]) -> None:
        """Answer requests as they come, until `stop`. An unreachable service is waited for."""
        while not stop.is_set():
            try:
                for result in self.answer_open():
                    report(result)
            except ServiceError as error:
                if error.status not in (0, 500, 502, 503, 504):
                    raise
                self._say(error.detail)
            stop.wait(POLL_S)

    def _read_work(self, audit: Mapping[str, Any]) -> AuditRequest:
        """The request of a queue item. Raises RequestError for one this provider was not asked: an answer proves that its
        maker holds the data, so it must not be made for whoever the service names."""
        request = parse_request(audit["request"])
        if request.provider != self._provider:
            raise RequestError(f"the service handed out a request to the provider {request.provider}")
        if audit["id"] != audit_id_of(request):
            raise RequestError("the service handed out a request under the id of another")
        return request

    def _answer(self, audit: Mapping[str, Any]) -> Answered | None:
        try:
            request = self._read_work(audit)
        except AuditError as error:
            self._postpone(audit["id"])
            return Answered(audit["id"], "unknown", "failed", str(error))
        run = self._runs.get(request.subject.sha256)
        if run is None or request.kind not in self._registry:
            self._postpone(audit["id"])
            reason = "no such run is at hand" if run is None else f"this version does not know {request.kind}"
            return Answered(audit["id"], request.kind, "failed", reason)
        try:
            token = self._client.claim(audit["id"], self.name, self._lease_s)
        except ServiceError as error:
            if error.status == 409:  # another agent was faster
                return None
            raise
        self._say(f"{audit['id']}: answering {request.kind}")
        with _Keeper(self._client, audit["id"], token, self._lease_s) as keeper:
            return self._answer_claimed(request, audit["id"], token, run, keeper)

    def _answer_claimed(self, request: AuditRequest, audit_id: str, token: str, run: Path, keeper: _Keeper) -> Answered:
        try:
            files = self._make_evidence(request, run, keeper)
            manifest = build_manifest(files)
            self._client.upload_files(manifest, files)
            self._client.submit_evidence(audit_id, token, manifest)
        except CancelledError:
            return Answered(audit_id, request.kind, "lost" if keeper.lost else "cancelled")
        except (AuditError, OSError) as error:
            self._give_back(audit_id, token, keeper)
            return Answered(audit_id, request.kind, "failed", str(error))
        except ServiceError as error:
            if error.status in (403, 409):
                return Answered(audit_id, request.kind, "lost", error.detail)
            raise
        except Exception as error:  # one request that finds a defect must not stop the agent for all auditors
            self._give_back(audit_id, token, keeper)
            return Answered(audit_id, request.kind, "failed", f"a defect of this version ({type(error).__name__}: {error})")
        return Answered(audit_id, request.kind, "submitted", f"{len(files)} files")

    def _give_back(self, audit_id: str, token: str, keeper: _Keeper) -> None:
        """Release the claim, with a reason that says nothing: why it failed may be about the data."""
        self._postpone(audit_id)
        if not keeper.is_over():
            with suppress(ServiceError):  # the lease runs out by itself
                self._client.release(audit_id, token, "the provider's agent could not answer")

    def _make_evidence(self, request: AuditRequest, run: Path, keeper: _Keeper) -> Mapping[str, bytes]:
        kept = run / ANSWERS_FOLDER / request.sha256
        if kept.is_dir():
            return _read_folder(kept)
        kind = self._registry.get(request.kind)
        kind.parse_params(request.params)
        files = kind.answer(request, run, keeper.note, keeper.is_over)
        if keeper.is_over():
            raise CancelledError("the audit was cancelled")
        _write_folder(kept, files)
        return files

    def _postpone(self, audit_id: str) -> None:
        self._not_before[audit_id] = time.monotonic() + RETRY_AFTER_S


class _Keeper:
    """Keeps a claim alive from a thread of its own, passes progress on, and notices cancellation."""

    def __init__(self, client: ServiceClient, audit_id: str, token: str, lease_s: int) -> None:
        self._client, self._audit_id, self._token, self._lease_s = client, audit_id, token, lease_s
        self._progress: dict[str, Any] | None = None
        self._stop, self._over = threading.Event(), threading.Event()
        self.lost = False
        self._thread = threading.Thread(target=self._keep, name="assay-claim", daemon=True)

    def __enter__(self) -> _Keeper:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def note(self, fraction: float, message: str) -> None:
        """The `progress` callback of a kind."""
        self._progress = {"fraction": min(1.0, max(0.0, fraction)), "message": message[:200]}

    def is_over(self) -> bool:
        """The `cancelled` callback of a kind: the audit was cancelled, or the claim is another agent's."""
        return self._over.is_set()

    def _keep(self) -> None:
        renewed = time.monotonic()
        while not self._stop.wait(TICK_S):
            progress, self._progress = self._progress, None
            if progress is None and time.monotonic() - renewed < self._lease_s / 3:
                continue
            try:
                state = self._client.renew(self._audit_id, self._token, self._lease_s, progress)["state"]
            except ServiceError as error:
                if error.status in (403, 404, 409):
                    self.lost = True
                    self._over.set()
                    return
                continue  # unreachable for a moment: the lease has time left
            renewed = time.monotonic()
            if state == "cancelled":
                self._over.set()
                return


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files so that the folder exists only when complete."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    for name, data in files.items():
        path = partial / parse_file_name(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        os.rename(partial, folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():
            raise


def _read_folder(folder: Path) -> dict[str, bytes]:
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if not files:
        raise EvidenceError(f"{folder} is empty; remove it to answer again")
    return files
