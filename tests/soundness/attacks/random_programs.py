"""Random tensor programs with a satisfying witness: every map, broadcast, product, size-one and zero-dimensional case.

Inputs are small windowed tensors; results are stored tensors or public outputs that equations tie to random terms. A claim
that the symbolic schedule loses or merges wrongly shows as a false result that the verifier accepts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.soundness.harness import Case
from tests.unit.zk.ir_evaluator import Evaluator
from zk.protocol.functional import Gather, Kernel, Map, Prefix, Select, SumDim, Term
from zk.protocol.ir import SEG, UNIT, Builder, one, term
from zk.protocol.relations.rescale import range_table

Array = np.ndarray[Any, Any]
Dims = tuple[str, ...]


@dataclass
class Draft:
    """A program under construction: sizes, dims by tensor, values of stored tensors, names of results."""

    rng: random.Random
    builder: Builder
    sizes: dict[str, int]
    dims: dict[str, Dims] = field(default_factory=dict)
    stored: dict[str, Array] = field(default_factory=dict)
    results: list[str] = field(default_factory=list)

    def some_dims(self, most: int) -> Dims:
        return tuple(self.rng.sample(list(self.sizes), self.rng.randint(0, most)))

    def shape(self, dims: Dims) -> tuple[int, ...]:
        return tuple(self.sizes[dim] for dim in dims)

    def term(self, pool: list[str]) -> tuple[Term, Dims]:
        """A term with up to two maps; returns the dims it leaves."""
        name = self.rng.choice(pool)
        left = list(self.dims.get(name, ()))
        maps: list[Map] = []
        for _ in range(self.rng.randint(0, 2)):
            if left:
                maps += self._map(name, left, fresh=not maps)
        return Term(self.rng.choice([1, 1, -1, 2, -3]), name, tuple(maps)), tuple(left)

    def _map(self, name: str, left: list[str], fresh: bool) -> list[Map]:
        dim, weights = self.rng.choice(left), tuple(self.rng.randrange(-3, 4) for _ in range(5))
        kind = self.rng.randrange(6)
        if kind < 3:
            left.remove(dim)
            some = SumDim(dim, weights[: self.sizes[dim]])
            return [(SumDim(dim), some, Select(dim, self.rng.randrange(self.sizes[dim])))[kind]]
        if kind == 5 and dim == "n" and fresh and name in self.stored and not {"t", "b"} & set(left):
            left[left.index("n") : left.index("n") + 1] = ["t", "b"]
            return [Gather("n", "t", "b")]
        return [Prefix(dim)] if kind == 3 else [Kernel(dim, weights[: self.sizes[dim]])]

    def terms(self, pool: list[str]) -> tuple[tuple[Term, ...], Dims]:
        """Up to three terms and dims that cover them, sometimes with one more to broadcast over."""
        found = [self.term(pool) for _ in range(self.rng.randint(1, 3))]
        dims = list(dict.fromkeys(dim for _, left in found for dim in left))
        if self.rng.random() < 0.3:
            dims += [dim for dim in (self.rng.choice("nxyz"),) if dim not in dims]
        self.rng.shuffle(dims)
        return tuple(item for item, _ in found), tuple(dims)


def _inputs(draft: Draft) -> None:
    rng, b = draft.rng, draft.builder
    for i in range(rng.randint(2, 4)):
        dims, low = draft.some_dims(3), rng.randrange(4)
        name = b.stored(f"s{i}", SEG, *dims)
        b.lookup(range_table(3), dims, (term(name), *((one(low),) if low else ())))
        values = [rng.randrange(-low, 8 - low) for _ in range(int(np.prod(draft.shape(dims), dtype=int)))]
        draft.stored[name] = np.array(values, dtype=np.int64).reshape(draft.shape(dims))
        draft.dims[name] = dims
    for i in range(rng.randint(0, 2)):
        dims = draft.some_dims(2)
        values = [rng.randrange(-5, 6) for _ in range(int(np.prod(draft.shape(dims), dtype=int)))]
        draft.dims[b.public(f"p{i}", dims, tuple(values))] = dims


def _virtuals_and_products(draft: Draft) -> None:
    rng = draft.rng
    for i in range(rng.randint(1, 5)):
        pool = list(draft.dims)
        if rng.random() < 0.5:
            terms, dims = draft.terms([*pool, UNIT])
            if len(dims) <= 4:
                draft.dims[draft.builder.virtual(f"v{i}", dims, *terms)] = dims
            continue
        a, c = rng.choice(pool), rng.choice(pool)
        shared = set(draft.dims[a]) & set(draft.dims[c])
        every = dict.fromkeys(draft.dims[a] + draft.dims[c])
        out = [dim for dim in every if dim not in shared or rng.random() < 0.6]
        rng.shuffle(out)
        if len(out) <= 4:
            draft.dims[draft.builder.product(f"m{i}", tuple(out), a, c)] = tuple(out)


def _results(draft: Draft) -> None:
    """Equations result - terms = 0; evaluated on the way, in stored tensors or public outputs."""
    b, rng = draft.builder, draft.rng
    evaluator = Evaluator(b._program, draft.stored)
    pool = [*list(draft.dims)[-3:], UNIT]
    for i in range(rng.randint(1, 4)):
        terms, dims = draft.terms(pool)
        if len(dims) > 4:
            continue
        value = np.broadcast_to(evaluator.total(terms, dims), draft.shape(dims)).astype(np.int64)
        if rng.random() < 0.3:
            name = b.public(f"o{i}", dims, tuple(int(v) for v in value.reshape(-1)))
        else:
            order = rng.sample(dims, len(dims))
            name = b.stored(f"r{i}", SEG, *order)
            draft.stored[name] = np.transpose(value, [dims.index(dim) for dim in order]).copy()
            draft.results.append(name)
        b.equation(dims, term(name), *(item.scaled(-1) for item in terms))


def random_case(seed: int) -> tuple[Case, list[str]]:
    """A case and the names of its stored results. Raises `ProgramError` for a few seeds."""
    rng = random.Random(seed)
    order = tuple(tuple(rng.randrange(3) for _ in range(2)) for _ in range(3))
    sizes = {"t": 3, "b": 2, "n": 3} | {dim: rng.choice([1, 1, 2, 3, 4, 5]) for dim in "xyz"}
    draft = Draft(rng, Builder([], order), sizes)
    for dim, size in sizes.items():
        draft.builder.dim(dim, size)
    _inputs(draft)
    _virtuals_and_products(draft)
    _results(draft)
    return Case(draft.builder.finish(), draft.stored), draft.results
