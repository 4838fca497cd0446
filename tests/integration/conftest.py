"""A real service on a loopback port, in processes of its own, on SQLite or PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from api.client import ServiceClient
from api.database import open_store
from api.publishing import publish_run
from api.settings import Settings
from audit.signing import PrivateKey
from audit.store.access import create_key

ROOT = Path(__file__).resolve().parents[2]
POSTGRES = "postgresql://{user}@127.0.0.1:5432/{name}"
START_S = 60


@dataclass
class ServiceProcesses:
    """Server and workers of one data folder."""

    data: Path
    database: str | None = None
    url: str = ""
    children: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, *, worker: str | None = "serve", port: int = 0) -> ServiceProcesses:
        launch = self._spawn("serve", "serve", str(self.data), str(port), worker or "-")
        self.url = launch["url"]
        return self

    def start_worker(self, name: str) -> None:
        self._spawn(name, "worker", str(self.data), name)

    def _spawn(self, label: str, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.integration.service_process", *arguments]
        command += [self.database] if self.database else []
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.children[label] = child
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, f"{label} did not start"
        launch: dict[str, Any] = json.loads(line)
        return launch

    def kill(self, label: str) -> None:
        """kill -9."""
        child = self.children.pop(label)
        child.send_signal(signal.SIGKILL)
        child.wait()
        if child.stdout:
            child.stdout.close()

    def stop(self) -> None:
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdout:
                child.stdout.close()
        self.children.clear()

    def new_key(self, role: str, owner: str) -> str:
        store = open_store(Settings(self.data, self.database))
        with store.write() as session:
            key = create_key(session, role, owner)
        store.close()
        return key

    def client(self, role: str, owner: str) -> ServiceClient:
        return ServiceClient(self.url, self.new_key(role, owner))


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ServiceProcesses]:
    """A service on SQLite, not yet started."""
    found = ServiceProcesses(tmp_path / "service")
    yield found
    found.stop()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcesses]:
    """A service on SQLite with a worker inside, shared by the tests that do not kill it."""
    found = ServiceProcesses(tmp_path_factory.mktemp("shared") / "service")
    yield found.start()
    found.stop()


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A database of its own on 127.0.0.1:5432, dropped afterwards."""
    name, user = f"assay_test_{uuid.uuid4().hex[:12]}", os.environ.get("PGUSER", "postgres")
    admin = create_engine(
        POSTGRES.format(user=user, name="postgres").replace("postgresql:", "postgresql+psycopg:"),
        isolation_level="AUTOCOMMIT",
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield POSTGRES.format(user=user, name=name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def postgres_service(tmp_path: Path, postgres_url: str) -> Iterator[ServiceProcesses]:
    """A service on PostgreSQL with a worker inside."""
    found = ServiceProcesses(tmp_path / "service", postgres_url)
    yield found.start()
    found.stop()


def write_run(folder: Path, secret: bytes, *, segments: int = 2, good: bool = True) -> str:
    """A run folder as the tests' verifier accepts it (or not); its id."""
    run_id = hashlib.sha256(b"run" + secret).hexdigest()
    for part in ("public/proofs", "public/commitments", "private"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "private").chmod(0o700)
    (folder / "private/secret.bin").write_bytes(secret)
    (folder / "public/run.json").write_text(json.dumps({"run_id": run_id}))
    (folder / "public/commitments/data.record").write_bytes(b"record")
    for number in range(segments):
        statement = json.dumps({"run": run_id, "segment": number}).encode()
        (folder / f"public/proofs/seg-{number}.stmt").write_bytes(statement)
        proof = statement[::-1] if good else b"forged"
        (folder / f"public/proofs/seg-{number}.proof").write_bytes(proof)
    return run_id


@dataclass(frozen=True)
class PublishedRun:
    """A run that a service has verified."""

    provider: str
    folder: Path
    run_id: str
    key: PrivateKey
    client: ServiceClient


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., PublishedRun]:
    """Publish a run of a provider to a service and wait for its verification."""

    def publish_one(service: ServiceProcesses, name: str = "acme", secret: bytes = b"secret") -> PublishedRun:
        provider = f"{name}-{uuid.uuid4().hex[:8]}"  # a name of its own: tests share a service
        folder, key = tmp_path / f"run-{provider}", PrivateKey.generate()
        run_id = write_run(folder, secret)
        client = service.client("provider", provider)
        publish_run(client, folder, provider, key)
        assert client.wait_for_run(provider, run_id)["state"] == "verified"
        return PublishedRun(provider, folder, run_id, key, client)

    return publish_one
