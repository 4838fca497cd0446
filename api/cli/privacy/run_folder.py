"""The folder of a local run: what it measured so far, and its results. Ranks, counts and commitments only."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from api.cli.privacy.private_files import read_bounded
from privacy.errors import ConsentError

FORMAT = "assay-privacy-run/1"
MANIFEST, LOCK, KEPT = "run.json", "run.lock", "kept"
MAX_PART = 64 << 20
_TOKEN_BYTES = 16
Make = Callable[[], bytes]


def new_token() -> str:
    """The secret of a run: who goes on with it, and the key of what it invents and commits to."""
    return secrets.token_hex(_TOKEN_BYTES)


class RunFolder:
    """One run at a time; the same command on the same folder goes on where it was ended. `token` is a secret of this run.

    Without a path nothing is written and nothing can go on.
    """

    def __init__(self, path: Path | None, manifest: Mapping[str, Any]) -> None:
        """Raises ConsentError when the folder holds another run, is in use, or is damaged."""
        self.path = path
        self.token = new_token()
        self._lock: int | None = None
        if path is None:
            return
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ConsentError(f"{path} is in use by another run") from None
        except OSError as error:
            self.close()
            raise ConsentError(f"{path}: {error.strerror}") from None
        try:
            self._settle(path, manifest)
        except BaseException:
            self.close()
            raise

    def _settle(self, path: Path, manifest: Mapping[str, Any]) -> None:
        if not (path / MANIFEST).exists():
            strangers = [one for one in path.iterdir() if one.name != LOCK]
            if strangers:
                raise ConsentError(f"{path} is not empty and holds no run; name a new folder")
            self.write(MANIFEST, json.dumps({"format": FORMAT, "asked": self._mark(manifest), "token": self.token}).encode())
            return
        problem = ConsentError(f"{path / MANIFEST} is no {FORMAT}; name a new folder")
        try:
            content = json.loads(read_bounded(path / MANIFEST, "the run", private=True))
        except (ValueError, RecursionError):
            raise problem from None
        if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("token"), str):
            raise problem
        self.token = content["token"]
        if content.get("asked") != self._mark(manifest):
            raise ConsentError(f"{path} holds a run of another request, model or plan; name a new folder")

    def _mark(self, manifest: Mapping[str, Any]) -> str:
        """Keyed: what was asked may be told from few possibilities."""
        return hmac.digest(self.token.encode(), json.dumps(manifest, sort_keys=True).encode(), hashlib.sha256).hex()

    def keep(self, name: str, make: Make) -> bytes:
        """What `make` gives, made once a run. Names are digests."""
        if self.path is None:
            return make()
        path = self.path / KEPT / hashlib.sha256(name.encode()).hexdigest()[:32]
        if path.exists():
            return read_bounded(path, "a kept part", limit=MAX_PART)
        data = make()
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConsentError(f"{path.parent}: {error.strerror}") from None
        self.write(f"{KEPT}/{path.name}", data)
        return data

    def write(self, name: str, data: bytes) -> None:
        """A file of the run, whole or not at all; replaces what a former run of it left. Mode 0600."""
        if self.path is None:
            return
        path = self.path / name
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError as error:
            raise ConsentError(f"{path}: {error.strerror}") from None
        finally:
            beside.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None) -> None:
        self.close()
