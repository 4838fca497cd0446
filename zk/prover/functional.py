"""Symbolic vectors and functionals as K arrays (PROTOCOL 7.2, 7.3); the prover's twin of verifier.multilinear."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from zk.protocol.claims.multilinear import eq_index
from zk.protocol.errors import ProvingError
from zk.protocol.field import ONE, ZERO, K, P, k_mul
from zk.protocol.functional import (
    BlockWeight,
    Eq,
    Factor,
    Functional,
    Gathered,
    Mapped,
    Ones,
    Total,
    Unit,
    Vec,
    Weights,
)
from zk.protocol.ir import Program
from zk.prover.backend import kernels

Array = np.ndarray


def to_k(values: list[K]) -> Array:
    """K list as an array (2, n)."""
    return np.array(values, dtype=np.uint64).reshape(len(values), 2).T.copy()


def to_list(table: Array) -> list[K]:
    return list(zip(table[0].tolist(), table[1].tolist(), strict=True))


def from_integers(values: Array) -> Array:
    """int64 array as K array with zero second coordinate."""
    out = np.zeros((2, *values.shape), dtype=np.uint64)
    out[0] = kernels.to_field(values)
    return out


@dataclass
class Vectors:
    """Challenge points by name, and the dense vectors they give."""

    program: Program
    named: dict[str, list[K]] = field(default_factory=dict)
    gamma1: K = ZERO
    _dense: dict[tuple[Vec, int], Array] = field(default_factory=dict)
    _tables: dict[tuple[str, int, int], Array] = field(default_factory=dict)

    def table(self, vec: Eq) -> Array:
        """eq table over all 2^n indices."""
        key = (vec.point, vec.start, vec.n)
        if key not in self._tables:
            self._tables[key] = kernels.eq_table(self.named[vec.point][vec.start : vec.start + vec.n])
        return self._tables[key]

    def dense(self, vec: Vec, size: int) -> Array:
        """K array (2, size)."""
        key = (vec, size)
        if key not in self._dense:
            self._dense[key] = np.ascontiguousarray(self._expand(vec, size))
        return self._dense[key]

    def _expand(self, vec: Vec, size: int) -> Array:
        if isinstance(vec, Eq):
            return self.table(vec)[:, :size]
        if isinstance(vec, Ones):
            return from_integers(np.ones(size, dtype=np.int64))
        if isinstance(vec, Unit):
            return from_integers((np.arange(size) == vec.index).astype(np.int64))
        if isinstance(vec, Weights):
            return from_integers(np.array(vec.values, dtype=np.int64))
        if isinstance(vec, Mapped):
            return to_k(vec.map.transpose(to_list(self.dense(vec.inner, size))))
        return self._gathered(vec, size)

    def _gathered(self, vec: Gathered, size: int) -> Array:
        order = np.array(self.program.order)
        weights = kernels.outer(self.dense(vec.first, order.shape[0]), self.dense(vec.second, order.shape[1]))
        return scatter(order.reshape(-1), weights, size)

    def scalar(self, claim: Functional) -> K:
        out = (claim.coef % P, 0)
        for item in claim.factors:
            out = k_mul(out, self.factor(item))
        return out

    def factor(self, item: Factor) -> K:
        if isinstance(item, Total):
            return self.total(item.vec, item.size)
        return self.block(item)

    def total(self, vec: Vec, size: int) -> K:
        return kernels.k_sum(self.dense(vec, size))

    def block(self, item: BlockWeight) -> K:
        weight = eq_index(self.named["leaf"][: item.n_bits], item.index)
        return k_mul(weight, self.gamma1) if item.second else weight


def add_modular(low: Array, high: Array) -> Array:
    """(low + 2^32 high) mod p for uint64 sums of 32-bit halves below 2^60."""
    shifted = kernels.f_mul(high % np.uint64(P), np.full(high.shape, 1 << 32, dtype=np.uint64))
    return kernels.f_add(low % np.uint64(P), shifted)


def halves(values: Array) -> tuple[Array, Array]:
    return values & np.uint64(0xFFFFFFFF), values >> np.uint64(32)


def scatter(indices: Array, weights: Array, size: int) -> Array:
    """out[n] = sum of weights at positions with index n; K arrays."""
    out = np.zeros((2, size), dtype=np.uint64)
    for part in (0, 1):
        low, high = halves(weights[part])
        sums = []
        for half in (low, high):
            total = np.zeros(size, dtype=np.uint64)
            np.add.at(total, indices, half)
            sums.append(total)
        out[part] = add_modular(*sums)
    return out


def cumulative(table: Array) -> Array:
    """Inclusive cumulative sum along axis 1 of a K array (2, t, ...)."""
    if table.shape[1] > 1 << 20:
        raise ProvingError("a cumulative sum over more than 2^20 entries is not supported")
    low, high = halves(table)
    sums = [np.cumsum(half, axis=1, dtype=np.uint64) for half in (low, high)]
    return add_modular(*sums)


def scaled(table: Array, weight: K) -> Array:
    if weight == ONE:
        return table
    return kernels.k_scale(table.reshape(2, -1), weight).reshape(table.shape)


def added(a: Array, b: Array) -> Array:
    return kernels.k_add(np.ascontiguousarray(a), np.ascontiguousarray(b))
