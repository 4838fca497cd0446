"""Evidence: names, bounds, manifests, the blob folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from audit import blobs, evidence
from audit.blobs import BlobFolder, BlobWriter
from audit.errors import EvidenceError, NotFoundError, StorageError
from audit.evidence import (
    FileRef,
    StoredFiles,
    build_manifest,
    compute_manifest_digest,
    manifest_to_json,
    parse_file_name,
    parse_manifest,
)

DIGEST = hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("name", ["a", "a.b", "proofs/seg-0.proof", "A_1/b/c", "_x"])
def test_plain_names_are_accepted(name: str) -> None:
    assert parse_file_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "/a", "a//b", "a/", ".a", "a/.b", "-a", "a b", "a\n", "a\\b", "é", "a" * 201, 7,
     None, "a:b"],
)  # fmt: skip
def test_surprising_names_are_refused(name: object) -> None:
    with pytest.raises(EvidenceError):
        parse_file_name(name)


def test_a_manifest_reads_back_and_has_one_digest() -> None:
    manifest = build_manifest({"b": b"2", "a": b"1"})
    assert [ref.name for ref in manifest] == ["a", "b"]
    assert parse_manifest(list(reversed(manifest_to_json(manifest)))) == manifest
    other = build_manifest({"b": b"2", "a": b"3"})
    assert compute_manifest_digest(manifest) != compute_manifest_digest(other)


@pytest.mark.parametrize(
    "entries",
    [
        None, [], {}, [1], [{}], [{"name": "a", "sha256": DIGEST}],
        [{"name": "a", "sha256": DIGEST, "size": -1}], [{"name": "a", "sha256": DIGEST, "size": True}],
        [{"name": "a", "sha256": DIGEST, "size": evidence.MAX_FILE_BYTES + 1}],
        [{"name": "a", "sha256": DIGEST.upper(), "size": 1}], [{"name": "a", "sha256": DIGEST, "size": 1, "x": 1}],
        [{"name": "a", "sha256": DIGEST, "size": 1}] * 2,
        [{"name": "a", "sha256": DIGEST, "size": 1}, {"name": "a/b", "sha256": DIGEST, "size": 1}],
        [{"name": f"f{i}", "sha256": DIGEST, "size": 1} for i in range(evidence.MAX_FILES + 1)],
        [{"name": f"f{i}", "sha256": DIGEST, "size": evidence.MAX_FILE_BYTES} for i in range(5)],
    ],
)  # fmt: skip
def test_bad_manifests_are_refused(entries: object) -> None:
    with pytest.raises(EvidenceError):
        parse_manifest(entries)


def test_blobs_are_read_back_or_refused(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path)
    assert folder.put(b"abc") == DIGEST and folder.put(b"abc") == DIGEST
    assert folder.read(DIGEST) == b"abc" and folder.size(DIGEST) == 3
    folder.path(DIGEST).write_bytes(b"abd")
    with pytest.raises(StorageError, match="damaged"):
        folder.read(DIGEST)
    with pytest.raises(NotFoundError):
        folder.read("00" * 32)
    assert folder.size("00" * 32) is None


def test_a_writer_keeps_only_what_was_promised(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path)
    with pytest.raises(EvidenceError, match="SHA-256"), BlobWriter(folder, DIGEST) as writer:
        writer.write(b"abd")
    with pytest.raises(EvidenceError, match="at most 2 bytes"), BlobWriter(folder, DIGEST, 2) as writer:
        writer.write(b"ab")
        writer.write(b"c")
    with pytest.raises(KeyError), BlobWriter(folder, DIGEST) as writer:
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BlobFolder(tmp_path)
    monkeypatch.setattr(blobs, "MIN_FREE_BYTES", 1 << 62)
    with pytest.raises(StorageError, match="disk of the service is full"):
        folder.put(b"abc")


def test_stored_files_check_size_and_digest(tmp_path: Path) -> None:
    folder = BlobFolder(tmp_path)
    folder.put(b"abc")
    files = StoredFiles((FileRef("x", DIGEST, 3),), folder)
    assert dict(files) == {"x": b"abc"} and len(files) == 1 and "y" not in files
    with pytest.raises(EvidenceError, match="manifest says 4"):
        StoredFiles((FileRef("x", DIGEST, 4),), folder)["x"]
