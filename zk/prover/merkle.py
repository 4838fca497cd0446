"""Merkle trees over column digests (PROTOCOL 4.2)."""

from __future__ import annotations

import numpy as np

from zk.protocol.hashing import NODE
from zk.protocol.merkle import path_positions
from zk.prover.backend import kernels

Array = np.ndarray
# Messages are laid out this many bytes at a time, so that they are still in the cache when they are hashed.
BLOCK_BYTES = 1 << 20


def digests(domain: bytes, *parts: Array) -> Array:
    """H(domain | row of every part) for each row; the parts are uint8 arrays [n, width], the digests uint8 [n, 32]."""
    n_rows, width = len(parts[0]), len(domain) + sum(part.shape[1] for part in parts)
    out, block = np.empty((n_rows, 32), dtype=np.uint8), max(64, BLOCK_BYTES // width)
    messages = np.empty((min(block, n_rows), width), dtype=np.uint8)
    messages[:, : len(domain)] = np.frombuffer(domain, dtype=np.uint8)
    for start in range(0, n_rows, block):
        count, at = min(block, n_rows - start), len(domain)
        for part in parts:
            messages[:count, at : at + part.shape[1]] = part[start : start + count]
            at += part.shape[1]
        out[start : start + count] = kernels.sha256(messages[:count])
    return out


def row_numbers(count: int) -> Array:
    """u32 of every row number, uint8 [count, 4]."""
    return np.arange(count, dtype="<u4").view(np.uint8).reshape(-1, 4)


def build_tree(leaves: Array) -> list[Array]:
    """Levels from the leaves up to the root, uint8 [nodes, 32]; the number of leaves is a power of two."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        pairs = levels[-1].reshape(-1, 64)
        levels.append(digests(NODE + bytes([len(levels) - 1]), row_numbers(len(pairs)), pairs))
    return levels


def open_paths(levels: list[Array], indices: list[int]) -> list[bytes]:
    """Octopus path nodes for sorted leaf indices."""
    positions = path_positions(indices, len(levels) - 1)
    return [levels[level][i].tobytes() for level, missing in enumerate(positions) for i in missing]
