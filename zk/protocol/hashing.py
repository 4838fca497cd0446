"""SHA-256 with one domain byte a use (PROTOCOL section 3 and 4.2)."""

from __future__ import annotations

import hashlib
import struct

BAND = b"\x10"
BANDED_LEAF = b"\x11"
NODE = b"\x12"
RECORD = b"\x13"
TAG = b"\x14"
NARROW_LEAF = b"\x15"
STATEMENT = b"\x20"
PROGRAM = b"\x21"
EXPANSION = b"\x30"

SALT_BYTES = 16
BAND_ROWS = 256


def tagged(domain: bytes, *parts: bytes) -> bytes:
    """H(domain | parts...): the parts must have lengths that the domain fixes or that they carry themselves."""
    return hashlib.sha256(domain + b"".join(parts)).digest()


def leaf_digest(tag16: bytes, index: int, salt: bytes, column: bytes) -> bytes:
    """Digest of one column (8 bytes a row): narrow up to 256 rows, banded beyond (4.2)."""
    head = tag16 + struct.pack("<I", index) + salt
    if len(column) <= 8 * BAND_ROWS:
        return tagged(NARROW_LEAF, head, column)
    step = 8 * BAND_ROWS
    bands = [hashlib.sha256(BAND + column[at : at + step]).digest() for at in range(0, len(column), step)]
    return tagged(BANDED_LEAF, head, *bands)


def node_digest(level: int, index: int, left: bytes, right: bytes) -> bytes:
    """Parent of two nodes; level 0 is the parents of leaves."""
    return hashlib.sha256(NODE + struct.pack("<BI", level, index) + left + right).digest()
