"""Octopus paths: one batch of sorted leaves against a root (PROTOCOL 4.2, 4.3)."""

from __future__ import annotations

from zk.protocol.errors import MerkleError
from zk.protocol.hashing import node_digest
from zk.protocol.merkle import path_positions


def verify_paths(root: bytes, depth: int, leaves: dict[int, bytes], nodes: list[bytes], what: str) -> None:
    """Recompute the root from leaf digests by index and path nodes, left to right a level, bottom up."""
    supply = iter(nodes)
    current = dict(leaves)
    for level, missing in enumerate(path_positions(list(leaves), depth)):
        for position in missing:
            current[position] = next(supply)
        parents = sorted({position >> 1 for position in current})
        current = {i: node_digest(level, i, current[2 * i], current[2 * i + 1]) for i in parents}
    if current != {0: root}:
        raise MerkleError(f"{what}: an opened column does not belong to the committed root")
