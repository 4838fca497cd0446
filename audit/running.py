"""The jobs that use models and keys: run an audit of a kind that the service runs itself, and probe a model that was registered.

A run is deterministic given its request, so that running it again after a kill gives the same evidence. It ends in one
transaction that takes the evidence only if the audit is still running; then the usual check decides and signs.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from audit.blobs import BlobFolder
from audit.canonical import canonical_bytes
from audit.checking import Checker
from audit.errors import AuditError, CancelledError, NotFoundError, StorageError
from audit.evidence import build_manifest
from audit.jobs import JobArgs, JobHandler, WorkerStopping
from audit.private_uploads import PrivateUploads
from audit.registry import Registry
from audit.requests import AuditRequest, parse_request
from audit.resources import DIRECTORY, LentResources, OpenRunner, open_registered
from audit.service_kinds import ServiceKind, as_service_kind
from audit.store import audits, registrations
from audit.store.engine import Store
from audit.store.models import Audit, Model
from audit.subjects import MODEL_FORMAT, read_tier
from audit.vault import Vault

RUN_AUDIT = "run_audit"
PROBE_MODEL = "probe_model"
EVENT_S = 1.0
# After so many events, progress is noted less often: a long audit must not run out of them.
BUSY_EVENTS, SLOW_EVENT_S = 300, 30.0
POLL_S = 0.5
# Neither DSSE nor anything else that is signed with the service's key begins like this.
ENTROPY_DOMAIN = b"assay-run-entropy/1\x00"
MAX_REASON_CHARS = 500
INTERNAL = "an internal error; the operator's log has the details"

_log = logging.getLogger("assay.runs")


@dataclass(frozen=True)
class ServiceRuns:
    """Everything these jobs need. `stopping` is set when the worker ends: what runs then is run again at the next start."""

    store: Store
    blobs: BlobFolder
    registry: Registry
    vault: Vault
    work: Path
    checker: Checker
    uploads: PrivateUploads
    allow_private: bool = False
    open_runner: OpenRunner | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def handlers(self) -> dict[str, JobHandler]:
        """The jobs, by name."""
        return {
            RUN_AUDIT: JobHandler(self.run_audit, self._give_up_audit),
            PROBE_MODEL: JobHandler(self.probe_model, self._give_up_model),
        }

    def sweep(self) -> None:
        """Remove what audits kept and used that are not running any more: a killed worker may not have come to it."""
        self.uploads.sweep()
        for folder in self.work.iterdir() if self.work.is_dir() else ():
            with self.store.read() as session:
                row = session.scalar(select(Audit).where(Audit.id == folder.name))
            if row is None or row.state != "running":
                shutil.rmtree(folder, ignore_errors=True)

    # ------------------------------------------------------------------ audits

    def run_audit(self, args: JobArgs) -> None:
        """Make the evidence of one audit, check it, sign its report."""
        audit_id = str(args["audit"])
        with self.store.read() as session:
            audit = audits.get_audit(session, audit_id)
        if audit.state == "running":
            request = parse_request(audit.request)
            try:
                self._make_evidence(audit_id, request)
            except _Failure as failure:
                with self.store.write() as session:
                    audits.fail_run(session, audit_id, str(failure)[:MAX_REASON_CHARS])
        shutil.rmtree(self.work / audit_id, ignore_errors=True)
        self.uploads.remove_of(audit_id)
        self.checker.check_audit({"audit": audit_id, "attempt": 1})  # does nothing unless there is evidence to check

    def _make_evidence(self, audit_id: str, request: AuditRequest) -> None:
        kind = as_service_kind(self.registry.get(request.kind))
        if kind is None:
            raise _Failure(f"this version does not run audits of the kind {request.kind}")
        watch = _Watch(self.store, audit_id, self.stopping)
        try:
            files = self._run_kind(kind, request, audit_id, watch)
        except _Cancelled:
            if self.stopping.is_set():
                raise WorkerStopping from None
            return
        if watch.is_over():
            if self.stopping.is_set():
                raise WorkerStopping
            return
        manifest = build_manifest(files)
        for data in files.values():
            self.blobs.put(data)
        with self.store.write() as session:
            audits.submit_run(session, audit_id, manifest)

    def _run_kind(self, kind: ServiceKind, request: AuditRequest, audit_id: str, watch: _Watch) -> dict[str, bytes]:
        def act() -> dict[str, bytes]:
            kind.parse_params(request.params)
            needs = kind.needs(request.params)
            lent = LentResources(
                store=self.store,
                vault=self.vault,
                auditor=request.auditor,
                needs=needs,
                work=self.work / audit_id,
                entropy=self._entropy(request),
                allow_private=self.allow_private,
                open_runner=self.open_runner,
            )
            try:
                return dict(kind.run(request, lent, watch.note, watch.is_over))
            finally:
                lent.close()

        return _guarded(act, f"audit {audit_id}")

    def _entropy(self, request: AuditRequest) -> bytes:
        """An Ed25519 signature is a function of key and message: nobody else can try requests until one draws well."""
        return hashlib.sha256(self.checker.signer.sign(ENTROPY_DOMAIN + request.sha256.encode())).digest()

    def _give_up_audit(self, args: JobArgs, reason: str) -> None:
        with self.store.write() as session:
            audits.fail_run(session, str(args["audit"]), reason[:MAX_REASON_CHARS])
        self.uploads.remove_of(str(args["audit"]))

    # ------------------------------------------------------------------ models

    def probe_model(self, args: JobArgs) -> None:
        """Open a registered model, find out what it offers, and write down its registration document."""
        model_id = str(args["model"])
        try:
            with self.store.read() as session:
                row = registrations.find_model(session, model_id, None)
        except NotFoundError:
            return  # deleted meanwhile
        if row.state != "probing":
            return
        try:
            found = _guarded(lambda: self._probe(row), f"model {model_id}")
        except (_Failure, _Cancelled) as failure:
            with self.store.write() as session:
                registrations.fail_model(session, model_id, str(failure)[:MAX_REASON_CHARS])
            return
        digest = self.blobs.put(canonical_bytes(describe_model(row, found)))
        with self.store.write() as session:
            registrations.finish_model(session, model_id, found, digest, read_tier(found["capabilities"]))

    def _probe(self, row: Model) -> dict[str, Any]:
        runner = open_registered(row, self.vault, self.allow_private, self.open_runner)
        try:
            return {"capabilities": runner.capabilities().to_json(), "attestation": runner.attestation().to_json()}
        finally:
            runner.close()

    def _give_up_model(self, args: JobArgs, reason: str) -> None:
        with self.store.write() as session:
            registrations.fail_model(session, str(args["model"]), reason[:MAX_REASON_CHARS])


def describe_model(row: Model, found: dict[str, Any]) -> dict[str, Any]:
    """The registration document of a probed model: public, and its digest is what requests name."""
    return {
        "format": MODEL_FORMAT,
        "name": row.name,
        "owner": row.owner,
        "kind": row.kind,
        "address": public_address(row),
        "capabilities": found["capabilities"],
        "attestation": found["attestation"],
        "nonce": row.id,
    }


def public_address(row: Model) -> str:
    """The address as others see it: where folders lie is the operator's business."""
    return Path(row.address).name if row.kind == DIRECTORY else row.address


class _Failure(Exception):
    """Cannot be done; the text is public."""


class _Cancelled(Exception):
    """The work was told to stop, and did."""


def _guarded(act: Callable[[], Any], what: str) -> Any:
    """Act, and turn what may go wrong into `_Failure` with a public reason. A full disk or lost database is raised as it is, and
    the job tried again. Of a defect only type and places are logged: its message could hold a key."""
    from privacy.errors import PrivacyError, ProbeCancelledError
    from watermark.errors import CancelledError as WatermarkCancelledError
    from watermark.errors import WatermarkError

    try:
        return act()
    except (CancelledError, WatermarkCancelledError, ProbeCancelledError) as error:
        raise _Cancelled("it was stopped") from error
    except StorageError:
        raise
    except (AuditError, WatermarkError, PrivacyError) as error:
        raise _Failure(str(error)) from None
    except MemoryError:
        raise _Failure("the worker has not enough memory for this; ask for less at a time") from None
    except Exception as error:
        places = "".join(traceback.format_tb(error.__traceback__))
        _log.error("%s failed: %s at\n%s", what, type(error).__name__, places)
        raise _Failure(INTERNAL) from None


class _Watch:
    """Progress of one audit into its events, and whether it was cancelled: both look at the database now and then only."""

    def __init__(self, store: Store, audit_id: str, stopping: threading.Event) -> None:
        self._store, self._audit_id, self._stopping = store, audit_id, stopping
        self._noted = self._looked = float("-inf")
        self._events, self._over = 0, False

    def note(self, fraction: float, message: str) -> None:
        """The `progress` callback of a kind."""
        now = time.monotonic()
        if self._over or now - self._noted < (EVENT_S if self._events < BUSY_EVENTS else SLOW_EVENT_S):
            return
        self._noted = now
        self._events += 1
        self._write({"fraction": round(min(1.0, max(0.0, float(fraction))), 4), "message": message[:200]})

    def is_over(self) -> bool:
        """The `cancelled` callback of a kind."""
        now = time.monotonic()
        if not self._over and now - self._looked >= POLL_S:
            self._looked = now
            with self._store.read() as session:
                self._over = audits.get_audit(session, self._audit_id).state != "running"
        return self._over or self._stopping.is_set()

    def _write(self, progress: dict[str, Any]) -> None:
        with self._store.write() as session:
            self._over = not audits.note_progress(session, self._audit_id, progress)
