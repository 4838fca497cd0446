"""What callers may do with models and watermark keys: register, list, look at, and forget them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from audit.errors import ForbiddenError, RequestError
from audit.jobs import JobEngine
from audit.requests import parse_name
from audit.resources import DIRECTORY, ENDPOINT, TINY
from audit.runners.opening import BUILT_IN
from audit.running import PROBE_MODEL
from audit.store import registrations
from audit.store.access import Principal
from audit.store.engine import Store, now_ms
from audit.store.models import Model, WatermarkKeyRow
from audit.vault import Vault, file_of, parse_watermark_key

MAX_ADDRESS_CHARS = 2048


@dataclass(frozen=True)
class Registrations:
    """The operations on models and keys."""

    store: Store
    vault: Vault
    jobs: JobEngine

    def add_model(self, caller: Principal, name: str, spec: str, api_key: str | None, auditors: Any) -> Model:
        """Register a model and queue its probe; it can be used when its state is `ready`.

        `spec` is `tiny`, `tiny:SEED` or a folder of the service's machine (administrators only), or an http(s) address.
        """
        kind = _kind_of(spec)
        if kind != ENDPOINT and caller.role != "admin":
            raise ForbiddenError(
                "models on the service's own machine are registered by its administrator; give an http(s) address"
            )
        if api_key is not None and kind != ENDPOINT:
            raise RequestError("api_key belongs to an http(s) address")
        row = Model(
            id=secrets.token_hex(16),
            owner=caller.owner,
            name=parse_name(name, "name"),
            kind=kind,
            address=spec if kind != DIRECTORY else str(Path(spec).expanduser().resolve()),
            auditors=registrations.parse_auditors(auditors),
            state="probing",
            created_at=now_ms(),
        )
        row.job_id = f"probe-model-{row.id}"
        if api_key is not None:
            self.vault.add_endpoint_key(row.id, api_key)
        try:
            with self.store.write() as session:
                registrations.add_model(session, row)
                self.jobs.submit(session, PROBE_MODEL, row.job_id, {"model": row.id})
        except BaseException:
            self.vault.remove_endpoint_key(row.id)
            raise
        return row

    def show_model(self, caller: Principal, model_id: str) -> Model:
        """A model that the caller may use."""
        with self.store.read() as session:
            return registrations.find_model(session, model_id, _scope(caller))

    def list_models(self, caller: Principal) -> Sequence[Model]:
        """Every model the caller may use, newest first; an administrator sees all."""
        with self.store.read() as session:
            return registrations.list_models(session, _scope(caller))

    def delete_model(self, caller: Principal, model_id: str) -> None:
        """Forget a model of the caller's, and its API key. Reports about it stay."""
        with self.store.write() as session:
            registrations.delete_model(session, model_id, _scope(caller))
        self.vault.remove_endpoint_key(model_id)

    def add_watermark_key(self, caller: Principal, document: Any, auditors: Any) -> WatermarkKeyRow:
        """Take a watermark key into the vault; the row says what may be known of it."""
        names = registrations.parse_auditors(auditors)
        if registrations.EVERYBODY in names:
            raise RequestError("a watermark key is lent to named auditors only: whoever detects with it can learn to forge it")
        key, hazards = parse_watermark_key(document)
        row = WatermarkKeyRow(
            commitment=key.commitment,
            owner=caller.owner,
            family=key.family,
            public=key.public,
            hazards=list(hazards),
            tokenizer=key.tokenizer,
            auditors=names,
            file=file_of(key),
        )
        with self.store.write() as session:
            row = registrations.add_key(session, row)
            self.vault.add_watermark_key(key)  # before the row counts; refused above when the key is another's
        return row

    def list_watermark_keys(self, caller: Principal) -> Sequence[WatermarkKeyRow]:
        """Every key the caller may use, newest first; an administrator sees all (not the keys themselves)."""
        with self.store.read() as session:
            return registrations.list_keys(session, _scope(caller))

    def delete_watermark_key(self, caller: Principal, commitment: str) -> None:
        """Forget a key of the caller's. Audits that wait for it fail; reports stay."""
        with self.store.write() as session:
            file = registrations.delete_key(session, commitment, _scope(caller))
        self.vault.remove_watermark_key(file)


def _scope(caller: Principal) -> str | None:
    return None if caller.role == "admin" else caller.owner


def _kind_of(spec: str) -> str:
    if not 0 < len(spec) <= MAX_ADDRESS_CHARS or not spec.isprintable():
        raise RequestError(f"spec must be 1 to {MAX_ADDRESS_CHARS} printable characters: tiny, a folder, or an http(s) address")
    if spec.partition(":")[0] in BUILT_IN:
        return TINY
    if not spec.startswith(("http://", "https://")):
        return DIRECTORY
    try:
        parts = urlsplit(spec)
        known = bool(parts.hostname) and parts.username is None and parts.password is None and not parts.query
        _ = parts.port
    except ValueError:
        known = False
    if not known:
        raise RequestError("the address must be http(s)://HOST[:PORT]/PATH#MODEL, without user, password or query")
    return ENDPOINT
