"""Closed forms and evaluations of symbolic functionals at challenge points (PROTOCOL sections 1, 7.2, 7.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import mul

from zk.protocol.errors import ProgramError
from zk.protocol.field import ONE, ZERO, K, P, k_add, k_mul, k_scale
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
from zk.protocol.ir import UNIT, Program, Public
from zk.protocol.params import log2_ceil

Point = list[K]


def complement(z: K) -> K:
    return ((1 - z[0]) % P, -z[1] % P)


def eq_factor(z: K, r: K) -> K:
    """z r + (1-z)(1-r) = 1 - z - r + 2 z r."""
    product = k_mul(z, r)
    return ((1 - z[0] - r[0] + 2 * product[0]) % P, (2 * product[1] - z[1] - r[1]) % P)


def eq_points(z: Point, r: Point) -> K:
    """eq(z, r) = prod (z_j r_j + (1-z_j)(1-r_j))."""
    out = ONE
    for a, b in zip(z, r, strict=True):
        out = k_mul(out, eq_factor(a, b))
    return out


def eq_index(z: Point, index: int) -> K:
    """eq(z, index), most significant bit first."""
    out = ONE
    for j, coordinate in enumerate(z):
        bit = index >> (len(z) - 1 - j) & 1
        out = k_mul(out, coordinate if bit else complement(coordinate))
    return out


def eq_table(z: Point) -> list[K]:
    """eq(z, i) for all i in [0, 2^n)."""
    table = [ONE]
    for z0, z1 in z:
        out = []
        for a0, a1 in table:
            h0, h1 = (a0 * z0 + 7 * a1 * z1) % P, (a0 * z1 + a1 * z0) % P
            out.append(((a0 - h0) % P, (a1 - h1) % P))
            out.append((h0, h1))
        table = out
    return table


def eq_prefix(z: Point, r: Point, size: int) -> K:
    """EQ<(z,r,d) = sum_{i<d} eq(z,i) eq(r,i)."""
    if size == 1 << len(z):
        return eq_points(z, r)
    tails = [ONE]
    for a, b in zip(reversed(z), reversed(r), strict=True):
        tails.append(k_mul(tails[-1], eq_factor(a, b)))
    acc, prefix = ZERO, ONE
    for j in range(len(z)):
        low = k_mul(complement(z[j]), complement(r[j]))
        if size >> (len(z) - 1 - j) & 1:
            acc = k_add(acc, k_mul(k_mul(prefix, low), tails[len(z) - 1 - j]))
            prefix = k_mul(prefix, k_mul(z[j], r[j]))
        else:
            prefix = k_mul(prefix, low)
    return acc


def ones_prefix(r: Point, size: int) -> K:
    """ONES<(r,d) = sum_{i<d} eq(r,i)."""
    if size == 1 << len(r):
        return ONE
    acc, prefix = ZERO, ONE
    for j, b in enumerate(r):
        if size >> (len(r) - 1 - j) & 1:
            acc = k_add(acc, k_mul(prefix, complement(b)))
            prefix = k_mul(prefix, b)
        else:
            prefix = k_mul(prefix, complement(b))
    return acc


def index_extension(r: Point) -> K:
    """ID(r) = sum_i i eq(r,i)."""
    out = ZERO
    for b in r:
        out = k_add(k_scale(out, 2), b)
    return out


def dot(values: list[int] | tuple[int, ...], weights: list[K]) -> K:
    """sum values[i] * weights[i] for integers (any sign)."""
    low = sum(map(mul, values, [w[0] for w in weights]))
    high = sum(map(mul, values, [w[1] for w in weights]))
    return (low % P, high % P)


FULL_TABLE_BITS = 16
PACK = 160  # two sums of up to 2^32 products below 2^128 side by side in one integer
MASK = (1 << PACK) - 1


class _Lookup:
    """eq(r, n) by index: one table for short points, two half tables for long ones."""

    def __init__(self, points: Points, r: Point) -> None:
        self._n_low = len(r) // 2 if len(r) > FULL_TABLE_BITS else len(r)
        self._high = points.table(r[: len(r) - self._n_low])
        self._low = points.table(r[len(r) - self._n_low :])

    def __getitem__(self, index: int) -> K:
        low = self._low[index & ((1 << self._n_low) - 1)]
        return low if len(self._high) == 1 else k_mul(self._high[index >> self._n_low], low)


@dataclass
class Points:
    """Challenge points by name, and what evaluating symbolic vectors at them needs."""

    program: Program
    named: dict[str, Point] = field(default_factory=dict)
    gamma1: K = ZERO
    _dense: dict[tuple[Vec, int], list[K]] = field(default_factory=dict)
    _tables: dict[tuple[K, ...], list[K]] = field(default_factory=dict)
    _gathers: dict[tuple[K, ...], list[list[int]]] = field(default_factory=dict)

    def of(self, vec: Eq) -> Point:
        return self.named[vec.point][vec.start : vec.start + vec.n]

    def table(self, point: Point) -> list[K]:
        """Cached eq table."""
        key = tuple(point)
        if key not in self._tables:
            self._tables[key] = eq_table(point)
        return self._tables[key]

    def dense(self, vec: Vec, size: int) -> list[K]:
        """The vector as `size` elements of K."""
        key = (vec, size)
        if key not in self._dense:
            self._dense[key] = self._expand(vec, size)
        return self._dense[key]

    def _expand(self, vec: Vec, size: int) -> list[K]:
        if isinstance(vec, Eq):
            return self.table(self.of(vec))[:size]
        if isinstance(vec, Ones):
            return [ONE] * size
        if isinstance(vec, Unit):
            return [ONE if i == vec.index else ZERO for i in range(size)]
        if isinstance(vec, Weights):
            return [(w % P, 0) for w in vec.values]
        if isinstance(vec, Mapped):
            return vec.map.transpose(self.dense(vec.inner, size))
        raise ProgramError("a gathered vector has no dense form")

    def inner(self, vec: Vec, r: Point, size: int) -> K:
        """sum_{i<size} vec[i] eq(r, i)."""
        if isinstance(vec, Eq):
            return eq_prefix(self.of(vec), r, size)
        if isinstance(vec, Ones):
            return ones_prefix(r, size)
        if isinstance(vec, Unit):
            return eq_index(r, vec.index)
        if isinstance(vec, Weights):
            return dot(vec.values, self.table(r)[:size])
        if isinstance(vec, Gathered):
            return self._inner_gathered(vec, r)
        out0 = out1 = 0
        for (a0, a1), (b0, b1) in zip(self.dense(vec, size), self.table(r), strict=False):
            out0 += a0 * b0 + 7 * a1 * b1
            out1 += a0 * b1 + a1 * b0
        return (out0 % P, out1 % P)

    def _inner_gathered(self, vec: Gathered, r: Point) -> K:
        """sum_{t,b} first[t] second[b] eq(r, idx(t,b))."""
        order = self.program.order
        first, second = self.dense(vec.first, len(order)), self.dense(vec.second, len(order[0]))
        low, high = [w[0] for w in second], [w[1] for w in second]
        out = ZERO
        for weight, row in zip(first, self._gathered_rows(r), strict=True):
            a, b = sum(map(mul, low, row)), sum(map(mul, high, row))
            inner = (((a & MASK) + 7 * (b >> PACK)) % P, ((a >> PACK) + (b & MASK)) % P)
            out = k_add(out, k_mul(weight, inner))
        return out

    def _gathered_rows(self, r: Point) -> list[list[int]]:
        """eq(r, idx(t,b)), both coordinates in one integer; claims on one tensor share the point."""
        key = tuple(r)
        if key not in self._gathers:
            table = _Lookup(self, r)
            self._gathers[key] = [[e0 | e1 << PACK for e0, e1 in map(table.__getitem__, row)] for row in self.program.order]
        return self._gathers[key]

    def total(self, vec: Vec, size: int) -> K:
        """sum_{i<size} vec[i]."""
        if isinstance(vec, Eq):
            return ones_prefix(self.of(vec), size)
        if isinstance(vec, Ones):
            return (size, 0)
        out = ZERO
        for value in self.dense(vec, size):
            out = k_add(out, value)
        return out

    def factor(self, item: Factor) -> K:
        if isinstance(item, Total):
            return self.total(item.vec, item.size)
        return self.block(item)

    def block(self, item: BlockWeight) -> K:
        """eq(r_hi, block), times gamma_1 for the second component of a lookup."""
        weight = eq_index(self.named["leaf"][: item.n_bits], item.index)
        return k_mul(weight, self.gamma1) if item.second else weight

    def scalar(self, claim: Functional) -> K:
        """coef * product of the factors."""
        out = (claim.coef % P, 0)
        for item in claim.factors:
            out = k_mul(out, self.factor(item))
        return out

    def at(self, claim: Functional, r: Point) -> K:
        """The multilinear extension of the functional (all dims, MSB first) at r."""
        out, start = self.scalar(claim), 0
        for dim, vec in claim.vecs:
            size = self.program.sizes[dim]
            stop = start + log2_ceil(size)
            out = k_mul(out, self.inner(vec, r[start:stop], size))
            start = stop
        return out

    def apply(self, claim: Functional, name: str) -> K:
        """<claim, tensor> for a tensor the verifier knows."""
        if name == UNIT:
            return self.scalar(claim)
        tensor = self.program.tensors[name]
        if not isinstance(tensor, Public):
            raise ProgramError(f"{name} is not public")
        weights = [self.dense(vec, self.program.sizes[dim]) for dim, vec in claim.vecs]
        return k_mul(self.scalar(claim), _contract(list(tensor.values), weights))


def _contract(values: list[int], weights: list[list[K]]) -> K:
    """Row-major integer tensor against one vector a dimension, last dimension first."""
    if not weights:
        return (values[0] % P, 0)
    width = len(weights[-1])
    rows: list[K] = [dot(values[i : i + width], weights[-1]) for i in range(0, len(values), width)]
    for vec in reversed(weights[:-1]):
        folded = []
        for at in range(0, len(rows), len(vec)):
            acc = ZERO
            for a, b in zip(rows[at : at + len(vec)], vec, strict=True):
                acc = k_add(acc, k_mul(a, b))
            folded.append(acc)
        rows = folded
    return rows[0]
