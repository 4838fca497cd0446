"""Folding tensors of a program against vectors: operand tables, claim values, integer values (PROTOCOL 7.3, 7.4, 10.6)."""

from __future__ import annotations

import numpy as np

from zk.protocol.errors import ProvingError
from zk.protocol.field import ONE, K, P, k_mul
from zk.protocol.functional import (
    Functional,
    Gather,
    Kernel,
    Mapped,
    Ones,
    Prefix,
    Select,
    SumDim,
    Term,
    Unit,
    Vec,
    Weights,
)
from zk.protocol.ir import UNIT, Product, Program, Public, Stored, Virtual
from zk.prover.backend import kernels
from zk.prover.functional import Vectors, added, cumulative, from_integers, scaled, to_k

Array = np.ndarray
SAFE = 1 << 62


class Contractor:
    """Values of one execution. `stored` holds int64 arrays of every stored tensor by full name."""

    def __init__(self, program: Program, stored: dict[str, Array], vectors: Vectors) -> None:
        self._program = program
        self._sizes = program.sizes
        self._vectors = vectors
        self._ints: dict[str, Array | None] = dict(stored)
        self._folds: dict[tuple[str, frozenset[tuple[str, Vec]], tuple[str, ...]], Array] = {}

    def learn(self, stored: dict[str, Array]) -> None:
        """Add stored tensors that became known after the first ones."""
        self._ints.update(stored)

    # -- integers ------------------------------------------------------------------------------------------------
    def integers(self, name: str) -> Array | None:
        """The tensor as int64, or None where it would need a true bilinear sum."""
        if name not in self._ints:
            self._ints[name] = self._materialise(name)
        return self._ints[name]

    def _materialise(self, name: str) -> Array | None:
        if name == UNIT:
            return np.array(1, dtype=np.int64)
        tensor = self._program.tensors[name]
        if isinstance(tensor, Public):
            return np.array(tensor.values, dtype=np.int64).reshape(self._program.shape(name))
        if isinstance(tensor, Stored):
            raise ProvingError(f"the witness lacks the tensor {name}")
        if isinstance(tensor, Product):
            dims_a, dims_b = self._program.dims(tensor.a), self._program.dims(tensor.b)
            if set(dims_a) != set(tensor.dims) or set(dims_b) != set(tensor.dims):
                return None
            a, b = self.integers(tensor.a), self.integers(tensor.b)
            if a is None or b is None:
                return None
            return _align(a, dims_a, tensor.dims) * _align(b, dims_b, tensor.dims)
        return self.terms(tensor.terms, tensor.dims)

    def terms(self, terms: tuple[Term, ...], dims: tuple[str, ...]) -> Array | None:
        """Integer value of a sum of terms on the space `dims`."""
        out = np.zeros([self._sizes[dim] for dim in dims], dtype=np.int64)
        for term in terms:
            base = self.integers(term.tensor)
            if base is None:
                return None
            value, left = self._map_integers(base, self._program.dims(term.tensor), term)
            out += term.coef * _align(value, left, dims)
        return out

    def _map_integers(self, value: Array, dims: tuple[str, ...], term: Term) -> tuple[Array, tuple[str, ...]]:
        for item in term.maps:
            at = dims.index(item.dim)
            if isinstance(item, SumDim):
                weights = np.ones(value.shape[at], np.int64) if item.weights is None else np.array(item.weights, np.int64)
                value, dims = np.tensordot(value, weights, axes=([at], [0])), dims[:at] + dims[at + 1 :]
            elif isinstance(item, Select):
                value, dims = np.take(value, item.index, axis=at), dims[:at] + dims[at + 1 :]
            elif isinstance(item, Gather):
                value = np.take(value, np.array(self._program.order), axis=at)
                dims = (*dims[:at], item.first, item.second, *dims[at + 1 :])
            else:
                value = _running_sum(value, at, item)
        return value, dims

    # -- folds ---------------------------------------------------------------------------------------------------
    def value(self, claim: Functional, name: str) -> K:
        """<claim, tensor>."""
        table = self.fold(name, dict(claim.vecs), ())
        return k_mul(self._vectors.scalar(claim), (int(table[0]), int(table[1])))

    def fold(self, name: str, closed: dict[str, Vec], keep: tuple[str, ...]) -> Array:
        """Contract the dims in `closed` with their vectors; K array (2, sizes of `keep`), unpadded."""
        key = (name, frozenset(closed.items()), keep)
        if key not in self._folds:
            self._folds[key] = self._fold(name, closed, keep)
        return self._folds[key]

    def _fold(self, name: str, closed: dict[str, Vec], keep: tuple[str, ...]) -> Array:
        values = self.integers(name)
        if values is not None:
            return self._fold_integers(values, self._program.dims(name), closed, keep)
        tensor = self._program.tensors[name]
        if isinstance(tensor, Product):
            return self._fold_product(tensor, closed, keep)
        assert isinstance(tensor, Virtual)
        out = np.zeros((2, *(self._sizes[dim] for dim in keep)), dtype=np.uint64)
        for term in tensor.terms:
            out = added(out, self._fold_term(term, closed, keep))
        return out

    def _fold_integers(self, values: Array, dims: tuple[str, ...], closed: dict[str, Vec], keep: tuple[str, ...]) -> Array:
        left = list(dims)
        for dim in [dim for dim in dims if dim in closed]:  # plain sums and picks stay integers
            vec, at = closed[dim], left.index(dim)
            if isinstance(vec, Unit):
                values = np.take(values, vec.index, axis=at)
            elif isinstance(vec, Ones | Weights) and _is_safe(values, vec, self._sizes[dim]):
                weights = np.ones(self._sizes[dim], np.int64) if isinstance(vec, Ones) else np.array(vec.values, np.int64)
                values = np.tensordot(values, weights, axes=([at], [0]))
            else:
                continue
            left.remove(dim)
        pending = sorted((dim for dim in left if dim in closed), key=lambda dim: -self._sizes[dim])
        table = None
        for dim in pending:
            at, weights_k = left.index(dim), self._vectors.dense(closed[dim], self._sizes[dim])
            shape = tuple(self._sizes[d] for d in left)
            a, b = int(np.prod(shape[:at], dtype=np.int64)), int(np.prod(shape[at + 1 :], dtype=np.int64))
            if table is None:
                table = kernels.contract(np.ascontiguousarray(values).reshape(a, shape[at], b), weights_k)
            else:
                table = kernels.contract_k(table.reshape(2, a, shape[at], b), weights_k)
            left.remove(dim)
        if table is None:
            table = from_integers(np.ascontiguousarray(values))
        table = table.reshape(2, *(self._sizes[dim] for dim in left))
        return _reorder(table, tuple(left), keep)

    def _fold_term(self, term: Term, closed: dict[str, Vec], keep: tuple[str, ...]) -> Array:
        """One term of a virtual tensor: pull closed vectors back through its maps, apply maps on kept dims afterwards."""
        dims = self._program.dims(term.tensor)
        inner = dict(closed)
        scalar: K = ONE
        after: list[Kernel | Prefix] = []
        final = set(dims)
        for item in reversed(term.maps):
            if isinstance(item, SumDim):
                inner[item.dim] = Ones() if item.weights is None else Weights(item.weights)
                final.discard(item.dim)
            elif isinstance(item, Select):
                inner[item.dim] = Unit(item.index)
                final.discard(item.dim)
            elif isinstance(item, Gather):
                raise ProvingError(f"a gather on {term.tensor} must apply to stored values")
            elif item.dim in inner:
                inner[item.dim] = Mapped(item, inner[item.dim])
            else:
                after.append(item)
        for dim in [dim for dim in closed if dim not in final]:
            scalar = k_mul(scalar, self._vectors.total(inner.pop(dim), self._sizes[dim]))
        kept = tuple(dim for dim in keep if dim in final)
        table = self.fold(term.tensor, {dim: vec for dim, vec in inner.items() if dim in dims}, kept)
        for item in reversed(after):
            table = _running_table(table, kept, item)
        table = scaled(table, k_mul(scalar, (term.coef % P, 0)))
        shape = [self._sizes[dim] if dim in kept else 1 for dim in keep]
        return np.broadcast_to(table.reshape(2, *shape), (2, *(self._sizes[dim] for dim in keep)))

    def _fold_product(self, product: Product, closed: dict[str, Vec], keep: tuple[str, ...]) -> Array:
        """Bilinear sum with at most one operand keeping free dims: fold both sides, then contract what they share."""
        dims_a, dims_b = self._program.dims(product.a), self._program.dims(product.b)
        shared = [dim for dim in dims_a if dim in dims_b]
        kept = [dim for dim in keep if dim in shared]
        rest = [dim for dim in shared if dim not in kept]
        free_a = [dim for dim in keep if dim not in dims_b]
        free_b = [dim for dim in keep if dim not in dims_a]
        if free_a and free_b:
            raise ProvingError(f"product {product.name}: an outer product of free dimensions is not supported")
        thin, thin_dims, wide, wide_dims, free = (
            (product.b, dims_b, product.a, dims_a, free_a) if not free_b else (product.a, dims_a, product.b, dims_b, free_b)
        )
        order = (*kept, *rest)
        inner = {dim: vec for dim, vec in closed.items() if dim not in shared}
        left = self.fold(thin, {d: v for d, v in inner.items() if d in thin_dims}, order)
        s = int(np.prod([self._sizes[dim] for dim in kept], dtype=np.int64))
        m = int(np.prod([self._sizes[dim] for dim in rest], dtype=np.int64))
        left = self._weighted(np.ascontiguousarray(left).reshape(2, s, m), rest, closed)
        right_closed = {d: v for d, v in inner.items() if d in wide_dims}
        f = int(np.prod([self._sizes[dim] for dim in free], dtype=np.int64))
        values = self.integers(wide)
        if values is not None and not right_closed:
            ordered = np.ascontiguousarray(_align(values, wide_dims, (*order, *free)))
            out = kernels.contract_each(ordered.reshape(s, m, f), left)
        else:
            right = self.fold(wide, right_closed, (*order, *free))
            out = kernels.contract_each_k(np.ascontiguousarray(right).reshape(2, s, m, f), left)
        out = out.reshape(2, *(self._sizes[dim] for dim in (*kept, *free)))
        return _reorder(out, (*kept, *free), keep)

    def _weighted(self, table: Array, rest: list[str], closed: dict[str, Vec]) -> Array:
        """Multiply by the vectors of closed shared dims (contracted dims have weight one)."""
        if not any(dim in closed for dim in rest):
            return table
        weights = to_k([ONE])
        for dim in rest:
            weights = kernels.outer(weights, self._vectors.dense(closed.get(dim, Ones()), self._sizes[dim]))
        spread = np.ascontiguousarray(np.broadcast_to(weights[:, None, :], table.shape))
        return kernels.k_mul(table, spread)


def _align(values: Array, dims: tuple[str, ...], target: tuple[str, ...]) -> Array:
    """Transpose to the order of `target`, with length-one axes for dims that are absent."""
    order = [dims.index(dim) for dim in target if dim in dims]
    shape = iter(np.transpose(values, order).shape)
    return np.transpose(values, order).reshape([next(shape) if dim in dims else 1 for dim in target])


def _reorder(table: Array, dims: tuple[str, ...], keep: tuple[str, ...]) -> Array:
    if dims == keep:
        return table
    return np.ascontiguousarray(np.transpose(table, [0, *(1 + dims.index(dim) for dim in keep)]))


def _is_safe(values: Array, vec: Ones | Weights, size: int) -> bool:
    top = int(np.abs(values).max(initial=0))
    weight = size if isinstance(vec, Ones) else sum(abs(w) for w in vec.values)
    return top * weight < SAFE


def _running_sum(value: Array, axis: int, item: Kernel | Prefix) -> Array:
    if isinstance(item, Prefix):
        return np.cumsum(value, axis=axis)
    shape = [1] * value.ndim
    shape[axis] = -1
    weighted = value * np.array(item.weights, dtype=np.int64).reshape(shape)
    return np.cumsum(weighted, axis=axis) - weighted


def _running_table(table: Array, dims: tuple[str, ...], item: Kernel | Prefix) -> Array:
    """Forward application of a causal map on a kept dim of a K table."""
    axis = 1 + dims.index(item.dim)
    moved = np.ascontiguousarray(np.moveaxis(table, axis, 1))
    if isinstance(item, Prefix):
        return np.ascontiguousarray(np.moveaxis(cumulative(moved), 1, axis))
    weights = from_integers(np.array(item.weights, dtype=np.int64)).reshape(2, -1, *([1] * (moved.ndim - 2)))
    weighted = kernels.k_mul(moved, np.ascontiguousarray(np.broadcast_to(weights, moved.shape)))
    total = cumulative(weighted)
    shifted = np.zeros_like(total)
    shifted[:, 1:] = total[:, :-1]
    return np.ascontiguousarray(np.moveaxis(shifted, 1, axis))
