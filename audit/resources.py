"""What an audit that the service runs may use: what its request names, and its auditor may use; nothing else."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import ForbiddenError, RequestError, StorageError
from audit.requests import parse_name
from audit.runners.exchanges import ExchangeLog
from audit.runners.protocol import RunnerError, Tier
from audit.runners.requirements import require
from audit.service_kinds import Needs
from audit.store import registrations, sealed
from audit.store.engine import Store, now_ms
from audit.store.models import Model
from audit.vault import Vault

if TYPE_CHECKING:
    from audit.privacy.records import Records
    from audit.runners.protocol import Runner
    from privacy.consent import Openings
    from watermark.keys import WatermarkKey

ENDPOINT, DIRECTORY, TINY = "endpoint", "directory", "tiny"
OpenRunner = Callable[..., Any]


def open_registered(
    row: Model, vault: Vault, allow_private: bool, open_runner: OpenRunner | None = None, silent: bool = False
) -> Runner:
    """The runner of a registration; a `silent` one keeps nothing of what an endpoint is asked. Raises RunnerError."""
    if open_runner is None:
        from audit.runners.opening import open_runner as standard

        open_runner = standard
    options: dict[str, Any] = {"api_key": vault.read_endpoint_key(row.id), "allow_private": allow_private}
    if silent:
        options["exchanges"] = ExchangeLog.none()
    runner: Runner = open_runner(row.address, **options)
    return runner


@dataclass
class LentResources:
    """`audit.service_kinds.Resources` for one audit of `auditor`. Close it when the audit has run.

    `work` keeps what a killed worker must not make twice; it is removed when the audit has its evidence.
    """

    store: Store
    vault: Vault
    auditor: str
    needs: Needs
    work: Path
    entropy: bytes
    allow_private: bool = False
    open_runner: OpenRunner | None = None
    _open: dict[str, Any] = field(default_factory=dict)

    def open_model(self, digest: str) -> Runner:
        """See `audit.service_kinds.Resources`."""
        if digest not in self._open:
            row = self._row(digest)
            silent = bool(self.needs.openings or self.needs.records)
            runner = open_registered(row, self.vault, self.allow_private, self.open_runner, silent)
            self._open[digest] = runner
            registered, found = row.attestation or {}, runner.attestation().to_json()
            for name in ("model", "model_digest"):
                if registered.get(name) != found.get(name):
                    raise RunnerError(
                        f"the model {row.name} is not what was registered: its {name} has changed; register it again"
                    )
            require(runner.capabilities(), f"an audit with the model {row.name}", tier=Tier(self.needs.models[digest]))
        runner = self._open[digest]
        return runner

    def tokenizer_folder(self, digest: str) -> Path | None:
        """See `audit.service_kinds.Resources`."""
        row = self._row(digest)
        if row.kind == ENDPOINT:
            return None
        from audit.runners.opening import local_folder

        return local_folder(row.address)

    def _row(self, digest: str) -> Model:
        if digest not in self.needs.models:
            raise ForbiddenError("the request does not name this model")
        with self.store.read() as session:
            return registrations.use_model(session, digest, self.auditor)

    def open_key(self, commitment: str) -> WatermarkKey:
        """See `audit.service_kinds.Resources`."""
        if commitment not in self.needs.keys:
            raise ForbiddenError("the request does not name this key")
        with self.store.read() as session:
            row = registrations.use_key(session, commitment, self.auditor)
        key = self.vault.read_watermark_key(row.file)
        if key.commitment != commitment:
            raise StorageError("the file of this watermark key holds another key; upload it again")
        return key

    def open_openings(self, digest: str) -> Openings:
        """See `audit.service_kinds.Resources`."""
        from privacy.consent import read_openings

        return read_openings(self._unseal(digest, sealed.OPENINGS, self.needs.openings))

    def open_records(self, commitment: str) -> Records:
        """See `audit.service_kinds.Resources`."""
        from audit.privacy.records import read_records

        return read_records(self._unseal(commitment, sealed.RECORDS, self.needs.records))

    def _unseal(self, digest: str, kind: str, named: tuple[str, ...]) -> bytes:
        if digest not in named:
            raise ForbiddenError(f"the request does not name these {kind}")
        with self.store.read() as session:
            row = sealed.find_upload(session, digest, kind, self.auditor)
        if row.expires_at <= now_ms():
            raise RequestError(f"the {kind} {digest[:16]} expired before the audit came to them")
        return self.vault.unseal(digest)

    def keep(self, name: str, make: Callable[[], bytes]) -> bytes:
        """See `audit.service_kinds.Resources`."""
        path = self.work / parse_name(name, "the name of a kept part")
        try:
            return path.read_bytes()
        except FileNotFoundError:
            pass
        data = make()
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            self.work.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_bytes(data)
            os.replace(beside, path)
        except OSError as error:
            raise StorageError(f"the working folder of the service cannot be written: {error.strerror}") from error
        return data

    def close(self) -> None:
        """Give models back."""
        while self._open:
            self._open.popitem()[1].close()
