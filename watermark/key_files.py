"""Key files: bounded, readable by their owner only, never overwritten."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from watermark.errors import KeyFileError

MAX_KEY_FILE_BYTES = 1 << 16
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> bytes:
    """The content of a private file. Raises KeyFileError when it is missing, no regular file, too large or open to others."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    except ValueError:  # NUL characters and half surrogate pairs
        raise KeyFileError("the path of the key file holds characters that no path can have") from None
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise KeyFileError(f"{path} is no regular file; name a key file")
        if mode & _OTHERS:
            raise KeyFileError(f"{path} is open to others (mode {mode & 0o777:04o}); run: chmod 600 {path}")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > MAX_KEY_FILE_BYTES:
        raise KeyFileError(f"{path} is larger than {MAX_KEY_FILE_BYTES} bytes; it is no key file")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600, whole or not at all. Raises KeyFileError when the path exists or cannot be written."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)  # unlike a rename, never replaces what is there
    except FileExistsError:
        raise KeyFileError(f"{path} exists; keys are never overwritten: choose another name") from None
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
