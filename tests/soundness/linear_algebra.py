"""Ranks over prime fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from zk.protocol.field import P

SMALL_PRIME = 2013265921  # 15 * 2^27 + 1, generator 31: products of two elements fit 64 bits


def rank(rows: list[list[int]], modulus: int = P) -> int:
    """Rank of a small matrix of integers modulo a prime."""
    work, found = [list(row) for row in rows], 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(found, len(work)) if work[i][column] % modulus), None)
        if pivot is None:
            continue
        work[found], work[pivot] = work[pivot], work[found]
        inverse = pow(work[found][column], -1, modulus)
        for i in range(found + 1, len(work)):
            factor = work[i][column] * inverse % modulus
            if factor:
                work[i] = [(a - factor * b) % modulus for a, b in zip(work[i], work[found], strict=True)]
        found += 1
    return found


def large_rank(matrix: np.ndarray[Any, Any]) -> int:
    """Rank modulo `SMALL_PRIME` of an int64 matrix with entries in [0, SMALL_PRIME)."""
    work, found = matrix.copy(), 0
    for column in range(work.shape[1]):
        candidates = np.flatnonzero(work[found:, column])
        if not len(candidates):
            continue
        pivot = found + int(candidates[0])
        work[[found, pivot]] = work[[pivot, found]]
        row = work[found, column:] * pow(int(work[found, column]), -1, SMALL_PRIME) % SMALL_PRIME
        below = found + 1 + np.flatnonzero(work[found + 1 :, column])
        if len(below):
            work[below, column:] = (work[below, column:] - work[below, column][:, None] * row) % SMALL_PRIME
        found += 1
        if found == work.shape[0]:
            break
    return found
