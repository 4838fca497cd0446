"""Files that hold personal values or keys: bounded, mode 0600 from the first byte on, never overwritten, erased on request."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from privacy.errors import ConsentError

MAX_BYTES = 1 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_UNUSABLE = "the path holds characters that no path can have"


def read_bounded(path: Path, what: str, *, private: bool = False, limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file. Raises ConsentError when it is missing, too large, or (`private`) open to others."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ConsentError(f"{what} {path}: {error.strerror}") from None
    except ValueError:  # NUL characters and half surrogate pairs
        raise ConsentError(f"{what}: {_UNUSABLE}") from None
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise ConsentError(f"{what} {path} is no regular file")
        if private and mode & _OTHERS:
            raise ConsentError(f"{what} {path} is open to others (mode {mode & 0o777:04o}); run: chmod 600 {path}")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(handle)
    if len(data) > limit:
        raise ConsentError(f"{what} {path} is larger than {limit} bytes")
    return data


def check_new(*paths: Path) -> None:
    """Raises ConsentError where one of the paths is taken, or two are the same."""
    if len(set(paths)) != len(paths):
        raise ConsentError("two outputs have the same name")
    for path in paths:
        if os.path.lexists(path):
            raise ConsentError(f"{path} exists and is not overwritten: choose another name")


def write_new(path: Path, data: bytes, *, private: bool) -> None:
    """Write a new file whole or not at all, `private` with mode 0600. Raises ConsentError when the path is taken."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(beside, flags, 0o600 if private else 0o644), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)  # unlike a rename, never replaces what is there
    except FileExistsError:
        raise ConsentError(f"{path} exists and is not overwritten: choose another name") from None
    except OSError as error:
        raise ConsentError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ConsentError(_UNUSABLE) from None
    finally:
        _remove(beside)


def erase(path: Path) -> None:
    """Overwrite a file with zeros, then remove it. Raises ConsentError.

    What a copy-on-write or journalling file system, a flash drive or a backup still holds is out of reach.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_NOFOLLOW), "wb") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        raise ConsentError(f"{path} could not be erased: {error.strerror}") from None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except (OSError, ValueError):
        return
