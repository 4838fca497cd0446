"""What `assay publish` reads: RUN/public, plain files only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api import publishing
from api.publishing import read_public_files, read_run_id
from audit.errors import AuditError, EvidenceError

RUN_ID = "ab" * 32


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "public/proofs").mkdir(parents=True)
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private/weights").write_bytes(b"secret")
    (tmp_path / "public/run.json").write_text(f'{{"run_id": "{RUN_ID}"}}')
    (tmp_path / "public/proofs/a.stmt").write_bytes(b"s")
    return tmp_path


def test_exactly_the_public_files_are_read(run: Path) -> None:
    assert sorted(read_public_files(run)) == ["proofs/a.stmt", "run.json"]
    assert read_run_id(run) == RUN_ID


@pytest.mark.parametrize("target", ["../private/weights", "../../private", "run.json"])
def test_links_are_refused(run: Path, target: str) -> None:
    (run / "public/proofs/link").symlink_to(target)
    with pytest.raises(EvidenceError, match="is a link"):
        read_public_files(run)


def test_pipes_and_large_files_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(run / "public/pipe")
    with pytest.raises(EvidenceError, match="no ordinary file"):
        read_public_files(run)
    (run / "public/pipe").unlink()
    monkeypatch.setattr(publishing, "MAX_FILE_BYTES", 3)
    with pytest.raises(EvidenceError, match="beyond"):
        read_public_files(run)


def test_hidden_files_are_refused(run: Path) -> None:
    (run / "public/.hidden").write_bytes(b"x")
    with pytest.raises(EvidenceError, match="file name"):
        read_public_files(run)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run_id": 1}', '{"run_id": "short"}', '{"run_id": "' + "AB" * 32 + '"}'])
def test_a_broken_description_names_its_file(run: Path, content: str) -> None:
    (run / "public/run.json").write_text(content)
    with pytest.raises(AuditError, match=r"run\.json"):
        read_run_id(run)


def test_other_folders_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="not a run folder"):
        read_public_files(tmp_path)
    with pytest.raises(EvidenceError, match="name the folder of a run"):
        read_run_id(tmp_path)
