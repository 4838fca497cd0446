"""What is to be verified, collected from the files and folders a reader names. Every size is bounded before it is read.

A run folder is entered through its `public/` half; `private/` is never opened. Links inside folders are refused: they could
lead anywhere.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from zk.protocol.errors import ZkError
from zk.protocol.params import MAX_PROOF_BYTES, MAX_STATEMENT_BYTES

STATEMENT, PROOF, RECORD = ".stmt", ".proof", ".record"
REGISTRATION, DESCRIPTIONS = "registration.bin", ("run.json", "dataset.json", "model.json")
ENVELOPE = "report.dsse.json"
MAX_FILES = 1 << 15
MAX_FOLDER_DEPTH = 8
MAX_TOTAL_BYTES = 1 << 33
MAX_SMALL_BYTES = 1 << 20
LIMITS = {STATEMENT: MAX_STATEMENT_BYTES, PROOF: MAX_PROOF_BYTES}


class InputError(ZkError):
    """A path cannot be read as something to verify; this says nothing about any claim."""


@dataclass
class Collected:
    """Bytes by display name. `lonely` are halves of pairs whose other half is missing; `signed` counts report envelopes,
    whose signatures this room cannot check."""

    pairs: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    registrations: dict[str, bytes] = field(default_factory=dict)
    descriptions: dict[str, bytes] = field(default_factory=dict)
    lonely: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    n_files: int = 0
    n_bytes: int = 0


def collect(paths: list[Path]) -> Collected:
    """Read every path: `.record`, `.stmt` or `.proof` (with its other half beside it), or a folder that holds such files.

    Raises `InputError` naming the path and what to do.
    """
    out = Collected()
    for path in paths:
        try:
            if path.is_dir():
                _add_folder(out, path)
            elif path.exists():
                _add_file(out, path)
            else:
                raise InputError(f"{path} does not exist; name a proof, a commitment record or a folder that holds them")
        except OSError as error:
            raise InputError(f"{error.filename or path} cannot be read: {error.strerror}") from None
    return out


def read_bounded(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """The bytes of an ordinary file of at most `limit` bytes. Raises `InputError`."""
    mode = path.stat() if follow else path.lstat()
    if not stat.S_ISREG(mode.st_mode):
        what = "a link" if stat.S_ISLNK(mode.st_mode) else "not an ordinary file"
        raise InputError(f"{path} is {what}; put the file itself there")
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InputError(f"{path} has more than {limit} bytes, the most such a file may have")
    return data


def _read(out: Collected, path: Path, follow: bool = False) -> bytes:
    data = read_bounded(path, LIMITS.get(path.suffix, MAX_SMALL_BYTES), follow=follow)
    out.n_files += 1
    out.n_bytes += len(data)
    if out.n_files > MAX_FILES or out.n_bytes > MAX_TOTAL_BYTES:
        raise InputError(f"more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes; verify in smaller sets")
    return data


def _add_file(out: Collected, path: Path) -> None:
    if path.suffix in (STATEMENT, PROOF):
        halves = path.with_suffix(STATEMENT), path.with_suffix(PROOF)
        for half in halves:
            if not half.exists():
                raise InputError(f"{half} is missing; a statement and its proof lie side by side under one name")
        _add_pair(out, path.stem, path.parent.name, _read(out, halves[0], True), _read(out, halves[1], True))
    elif path.suffix == RECORD:
        _add_named(out.records, path.stem, path.parent.name, _read(out, path, True))
    elif path.name == REGISTRATION:
        _add_named(out.registrations, path.stem, path.parent.name, _read(out, path, True))
    else:
        raise InputError(f"{path} is nothing that can be verified; name a .stmt, .proof or .record file, or a folder of them")


def _add_folder(out: Collected, folder: Path) -> None:
    root = folder / "public" if (folder / "public").is_dir() else folder
    owner = folder.resolve().name
    before = out.n_files + len(out.lonely)
    _walk(out, root, owner, MAX_FOLDER_DEPTH)
    if out.n_files + len(out.lonely) == before:
        raise InputError(f"{folder} holds no statement, proof, commitment record or registration")


def _walk(out: Collected, folder: Path, owner: str, depth: int) -> None:
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    names = {entry.name for entry in entries}
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if entry.name == "private":
                continue
            if depth == 0:
                raise InputError(f"{path} lies more than {MAX_FOLDER_DEPTH} folders deep")
            _walk(out, path, owner, depth - 1)
        elif path.suffix == STATEMENT and path.with_suffix(PROOF).name in names:
            _add_pair(out, path.stem, owner, _read(out, path), _read(out, path.with_suffix(PROOF)))
        elif path.suffix in (STATEMENT, PROOF):
            other = path.with_suffix(PROOF if path.suffix == STATEMENT else STATEMENT)
            if other.name not in names:
                out.lonely.append(path.name)
        elif path.suffix == RECORD:
            _add_named(out.records, path.stem, owner, _read(out, path))
        elif path.name == REGISTRATION:
            _add_named(out.registrations, path.stem, owner, _read(out, path))
        elif path.name in DESCRIPTIONS:
            _add_named(out.descriptions, path.name, owner, _read(out, path))
        elif path.name == ENVELOPE:
            out.signed.append(str(path))
        if out.n_files + len(out.lonely) > MAX_FILES:
            raise InputError(f"{folder}: more than {MAX_FILES} files; verify in smaller sets")


def _add_pair(out: Collected, name: str, owner: str, statement: bytes, proof: bytes) -> None:
    key, pair = name, (statement, proof)
    while out.pairs.get(key, pair) != pair:
        key = f"{owner}/{key}" if key == name else f"{key}'"
    out.pairs[key] = pair


def _add_named(target: dict[str, bytes], name: str, owner: str, data: bytes) -> None:
    key = name
    while target.get(key, data) != data:
        key = f"{owner}/{key}" if key == name else f"{key}'"
    target[key] = data
