"""Uploads leave room for the database, which lies on the same disk."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from audit.blobs import CHECK_EVERY_BYTES, MIN_FREE_BYTES, BlobFolder, BlobWriter
from audit.errors import StorageError

Usage = namedtuple("Usage", "total used free")


def test_a_disk_that_fills_up_during_an_upload_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BlobFolder(tmp_path / "blobs")
    free = iter([MIN_FREE_BYTES, MIN_FREE_BYTES - 1])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, next(free)))
    with pytest.raises(StorageError, match="full"), BlobWriter(folder, "00" * 32) as writer:
        writer.write(bytes(CHECK_EVERY_BYTES))
    assert not list(folder.root.iterdir())
