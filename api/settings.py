"""Where a service keeps its things and how it listens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_CONSENT_USES = 3
PRIVATE_VARIABLE = "ASSAY_PRIVATE_ENDPOINTS"
MAX_JSON_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """`data` is the service's folder (0700): database, blobs, keys, locks. `database` overrides its SQLite file.
    `private_endpoints` lets models lie at private and loopback addresses. `consent_uses`: how often in 30 days one
    subject key, or one auditor for one name, may ask about the same type of item of the same model."""

    data: Path
    database: str | None = None
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    worker: str | None = "serve"
    private_endpoints: bool = False
    consent_uses: int = DEFAULT_CONSENT_USES

    @property
    def database_url(self) -> str:
        """The URL of the database."""
        return self.database or os.environ.get("ASSAY_DATABASE") or f"sqlite:///{self.data / 'assay.db'}"

    @property
    def blobs(self) -> Path:
        return self.data / "blobs"

    @property
    def signing_key(self) -> Path:
        return self.data / "keys" / "service.key"

    @property
    def locks(self) -> Path:
        return self.data / "locks"

    @property
    def vault(self) -> Path:
        return self.data / "keys" / "lent"

    @property
    def work(self) -> Path:
        return self.data / "work"

    @property
    def allow_private(self) -> bool:
        """Whether the operator lets models lie at private addresses."""
        return self.private_endpoints or os.environ.get(PRIVATE_VARIABLE, "") == "1"
