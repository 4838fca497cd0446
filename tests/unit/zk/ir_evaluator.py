"""Direct numeric evaluation of a tensor program: every map forward, every product by einsum, over the integers.

Shares nothing with the prover's closed forms: a program and its stored tensors go in, violations come out. Values are
exact (int64 where a magnitude bound allows it, Python integers otherwise).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zk.protocol.functional import Gather, Kernel, Map, Prefix, Select, SumDim, Term, term_dims
from zk.protocol.ir import UNIT, Equation, Lookup, Product, Program, Public, Stored, Virtual, multiplicity_name
from zk.protocol.tables import Table

Array = np.ndarray[Any, Any]
SAFE = float(1 << 61)


@dataclass(frozen=True)
class Violation:
    """Declaration number, its text, and the first index at which it fails."""

    position: int
    text: str
    index: tuple[int, ...]


class Evaluator:
    """Values of every tensor of `program` from its stored tensors (keyed by full name: `D.X`, `W_in.bias1`, `L1.A`)."""

    def __init__(self, program: Program, stored: Mapping[str, Array]) -> None:
        self.program = program
        self._known: dict[str, Array] = {UNIT: np.array(1, dtype=np.int64)}
        for name, values in stored.items():
            if not isinstance(program.tensors.get(name), Stored):
                raise AssertionError(f"{name} is not a stored tensor of the program")
            if values.shape != program.shape(name):
                raise AssertionError(f"{name} has shape {values.shape}, declared {program.shape(name)}")
            self._known[name] = values

    def tensor(self, name: str) -> Array:
        """Value of a tensor, dims in declared order."""
        if name not in self._known:
            item = self.program.tensors[name]
            if isinstance(item, Public):
                value = _compact(np.array(item.values, dtype=object).reshape(self.program.shape(name)))
            elif isinstance(item, Virtual):
                value = self.total(item.terms, item.dims)
            elif isinstance(item, Product):
                value = self._product(item)
            else:
                raise AssertionError(f"stored tensor {name} has no value")
            self._known[name] = value
        return self._known[name]

    def total(self, terms: tuple[Term, ...], dims: tuple[str, ...]) -> Array:
        """Sum of terms broadcast to `dims`."""
        shape = tuple(self.program.sizes[dim] for dim in dims)
        out: Array = np.zeros(shape, dtype=object)
        for item in terms:
            out = out + self.term(item, dims).astype(object)
        return _compact(out)

    def term(self, term: Term, dims: tuple[str, ...]) -> Array:
        value = self.tensor(term.tensor)
        left = list(self.program.dims(term.tensor))
        for item in term.maps:
            value = self._apply(item, value, left.index(item.dim))
            left = list(term_dims(Term(1, term.tensor, (item,)), tuple(left)))
        order = [left.index(dim) for dim in dims if dim in left]
        value = value.transpose(order)
        shape = [self.program.sizes[dim] if dim in left else 1 for dim in dims]
        return _times(value.reshape(shape), term.coef)

    def _apply(self, item: Map, value: Array, axis: int) -> Array:
        if isinstance(item, Select):
            return value.take(item.index, axis=axis)
        if isinstance(item, Gather):
            return value.take(np.array(self.program.order), axis=axis)
        moved = np.moveaxis(value.astype(object), axis, 0)
        if isinstance(item, SumDim):
            weights = item.weights or (1,) * len(moved)
            return _compact(sum(w * row for w, row in zip(weights, moved, strict=True)))
        weights = item.weights if isinstance(item, Kernel) else (1,) * len(moved)
        rows, running = [], moved[0] * 0  # a kernel is strictly causal, a prefix inclusive
        for w, row in zip(weights, moved, strict=True):
            after = running + w * row
            rows.append(running if isinstance(item, Kernel) else after)
            running = after
        assert isinstance(item, Kernel | Prefix)
        return _compact(np.moveaxis(np.array(rows, dtype=object).reshape(moved.shape), 0, axis))

    def _product(self, item: Product) -> Array:
        a, b = self.tensor(item.a), self.tensor(item.b)
        letters = {dim: chr(97 + i) for i, dim in enumerate(self.program.sizes)}
        operands = (self.program.dims(item.a), self.program.dims(item.b), item.dims)
        spec = ["".join(letters[dim] for dim in dims) for dims in operands]
        bound = _magnitude(a) * _magnitude(b) * max(a.size, b.size, 1)
        if a.dtype == b.dtype == np.int64 and bound < SAFE:
            return np.einsum(f"{spec[0]},{spec[1]}->{spec[2]}", a, b)
        return _compact(np.einsum(f"{spec[0]},{spec[1]}->{spec[2]}", a.astype(object), b.astype(object)))


def check_program(program: Program, stored: Mapping[str, Array]) -> list[Violation]:
    """Every equation must vanish and every looked-up tuple must be a row of its table; returns what does not hold."""
    evaluator, out = Evaluator(program, stored), []
    for position, item in enumerate(program.declarations):
        if isinstance(item, Equation):
            bad = evaluator.total(item.terms, item.dims) != 0
        elif isinstance(item, Lookup):
            bad = ~_member(item.table, *_components(evaluator, item))
        else:
            continue
        if np.any(bad):
            out.append(Violation(position, repr(item)[:300], tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(bad)))))
    return out


def multiplicities(program: Program, stored: Mapping[str, Array]) -> dict[str, Array]:
    """How often every table row is looked up, by multiplicity tensor name."""
    evaluator, out = Evaluator(program, stored), {}
    for tag, table in enumerate(program.tables(), start=1):
        counts = np.zeros(table.n_rows, dtype=np.int64)
        for item in program.lookups:
            if item.table == table:
                key = _components(evaluator, item)[0].astype(np.int64).ravel()
                counts += np.bincount(key, minlength=table.n_rows)
        out[multiplicity_name(tag)] = counts
    return out


def _components(evaluator: Evaluator, item: Lookup) -> tuple[Array, Array | None]:
    shape = tuple(evaluator.program.sizes[dim] for dim in item.dims)
    key = np.broadcast_to(evaluator.total(item.key, item.dims), shape)
    return key, np.broadcast_to(evaluator.total(item.value, item.dims), shape) if item.value else None


def _member(table: Table, key: Array, value: Array | None) -> Array:
    inside = (key >= 0) & (key < table.n_rows)
    if value is None:
        return np.asarray(inside, dtype=bool)
    values = np.array(table.values(), dtype=np.int64)
    return np.asarray(inside & (values[np.where(inside, key, 0).astype(np.int64)] == value), dtype=bool)


def _times(value: Array, coef: int) -> Array:
    if value.dtype == np.int64 and _magnitude(value) * abs(coef) < SAFE:
        return value * coef
    return value.astype(object) * coef


def _magnitude(value: Array) -> float:
    return max(abs(float(value.min())), abs(float(value.max()))) if value.size else 0.0


def _compact(value: Any) -> Array:
    array = np.asarray(value, dtype=object)
    return array.astype(np.int64) if array.size == 0 or _magnitude(array) < SAFE else array
