"""Closed forms and pull-backs of the verifier against their defining sums, on random shapes and points."""

from __future__ import annotations

from itertools import product as indices

from hypothesis import given, settings
from hypothesis import strategies as st

from zk.protocol.claims.multilinear import Points, eq_index, eq_prefix, eq_table, index_extension, ones_prefix
from zk.protocol.field import ZERO, K, P, k_add, k_mul, k_scale
from zk.protocol.functional import Eq, Functional, Gather, Kernel, Map, Ones, Prefix, Select, SumDim, Term, pull_back
from zk.protocol.ir import SEG, Builder
from zk.protocol.params import log2_ceil

ELEMENTS = st.tuples(st.integers(0, P - 1), st.integers(0, P - 1))
POINTS = st.lists(ELEMENTS, min_size=5, max_size=5)


def total(items: list[K]) -> K:
    out = ZERO
    for item in items:
        out = k_add(out, item)
    return out


@given(POINTS, POINTS, st.integers(1, 5), st.data())
@settings(max_examples=60, deadline=None)
def test_prefix_sums(z: list[K], r: list[K], n: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 2**n))
    z, r = z[:n], r[:n]
    assert eq_prefix(z, r, size) == total([k_mul(eq_index(z, i), eq_index(r, i)) for i in range(size)])
    assert ones_prefix(r, size) == total([eq_index(r, i) for i in range(size)])
    assert index_extension(r) == total([k_scale(eq_index(r, i), i) for i in range(2**n)])
    assert eq_table(z) == [eq_index(z, i) for i in range(2**n)]


MAPS: dict[str, tuple[Map, ...]] = {
    "none": (),
    "kernel": (Kernel("a", (3, 1, 4)),),
    "prefix": (Prefix("a"),),
    "sum": (SumDim("a"),),
    "weighted": (SumDim("b", (2, -7, 1, 8, -2)),),
    "select": (Select("b", 3),),
    "kernel, sum": (Kernel("a", (3, 1, 4)), SumDim("b")),
    "gather": (Gather("b", "t", "m"),),
}
ORDER = ((0, 4, 2), (1, 4, 3))


def forward(
    values: dict[tuple[int, ...], int], dims: tuple[str, ...], item: Map, sizes: dict[str, int]
) -> tuple[dict, tuple[str, ...]]:
    """Apply one map to an integer tensor given entry by entry."""
    at = dims.index(item.dim)
    if isinstance(item, Gather):
        left = (*dims[:at], item.first, item.second, *dims[at + 1 :])
        return {
            (*i[:at], t, m, *i[at + 1 :]): values[(*i[:at], ORDER[t][m], *i[at + 1 :])]
            for i in values
            if i[at] == 0
            for t in range(2)
            for m in range(3)
        }, left
    if isinstance(item, SumDim | Select):
        weights = (
            item.weights or (1,) * sizes[item.dim] if isinstance(item, SumDim) else tuple(int(j == item.index) for j in range(5))
        )
        out: dict[tuple[int, ...], int] = {}
        for i, value in values.items():
            key = (*i[:at], *i[at + 1 :])
            out[key] = out.get(key, 0) + weights[i[at]] * value
        return out, (*dims[:at], *dims[at + 1 :])

    def before(s: int, t: int) -> int:
        if isinstance(item, Prefix):
            return int(s <= t)
        return item.weights[s] if s < t else 0

    return {i: sum(before(s, i[at]) * values[(*i[:at], s, *i[at + 1 :])] for s in range(sizes[item.dim])) for i in values}, dims


@given(st.sampled_from(sorted(MAPS)), POINTS, POINTS, st.integers(-5, 5).filter(bool), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_pull_back(name: str, z: list[K], rho: list[K], coef: int, rng: object) -> None:
    """<claim, map(T)> equals <pulled-back claim, T>, also when the claim lives on an extra broadcast dimension."""
    b = Builder([], ORDER)
    sizes = {"a": 3, "b": 5, "e": 2, "t": 2, "m": 3}
    for dim, size in sizes.items():
        b.dim(dim, size)
    b.stored("T", SEG, "a", "b")
    values = {i: rng.randrange(-9, 10) for i in indices(range(3), range(5))}  # type: ignore[attr-defined]
    image, left = dict(values), ("a", "b")
    for item in MAPS[name]:
        image, left = forward(image, left, item, sizes)
    points = Points(b.finish(), {"z": z})
    dims, start, vecs = (*left, *(() if name == "gather" else ("e",))), 0, []
    for dim in dims:
        n = log2_ceil(sizes[dim])
        vecs.append((dim, Eq("z", start, n) if dim != "e" else Ones()))
        start += n
    claim = Functional(1, (), tuple(vecs))
    repeats = 2 if "e" in dims else 1
    weights = [points.dense(vec, sizes[dim]) for dim, vec in vecs if dim != "e"]
    wanted = ZERO
    for i, value in image.items():
        weight = (value * coef * repeats % P, 0)
        for position, vector in zip(i, weights, strict=True):
            weight = k_mul(weight, vector[position])
        wanted = k_add(wanted, weight)
    pulled = pull_back(Term(coef, "T", MAPS[name]), ("a", "b"), claim, sizes)
    corners = [[(i >> (4 - j) & 1, 0) for j in range(5)] for i in range(32)]  # 2 bits of a, 3 bits of b
    table = [points.at(pulled, corner) for corner in corners]
    assert total([k_scale(weight, values.get((i >> 3, i & 7), 0)) for i, weight in enumerate(table)]) == wanted
    assert points.at(pulled, rho) == total([k_mul(eq_index(rho, i), weight) for i, weight in enumerate(table)])
