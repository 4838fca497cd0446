"""Raw exchanges with an endpoint, one JSON object a line, kept as evidence. API keys never enter.

Where prompts hold personal values nothing is kept: `ExchangeLog.none()`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

from audit.runners.protocol import RunnerError

MAX_KEPT_BYTES = 256 << 20


class ExchangeLog:
    """In memory, or in `path` when one is given (appended, readable by the owner only). Safe to share between threads.

    Beyond MAX_KEPT_BYTES a body is kept as its SHA-256 and length.
    """

    keeps = True
    """Whether anything of an exchange is kept."""

    def __init__(self, path: Path | None = None, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self.path, self.max_bytes = path, max_bytes
        self.count = 0
        self._bytes = 0
        self._lines: list[bytes] = []
        self._lock = threading.Lock()
        if path is not None:
            try:
                path.touch(mode=0o600)
            except OSError as error:
                raise RunnerError(f"exchanges cannot be kept in {path}: {error.strerror}") from None

    @classmethod
    def none(cls) -> ExchangeLog:
        """Counts exchanges and keeps nothing of them, not even digests; error messages then leave out what a server said."""
        return _NoExchanges()

    def add(self, entry: dict[str, Any]) -> None:
        """Append an exchange: what was asked (`request`), what came back (`response`), `status`, `attempt`, `seconds`."""
        with self._lock:
            self.count += 1
            line = _encode({"n": self.count, **entry})
            if self._bytes + len(line) > self.max_bytes:
                line = _encode({"n": self.count, **{name: _shorten(value) for name, value in entry.items()}})
            self._bytes += len(line)
            if self.path is None:
                self._lines.append(line)
                return
            try:
                with self.path.open("ab") as file:
                    file.write(line)
            except OSError as error:
                raise RunnerError(f"exchanges cannot be kept in {self.path}: {error.strerror}") from None

    def read(self) -> bytes:
        """All lines (JSONL, UTF-8)."""
        with self._lock:
            return self.path.read_bytes() if self.path is not None else b"".join(self._lines)


class _NoExchanges(ExchangeLog):
    keeps = False

    def add(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self.count += 1


def _encode(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _shorten(value: Any) -> Any:
    if not isinstance(value, str | dict | list):
        return value
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return value if len(data) <= 128 else {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
