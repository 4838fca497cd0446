"""The integer hash of lm-watermarking and transformers: a fixed permutation of 1,000,003 numbers, H(x) = table[x mod size] + 1.

lm-watermarking shuffles it with the seed 2971215073, transformers with the hashing key. Source: alternative_prf_schemes.py,
`hashint`, at fb602de; transformers 5.23.0, logits_process.py.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from watermark.kernels.green_list import permutation

TABLE_SIZE = 1_000_003
LM_SEED = 2971215073
# H(0) of lm-watermarking, which no key changes.
H_OF_ZERO = 250535
_LM_SHA256 = "3d5acae4e81785ed9c585698e5ddecf8cc202d519e77f1455c23e5568bd2e1b5"  # of the table as little-endian int64

Ints = npt.NDArray[np.int64]


@lru_cache(maxsize=4)
def fixed_table(seed: int = LM_SEED) -> Ints:
    """The table of a seed (int64, TABLE_SIZE). lm-watermarking's is kept in the user's cache folder, as shuffling takes 0.4 s."""
    if seed != LM_SEED:
        return permutation(seed, TABLE_SIZE)
    path = _cache_folder() / "lm-hash-table.bin"
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if hashlib.sha256(data).hexdigest() == _LM_SHA256:
        return np.frombuffer(data, dtype="<i8").astype(np.int64)
    table = permutation(seed, TABLE_SIZE)
    _keep(path, table.astype("<i8").tobytes())
    return table


def hash_int(values: Ints, seed: int = LM_SEED) -> Ints:
    """H(x) of every entry; negative x wrap around as in Python."""
    return fixed_table(seed)[values % TABLE_SIZE] + 1


def _cache_folder() -> Path:
    named = os.environ.get("ASSAY_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay"


def _keep(path: Path, data: bytes) -> None:
    """Write the cache if that is possible; it is checked when read, so whoever can write there can only make it slow."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except (OSError, RuntimeError):
        return
