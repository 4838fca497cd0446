"""Open everything a service process needs, once, in one place: database, blobs, keys, registry and jobs."""

from __future__ import annotations

from dataclasses import dataclass

from api.database import open_store
from api.settings import Settings
from audit.blobs import BlobFolder
from audit.checking import Checker, RunVerifier
from audit.jobs_dbos import DbosEngine, JobWorker, create_job_tables
from audit.kinds import build_registry
from audit.private_uploads import PrivateUploads
from audit.registering import Registrations
from audit.registry import Registry
from audit.resources import OpenRunner
from audit.running import ServiceRuns
from audit.sealing import Sealer
from audit.service import AuditService
from audit.signing import PrivateKey
from audit.store.engine import Store
from audit.store.sealed import ConsentLimits
from audit.vault import Vault
from audit.zk_gate import verify_run_files


@dataclass(frozen=True)
class Runtime:
    """An open service. Close it when the process ends."""

    settings: Settings
    store: Store
    jobs: DbosEngine
    service: AuditService
    registrations: Registrations
    uploads: PrivateUploads
    checker: Checker
    runs: ServiceRuns

    def worker(self, name: str, concurrency: int = 2) -> JobWorker:
        """A worker of this service, not yet started."""
        self.runs.sweep()
        handlers = {**self.checker.handlers(), **self.runs.handlers()}
        return JobWorker(self.store.url, name, handlers, self.settings.locks, concurrency, self.runs.stopping, self.runs.sweep)

    def close(self) -> None:
        """Give connections back."""
        self.jobs.close()
        self.store.close()


def open_runtime(
    settings: Settings,
    registry: Registry | None = None,
    verify_run: RunVerifier = verify_run_files,
    open_runner: OpenRunner | None = None,
) -> Runtime:
    """Open a service. Raises AuditError with one clear line when something is missing."""
    store = open_store(settings)
    create_job_tables(store)
    key = PrivateKey.load_or_create(settings.signing_key)
    blobs = BlobFolder(settings.blobs)
    kinds = build_registry() if registry is None else registry
    jobs = DbosEngine(store.url)
    vault = Vault(settings.vault, Sealer(key))
    limits = ConsentLimits(settings.consent_uses)
    uploads = PrivateUploads(store, vault, limits)
    checker = Checker(store, blobs, kinds, key, key.public.to_text(), verify_run)
    return Runtime(
        settings=settings,
        store=store,
        jobs=jobs,
        service=AuditService(store, blobs, kinds, jobs, limits),
        registrations=Registrations(store, vault, jobs),
        uploads=uploads,
        checker=checker,
        runs=ServiceRuns(store, blobs, kinds, vault, settings.work, checker, uploads, settings.allow_private, open_runner),
    )
