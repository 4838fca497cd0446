"""Private openings on disk: the committed integers and the seed of a long-lived tableau (PROTOCOL 4.2, 4.4).

Whoever reads such a file knows the committed data. Files are 0600, written atomically, and re-create exactly the record
they were saved for or are refused.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np

from zk.protocol.errors import ProvingError, VerificationError
from zk.protocol.layout import layout_of
from zk.protocol.record import Record
from zk.prover.commitment import StoreTableau, commit_store, profile_named

Array = np.ndarray


def write_private(path: Path, data: bytes) -> None:
    """Atomic write of a file only its owner can read. A full disk leaves the previous file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ProvingError(f"cannot write {path}: {error.strerror}; nothing was changed, free space and run again") from error


def save_opening(path: Path, tableau: StoreTableau) -> None:
    """Write names, shapes, integers, seed and record of a long-lived tableau."""
    head = {
        "record": tableau.record.encode().hex(),
        "seed": tableau.seed.hex(),
        "tensors": [[item.name, list(item.shape)] for item in tableau.layout.tensors],
    }
    buffer = io.BytesIO()
    arrays = {f"tensor_{name}": values for name, values in tableau.tensors.items()}
    np.savez_compressed(buffer, head=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
    write_private(path, buffer.getvalue())


def load_opening(path: Path) -> StoreTableau:
    """Re-create the tableau. Raises `ProvingError` if the file is missing, damaged or does not give its own record."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            head = json.loads(archive["head"].tobytes())
            tensors = {name: archive[f"tensor_{name}"].astype(np.int64) for name, _ in head["tensors"]}
        record = Record.decode(bytes.fromhex(head["record"]))
        shapes = [(str(name), tuple(int(size) for size in shape)) for name, shape in head["tensors"]]
        seed = bytes.fromhex(head["seed"])
    except FileNotFoundError as error:
        raise ProvingError(f"the private opening {path} is missing; proofs about this commitment need it") from error
    except (OSError, ValueError, KeyError, TypeError, VerificationError) as error:
        raise ProvingError(f"the private opening {path} is damaged ({error}); restore it from a backup") from error
    profile = profile_named(record.profile)
    tableau = commit_store(layout_of(shapes, profile.l), profile, tensors, record.kind, record.context, seed=seed)
    if tableau.record != record:
        raise ProvingError(f"the private opening {path} does not give the record it was saved for; restore it from a backup")
    return tableau


def refreshed(tableau: StoreTableau) -> StoreTableau:
    """The same message under a new seed and context zero, for a REFRESH."""
    context = bytes(32)
    return commit_store(tableau.layout, tableau.profile, tableau.tensors, tableau.record.kind, context)
