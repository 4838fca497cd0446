"""Evidence files: named, bounded, and identified by their SHA-256.

A manifest is a sorted list of (name, sha256, size); its own digest identifies a whole set of files. Bytes lie in a
blob folder under their digest: what is read back is what was hashed, or an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from audit.canonical import canonical_bytes
from audit.errors import EvidenceError, RequestError
from audit.requests import parse_digest

MAX_FILES = 4096
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_TOTAL_BYTES = 1024 * 1024 * 1024
MAX_FILE_NAME_CHARS = 200

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*\Z")


@dataclass(frozen=True, order=True)
class FileRef:
    """One file of a manifest; `size` in bytes."""

    name: str
    sha256: str
    size: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "sha256": self.sha256, "size": self.size}


Manifest = tuple[FileRef, ...]


class BlobReader(Protocol):
    """Where bytes are read by digest. `read` verifies the digest and raises EvidenceError or StorageError."""

    def read(self, sha256: str) -> bytes: ...


def parse_file_name(value: Any) -> str:
    """A relative path without surprises: no '..', no leading dot or slash, ASCII. Raises EvidenceError."""
    if not isinstance(value, str) or len(value) > MAX_FILE_NAME_CHARS or not _FILE_NAME.match(value):
        shown = repr(value)[:80]
        raise EvidenceError(
            f"{shown} is not an accepted file name: letters, digits, '.', '_', '-' in parts separated by '/', "
            f"no part beginning with '.' or '-', at most {MAX_FILE_NAME_CHARS} characters"
        )
    return value


def parse_manifest(value: Any, *, max_files: int = MAX_FILES, max_bytes: int = MAX_TOTAL_BYTES) -> Manifest:
    """Read a list of `{"name", "sha256", "size"}`. Raises EvidenceError, naming the entry and the limit."""
    if not isinstance(value, list) or not value:
        raise EvidenceError("a manifest must be a non-empty list of files")
    if len(value) > max_files:
        raise EvidenceError(f"a manifest names at most {max_files} files, this one {len(value)}")
    return check_manifest((_parse_entry(entry, index) for index, entry in enumerate(value)), max_bytes)


def _parse_entry(entry: Any, index: int) -> FileRef:
    if not isinstance(entry, Mapping) or set(entry) != {"name", "sha256", "size"}:
        raise EvidenceError(f"entry {index} of the manifest must have exactly name, sha256 and size")
    size = entry["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_FILE_BYTES:
        raise EvidenceError(f"entry {index} of the manifest: size must be 0 to {MAX_FILE_BYTES} bytes")
    try:
        digest = parse_digest(entry["sha256"], f"entry {index} of the manifest: sha256")
    except RequestError as error:
        raise EvidenceError(str(error)) from error
    return FileRef(parse_file_name(entry["name"]), digest, size)


def check_manifest(files: Iterable[FileRef], max_bytes: int = MAX_TOTAL_BYTES) -> Manifest:
    """Sort and check a set of files: unique names, no name both file and folder, total size bounded."""
    manifest = tuple(sorted(files))
    names = {ref.name for ref in manifest}
    if len(names) != len(manifest):
        raise EvidenceError("a manifest names a file twice")
    folders = {ref.name[: match.start()] for ref in manifest for match in re.finditer("/", ref.name)}
    if names & folders:
        raise EvidenceError(f"{sorted(names & folders)[0]} is both a file and a folder")
    total = sum(ref.size for ref in manifest)
    if total > max_bytes:
        raise EvidenceError(f"the files have {total} bytes together; at most {max_bytes} are accepted")
    return manifest


def build_manifest(files: Mapping[str, bytes]) -> Manifest:
    """The manifest of files at hand. Raises EvidenceError on a bad name or a limit."""
    if len(files) > MAX_FILES:
        raise EvidenceError(f"at most {MAX_FILES} files are accepted, here are {len(files)}")
    for name, data in files.items():
        if len(data) > MAX_FILE_BYTES:
            raise EvidenceError(f"{name} has {len(data)} bytes; at most {MAX_FILE_BYTES} are accepted")
    return check_manifest(
        FileRef(parse_file_name(name), hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()
    )


def manifest_to_json(manifest: Manifest) -> list[dict[str, Any]]:
    """The list that `parse_manifest` reads."""
    return [ref.to_json() for ref in manifest]


def compute_manifest_digest(manifest: Manifest) -> str:
    """Hex SHA-256 of the canonical manifest: one identity for a whole set of files."""
    return hashlib.sha256(canonical_bytes(manifest_to_json(manifest))).hexdigest()


class StoredFiles(Mapping[str, bytes]):
    """The files of a manifest, read from a blob folder when asked for. Nothing is kept in memory."""

    def __init__(self, manifest: Manifest, blobs: BlobReader) -> None:
        self._refs = {ref.name: ref for ref in manifest}
        self._blobs = blobs

    def __getitem__(self, name: str) -> bytes:
        ref = self._refs[name]
        data = self._blobs.read(ref.sha256)
        if len(data) != ref.size:
            raise EvidenceError(f"{name} has {len(data)} bytes, its manifest says {ref.size}")
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)
