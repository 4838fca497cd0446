"""Secrets the service keeps for their owners, as files of mode 0600: watermark keys, the API keys of model endpoints, and
personal values and private records, sealed.

Nothing of them is in the database, in logs or in reports. Whoever can read this folder can forge marks and spend the quota of
endpoints; the operator's backups of it need the same care as the service's own signing key, which opens what is sealed.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import KeyFileError, RequestError, StorageError

if TYPE_CHECKING:
    from audit.sealing import Sealer
    from watermark.keys import WatermarkKey

MAX_API_KEY_CHARS = 4096
SEALED_SUFFIX = ".sealed"


class Vault:
    """The folder of secrets: `watermark/COMMITMENT.json`, `endpoints/MODEL_ID.key` and `sealed/DIGEST.sealed`."""

    def __init__(self, root: Path, sealer: Sealer) -> None:
        self._watermark, self._endpoints, self._sealed = root / "watermark", root / "endpoints", root / "sealed"
        self.sealer = sealer
        for folder in (self._watermark, self._endpoints, self._sealed):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # ------------------------------------------------------------------ watermark keys

    def add_watermark_key(self, key: WatermarkKey) -> None:
        """Keep a key under `file_of(key)`."""
        from watermark.keys import to_json

        _write(self._watermark / file_of(key), json.dumps(to_json(key), indent=2, allow_nan=False).encode("ascii") + b"\n")

    def read_watermark_key(self, name: str) -> WatermarkKey:
        """A key by the name of its file. Raises StorageError."""
        from watermark.errors import WatermarkError
        from watermark.keys import load_key

        try:
            return load_key(self._watermark / _checked(name))
        except WatermarkError:
            raise StorageError("the file of this watermark key is missing or damaged; upload the key again") from None

    def remove_watermark_key(self, name: str) -> None:
        """Forget a key; again is harmless."""
        (self._watermark / _checked(name)).unlink(missing_ok=True)

    # ------------------------------------------------------------------ endpoints

    def add_endpoint_key(self, model_id: str, text: str) -> None:
        """Keep the API key of an endpoint. Raises RequestError without showing it."""
        if not 0 < len(text) <= MAX_API_KEY_CHARS or not (text.isascii() and text.isprintable()) or " " in text:
            raise RequestError(f"api_key must be 1 to {MAX_API_KEY_CHARS} printable ASCII characters without spaces")
        _write(self._endpoints / _checked(f"{model_id}.key"), text.encode("ascii"))

    def read_endpoint_key(self, model_id: str) -> str | None:
        """The API key of an endpoint; None where none was given."""
        try:
            return (self._endpoints / _checked(f"{model_id}.key")).read_text("ascii")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyFileError(f"the key of this endpoint cannot be read: {error.strerror}") from None

    def remove_endpoint_key(self, model_id: str) -> None:
        """Forget the API key of an endpoint; again is harmless."""
        (self._endpoints / _checked(f"{model_id}.key")).unlink(missing_ok=True)

    # ------------------------------------------------------------------ sealed uploads

    def seal(self, digest: str, data: bytes) -> None:
        """Keep an upload sealed; what is written is never clear, not even for a moment. Again replaces it."""
        _write(self._sealed / _checked(f"{digest}{SEALED_SUFFIX}"), self.sealer.seal(digest, data))

    def unseal(self, digest: str) -> bytes:
        """The upload of a digest. Raises StorageError."""
        try:
            sealed = (self._sealed / _checked(f"{digest}{SEALED_SUFFIX}")).read_bytes()
        except OSError:
            raise StorageError("a sealed upload is not here any more; upload it again") from None
        return self.sealer.open(digest, sealed)

    def remove_sealed(self, digest: str) -> None:
        """Forget an upload; again is harmless."""
        (self._sealed / _checked(f"{digest}{SEALED_SUFFIX}")).unlink(missing_ok=True)

    def list_sealed(self) -> list[tuple[str, float]]:
        """Digest and age in seconds of every sealed upload, and of what a crash left of one (its name is then no digest)."""
        found, now = [], time.time()
        for path in self._sealed.iterdir():
            try:
                found.append((path.name.removesuffix(SEALED_SUFFIX), now - path.stat().st_mtime))
            except FileNotFoundError:
                continue
        return found

    def remove_stray(self, name: str) -> None:
        """Remove what `list_sealed` named, whatever it is."""
        for path in (self._sealed / name, self._sealed / f"{name}{SEALED_SUFFIX}"):
            if path.parent == self._sealed:
                path.unlink(missing_ok=True)


def _checked(name: str) -> str:
    """A plain file name: rows of the database name files, and must not lead out of the folder."""
    if "/" in name or name.startswith("."):
        raise StorageError("the database names a secret by something that is no file name")
    return name


def parse_watermark_key(document: Any) -> tuple[WatermarkKey, tuple[str, ...]]:
    """A key file's content as a key that opens, with its hazards. Raises RequestError without any of its values."""
    from watermark.errors import WatermarkError
    from watermark.keys import from_json

    try:
        key = from_json(document, "the uploaded key")
        return key, tuple(key.open().hazards())
    except WatermarkError as error:
        raise RequestError(str(error)) from None


def file_of(key: WatermarkKey) -> str:
    """The name of a key's file in the vault."""
    return f"{key.commitment}.json"


def _write(path: Path, data: bytes) -> None:
    """Write with mode 0600 from the first byte on, whole or not at all."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise StorageError(f"the folder of secrets cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
