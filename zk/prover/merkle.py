"""Merkle trees over column digests (PROTOCOL 4.2)."""

from __future__ import annotations

import hashlib
import struct

from zk.protocol.hashing import NODE
from zk.protocol.merkle import path_positions


def build_tree(leaves: list[bytes]) -> list[list[bytes]]:
    """Levels from the leaves up to the root; the number of leaves is a power of two."""
    levels = [leaves]
    sha, pack = hashlib.sha256, struct.pack
    while len(levels[-1]) > 1:
        below, number = levels[-1], len(levels) - 1
        levels.append(
            [sha(NODE + pack("<BI", number, i) + below[2 * i] + below[2 * i + 1]).digest() for i in range(len(below) // 2)]
        )
    return levels


def open_paths(levels: list[list[bytes]], indices: list[int]) -> list[bytes]:
    """Octopus path nodes for sorted leaf indices."""
    positions = path_positions(indices, len(levels) - 1)
    return [levels[level][i] for level, missing in enumerate(positions) for i in missing]
