"""A run folder: a manifest that says what the run is, and one JSON line for every finished item. Survives a kill at any moment.

Lines are appended in one write and synced; a line that a kill cut short is dropped at the next opening and its work done again.
One process at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from conformal.documents import canonical
from conformal.pipeline.errors import PipelineError

MANIFEST, ITEMS, LOCK = "manifest.json", "items.jsonl", "run.lock"
MAX_ITEMS_BYTES = 8 << 30
MAX_MANIFEST_BYTES = 16 << 20
Key = tuple[str, str, str]


def canonical_line(value: Any) -> str:
    """The one spelling of a JSON value on a line of its own."""
    return canonical(value).decode("ascii") + "\n"


def write_whole(path: Path, content: str) -> None:
    """Replace a file at once: a reader sees the old or the new content, never a part."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as stream:
        stream.write(content.encode("ascii"))
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)


class Journal:
    """The finished items of a run, by (stage, output id, part). Close it after use."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Opens or begins the run. Raises PipelineError when the folder holds another run, is in use, or is damaged."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise PipelineError(f"{folder} is in use by another run") from None
        try:
            _settle_manifest(folder, manifest)
            self._items = _read_items(folder / ITEMS)
            self._descriptor = os.open(folder / ITEMS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except BaseException:
            self._lock.close()
            raise

    def __contains__(self, key: Key) -> bool:
        return key in self._items

    def __getitem__(self, key: Key) -> Any:
        return self._items[key]

    def __len__(self) -> int:
        return len(self._items)

    def put(self, items: Iterable[tuple[Key, Any]]) -> None:
        """Record finished items in one append. Those recorded before are left as they are."""
        fresh = [(key, value) for key, value in items if key not in self._items]
        text = "".join(canonical_line({"stage": k[0], "id": k[1], "part": k[2], "value": value}) for k, value in fresh)
        data = text.encode("ascii")
        size = os.fstat(self._descriptor).st_size
        if size + len(data) > MAX_ITEMS_BYTES:
            raise PipelineError(f"the run has more than {MAX_ITEMS_BYTES} bytes of items; split the prompts into several runs")
        try:
            if data and os.write(self._descriptor, data) != len(data):
                raise OSError(28, "No space left on device", str(self.folder / ITEMS))
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise
        self._items.update(fresh)

    def close(self) -> None:
        os.close(self._descriptor)
        self._lock.close()


def _settle_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    path, wanted = folder / MANIFEST, canonical_line(manifest)
    if not path.exists():
        if (folder / ITEMS).exists():
            raise PipelineError(f"{folder} holds items without a manifest; name another folder")
        write_whole(path, wanted)
        return
    try:
        with path.open("rb") as stream:
            found = json.loads(stream.read(MAX_MANIFEST_BYTES))
        differing = sorted(name for name in {*found, *manifest} if canonical(found.get(name)) != canonical(manifest.get(name)))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise PipelineError(f"{path} is damaged; name another folder") from None
    if differing:
        raise PipelineError(f"{folder} holds a run with other {', '.join(differing)[:200]}; name another folder for this one")


def _read_items(path: Path) -> dict[Key, Any]:
    if not path.exists():
        return {}
    if path.stat().st_size > MAX_ITEMS_BYTES:
        raise PipelineError(f"{path} is larger than {MAX_ITEMS_BYTES} bytes")
    items: dict[Key, Any] = {}
    whole = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                row = json.loads(line.decode("ascii"))
                key = (str(row["stage"]), str(row["id"]), str(row["part"]))
                value = row["value"]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise PipelineError(f"{path}, line {number} is damaged; name another folder, or cut the file there") from None
            if key in items:
                raise PipelineError(f"{path}, line {number} repeats an item; name another folder, or cut the file there")
            items[key] = value
    if whole < path.stat().st_size:
        os.truncate(path, whole)
    return items
