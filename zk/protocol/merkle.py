"""Which nodes an octopus path holds (PROTOCOL 4.3): shared by both sides so that their counts cannot differ."""

from __future__ import annotations


def path_positions(indices: list[int], depth: int) -> list[list[int]]:
    """For each level from the leaves up, the positions (left to right) whose digests the path must supply."""
    out, current = [], sorted(set(indices))
    for _ in range(depth):
        present = set(current)
        out.append([i ^ 1 for i in current if i ^ 1 not in present])
        current = sorted({i >> 1 for i in current})
    return out
