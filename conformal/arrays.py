"""Claims as bare arrays (.npz): labels and scores without text, as published for medical answers (arXiv 2406.09714).

`offsets` (n + 1), `is_supported` (bool, m), one array of m numbers a score, optionally `features` (n x 9, the last four being
0/1 columns of the source). Loaded without pickle.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from conformal.claims import MAX_CLAIMS, MAX_OUTPUTS, ClaimTable
from conformal.errors import LedgerError

SOURCES = ("HealthSearchQA", "K-QA Golden", "K-QA Silver", "LiveQA")
OTHER_SOURCE = "MedicationQA"
_RESERVED = ("offsets", "is_supported", "features")


def read_arrays(path: Path) -> ClaimTable:
    """The table of an .npz file. Raises LedgerError that names the array at fault."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise LedgerError(f"{path} is not a readable .npz file of plain arrays: {type(error).__name__}") from None
    for name in ("offsets", "is_supported"):
        if name not in arrays:
            raise LedgerError(f"{path} lacks the array {name}")
    offsets, truth = arrays.pop("offsets"), arrays.pop("is_supported")
    _check_offsets(path, offsets, len(truth))
    if truth.dtype != np.bool_:
        raise LedgerError(f"{path}: is_supported must hold booleans, not {truth.dtype}")
    groups = _groups(path, arrays.pop("features", None), len(offsets) - 1)
    for name, values in arrays.items():
        if values.shape != truth.shape or not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
            raise LedgerError(f"{path}: {name} must hold one finite number a claim")
    return ClaimTable(
        ids=tuple(str(i) for i in range(len(offsets) - 1)),
        offsets=offsets.astype(np.int64),
        scores={name: values.astype(np.float64) for name, values in arrays.items()},
        labels=tuple("Y" if label else "N" for label in truth),
        groups=groups,
    )


def hash_jitter(scores: npt.NDArray[np.float64], width: float = 1e-3) -> npt.NDArray[np.float64]:
    """Ties broken by a fixed hash of the claim's position: claim i gets width * ((i * 2654435761) mod 2^32) / 2^32."""
    positions = np.arange(len(scores), dtype=np.uint64)
    return np.asarray(scores + width * ((positions * np.uint64(2654435761)) % np.uint64(1 << 32)).astype(np.float64) / 2.0**32)


def _check_offsets(path: Path, offsets: npt.NDArray[np.int64], n_claims: int) -> None:
    whole = offsets.ndim == 1 and np.issubdtype(offsets.dtype, np.integer) and 1 <= len(offsets) <= MAX_OUTPUTS + 1
    if not whole or n_claims > MAX_CLAIMS or offsets[0] != 0 or offsets[-1] != n_claims or (np.diff(offsets) < 0).any():
        raise LedgerError(f"{path}: offsets must rise from 0 to the number of claims ({n_claims})")


def _groups(path: Path, features: npt.NDArray[np.float64] | None, n: int) -> tuple[str | None, ...]:
    if features is None:
        return (None,) * n
    if features.ndim != 2 or len(features) != n or features.shape[1] < 9:
        raise LedgerError(f"{path}: features must have one row an output and 9 columns")
    flags = features[:, 5:9]
    named = np.where(flags.any(axis=1), np.array(SOURCES)[flags.argmax(axis=1)], OTHER_SOURCE)
    return tuple(str(name) for name in named)
