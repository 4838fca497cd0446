"""Secret randomness: one seed a tableau, one domain a use (PROTOCOL 4.2)."""

from __future__ import annotations

import hashlib
import os

import numpy as np

from zk.protocol.field import P
from zk.protocol.hashing import EXPANSION, SALT_BYTES

Array = np.ndarray


def fresh_seed(*bound: bytes) -> bytes:
    """H(32 fresh random bytes | bound...): a seed cannot repeat for another message even if the system's generator does."""
    return hashlib.sha256(os.urandom(32) + b"".join(bound)).digest()


def expand_bytes(seed: bytes, use: str, n_bytes: int) -> bytes:
    return hashlib.shake_256(EXPANSION + seed + use.encode("ascii")).digest(n_bytes)


def expand_field(seed: bytes, use: str, count: int) -> Array:
    """`count` uniform elements of F by rejection, uint64."""
    spare = 8
    while True:
        words = np.frombuffer(expand_bytes(seed, use, 8 * (count + spare)), dtype="<u8")
        accepted = words[words < P]
        if len(accepted) >= count:
            return accepted[:count].astype(np.uint64)
        spare *= 2


def salts(seed: bytes, n_columns: int) -> bytes:
    return expand_bytes(seed, "salt", SALT_BYTES * n_columns)
