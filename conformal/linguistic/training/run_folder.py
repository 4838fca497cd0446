"""The folder of a run: what it is a run of, which stages are done, and their results. A killed run goes on where it was.

Layout: `run.json` (identity), `paragraphs.jsonl` (stage one's data), `supervised/` and `reinforced/` (Hugging Face directories),
`checkpoints/` (of the stage under way), `report.json`. Everything is written beside and renamed. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conformal.linguistic.training.questions import MAX_FILE_BYTES, TrainingError

STAGES = ("paragraphs", "supervised", "reinforced", "report")
_CHUNK = 1 << 20


def digest_of_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of a model directory's files. Raises OSError."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        content = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
        digest.update(f"{path.name}\0{content.hexdigest()}\n".encode())
    return digest.hexdigest()


class RunFolder:
    """One run, opened for writing by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def paragraphs(self) -> Path:
        """Stage one's training data."""
        return self.path / "paragraphs.jsonl"

    @property
    def supervised(self) -> Path:
        """The model after stage one."""
        return self.path / "supervised"

    @property
    def reinforced(self) -> Path:
        """The model after stage two."""
        return self.path / "reinforced"

    def checkpoints(self, stage: str) -> Path:
        """Where a stage keeps its checkpoints."""
        return self.path / "checkpoints" / stage

    @contextmanager
    def opened(self, identity: Mapping[str, Any]) -> Iterator[None]:
        """Hold the folder for a run of this identity. Raises TrainingError when it belongs to another run or another process."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TrainingError(f"{self.path} is in use by another training") from None
            self._claim(identity)
            yield

    def done(self, stage: str) -> bool:
        """Whether a stage was finished."""
        return (self.path / f".{stage}.done").is_file()

    def finish(self, stage: str) -> None:
        """Mark a stage as finished and drop its checkpoints."""
        (self.path / f".{stage}.done").touch()
        shutil.rmtree(self.checkpoints(stage), ignore_errors=True)

    def write(self, name: str, text: str) -> None:
        """A file, whole or not at all."""
        beside = self.path / f".{name}.part"
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, self.path / name)

    def read_lines(self, path: Path) -> list[dict[str, Any]]:
        """JSON lines that an earlier call wrote. Raises TrainingError when they were changed into something else."""
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TrainingError(f"{path} is too large; remove {self.path} and start again")
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (ValueError, RecursionError):
            raise TrainingError(f"{path} was changed; remove {self.path} and start again") from None
        if not all(isinstance(row, dict) for row in rows):
            raise TrainingError(f"{path} was changed; remove {self.path} and start again")
        return rows

    def report(self) -> dict[str, Any]:
        """The finished run's report. Raises TrainingError."""
        try:
            report: dict[str, Any] = json.loads((self.path / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise TrainingError(f"{self.path} holds no readable report.json; remove it and start again") from None
        return report

    def _claim(self, identity: Mapping[str, Any]) -> None:
        file = self.path / "run.json"
        if not file.exists():
            strangers = [path.name for path in self.path.iterdir() if path.name != ".lock"]
            if strangers:
                raise TrainingError(f"{self.path} holds other files ({min(strangers)}); name an empty or a new folder")
            self.write("run.json", json.dumps(identity, indent=1, sort_keys=True))
            return
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            raise TrainingError(f"{file} is damaged; remove {self.path} and start again") from None
        wanted = json.loads(json.dumps(identity))
        if found != wanted:
            changed = [k for k in wanted if not isinstance(found, dict) or found.get(k) != wanted[k]]
            raise TrainingError(f"{self.path} holds another run ({', '.join(changed)} differ); name another folder")
