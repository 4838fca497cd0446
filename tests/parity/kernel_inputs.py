"""Adversarial inputs for kernels: every array is salted with the values at which reductions go wrong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zk.kernels.reference import P, Scalar

EDGES = (0, 1, P - 1, 2**32, 2**32 - 1, 2**63, P - 2**32, 2**33 - 1, (P + 1) // 2)
INTEGER_EDGES = (0, 1, -1, 2**31 - 1, -(2**31), 2**31, 2**32, -(2**32), 2**53, 2**63 - 1, -(2**63))
Array = npt.NDArray[np.uint64]


class Inputs:
    """A seeded source of F arrays, K arrays, K scalars and signed integers; about half the entries are edges."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def f(self, *shape: int) -> Array:
        values = self.rng.integers(0, P, shape, dtype=np.uint64)
        edges = np.array(EDGES, dtype=np.uint64)[self.rng.integers(0, len(EDGES), shape)]
        return np.where(self.rng.random(shape) < 0.5, edges, values)

    def k(self, *shape: int) -> Array:
        return self.f(2, *shape)

    def integers(self, *shape: int) -> npt.NDArray[np.int64]:
        """Signed integers from all magnitudes, the extremes of int64 included."""
        values = self.rng.integers(-(2**63), 2**63, shape, dtype=np.int64) >> self.rng.integers(0, 63, shape)
        edges = np.array(INTEGER_EDGES, dtype=np.int64)[self.rng.integers(0, len(INTEGER_EDGES), shape)]
        return np.where(self.rng.random(shape) < 0.3, edges, values)

    def small_integers(self, bound: int, *shape: int) -> npt.NDArray[np.int64]:
        """Signed integers of magnitude at most bound; about a third reach it."""
        values = self.rng.integers(-bound, bound + 1, shape, dtype=np.int64)
        edges = np.where(self.rng.random(shape) < 0.5, -bound, bound)
        return np.where(self.rng.random(shape) < 0.3, edges, values)

    def scalar(self) -> Scalar:
        a0, a1 = self.f(2).tolist()
        return a0, a1

    def point(self, n: int) -> list[Scalar]:
        return [self.scalar() for _ in range(n)]
