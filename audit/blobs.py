"""The blob folder: bytes under their SHA-256, written once, verified when read.

Whoever controls the folder can delete blobs; altered bytes no longer match their name and are refused.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from audit.errors import EvidenceError, NotFoundError, StorageError
from audit.evidence import MAX_FILE_BYTES

MIN_FREE_BYTES = 64 * 1024 * 1024
CHECK_EVERY_BYTES = 4 * 1024 * 1024


class BlobFolder:
    """Content-addressed files below one folder, `ab/cdef...`. Safe for many processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the blob lies, whether or not it exists. `sha256` must be 64 hex digits already checked."""
        return self.root / sha256[:2] / sha256[2:]

    def size(self, sha256: str) -> int | None:
        """Size in bytes, or None when there is no such blob."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, sha256: str) -> bytes:
        """The bytes. Raises NotFoundError, or StorageError when they no longer match their digest."""
        try:
            data = self.path(sha256).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no blob {sha256}; upload it first") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StorageError(f"the stored blob {sha256} is damaged; restore it from a backup")
        return data

    def put(self, data: bytes) -> str:
        """Store bytes and give their digest."""
        sha256 = hashlib.sha256(data).hexdigest()
        with BlobWriter(self, sha256, len(data)) as writer:
            writer.write(data)
        return sha256


class BlobWriter:
    """Takes a blob in pieces, and keeps it only if digest and bounds are right when the `with` block ends.

    Raises EvidenceError on too many bytes or another digest, StorageError when the disk is full.
    """

    def __init__(self, folder: BlobFolder, sha256: str, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._folder, self._sha256, self._max_bytes = folder, sha256, max_bytes
        self._hash, self.size = hashlib.sha256(), 0
        self._checked = 0
        self._demand_space()
        handle, name = tempfile.mkstemp(prefix=".upload-", dir=folder.root)
        self._file, self._temporary = os.fdopen(handle, "wb"), Path(name)

    def __enter__(self) -> BlobWriter:
        return self

    def write(self, chunk: bytes) -> None:
        """Append a piece."""
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise EvidenceError(f"a file has at most {self._max_bytes} bytes")
        self._hash.update(chunk)
        if self.size - self._checked >= CHECK_EVERY_BYTES:
            self._checked = self.size
            self._demand_space()
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _explain(error) from error

    def _demand_space(self) -> None:
        """The database lies on the same disk: uploads stop while it still has room to write."""
        if shutil.disk_usage(self._folder.root).free < MIN_FREE_BYTES:
            raise StorageError("the disk of the service is full; free some space and upload again")

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._keep()
        finally:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _keep(self) -> None:
        found = self._hash.hexdigest()
        if found != self._sha256:
            raise EvidenceError(f"the bytes have the SHA-256 {found}, not {self._sha256}")
        target = self._folder.path(self._sha256)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            target.parent.mkdir(mode=0o700, exist_ok=True)
            os.replace(self._temporary, target)
        except OSError as error:
            raise _explain(error) from error


def _explain(error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError("the disk of the service is full; free some space and upload again")
    return StorageError(f"the blob folder cannot be written: {error.strerror}")
