"""Symbolic claims: functionals as products of one vector a dimension, and their pull-back (PROTOCOL 7.2, 7.3).

Everything here is structure without values: a vector refers to a challenge point by name and coordinates, so that the
schedule of a program can be derived before any challenge exists and two uses of one operand compare equal exactly when
they are bound at the same coordinates (6.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zk.protocol.errors import ProgramError
from zk.protocol.field import ZERO, K, k_add, k_scale


@dataclass(frozen=True)
class Eq:
    """eq(z, .) for coordinates start .. start+n-1 of the named point."""

    point: str
    start: int
    n: int


@dataclass(frozen=True)
class Ones:
    """All valid indices, weight one."""


@dataclass(frozen=True)
class Unit:
    index: int


@dataclass(frozen=True)
class Weights:
    """A public integer vector."""

    values: tuple[int, ...]


@dataclass(frozen=True)
class Mapped:
    """M^T applied to `inner`, for a public square map M on the same dimension."""

    map: MatrixMap
    inner: Vec


@dataclass(frozen=True)
class Gathered:
    """Rows gathered by the public order: M[n] = sum over idx(t,b) = n of first[t] * second[b]."""

    first: Vec
    second: Vec


Vec = Eq | Ones | Unit | Weights | Mapped | Gathered


class MatrixMap(Protocol):
    """A public square matrix on one dimension."""

    @property
    def dim(self) -> str: ...

    def transpose(self, values: list[K]) -> list[K]: ...


@dataclass(frozen=True)
class Kernel:
    """Strictly causal time kernel y[t] = sum_{s<t} weights[s] x[s] (10.2, plain SGD with learning-rate numerators)."""

    dim: str
    weights: tuple[int, ...]

    def transpose(self, values: list[K]) -> list[K]:
        out = [ZERO] * len(values)
        suffix = ZERO
        for s in range(len(values) - 1, -1, -1):
            out[s] = k_scale(suffix, self.weights[s])
            suffix = k_add(suffix, values[s])
        return out


@dataclass(frozen=True)
class Prefix:
    """Inclusive prefix sum y[i] = sum_{j<=i} x[j]."""

    dim: str

    def transpose(self, values: list[K]) -> list[K]:
        out = list(values)
        for i in range(len(values) - 2, -1, -1):
            out[i] = k_add(out[i], out[i + 1])
        return out


@dataclass(frozen=True)
class SumDim:
    """Sum a dimension of the tensor away, with public integer weights or ones."""

    dim: str
    weights: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Select:
    """Keep index `index` of a dimension and drop the dimension."""

    dim: str
    index: int


@dataclass(frozen=True)
class Gather:
    """Replace dimension `dim` by (first, second) through the program's public order idx(first, second)."""

    dim: str
    first: str
    second: str


Map = Kernel | Prefix | SumDim | Select | Gather


@dataclass(frozen=True)
class Term:
    """coef * maps(tensor); maps apply left to right; dims missing at the end are broadcast."""

    coef: int
    tensor: str
    maps: tuple[Map, ...] = ()

    def scaled(self, factor: int) -> Term:
        return Term(self.coef * factor, self.tensor, self.maps)


@dataclass(frozen=True)
class Total:
    """The scalar sum_i vec[i] over a dimension of size `size` (a broadcast, pulled back)."""

    vec: Vec
    size: int


@dataclass(frozen=True)
class BlockWeight:
    """eq(r_hi, block) of a LogUp block, times gamma_1 if `second`: block = leading `n_bits` bits with value `index`."""

    n_bits: int
    index: int
    second: bool


Factor = Total | BlockWeight


@dataclass(frozen=True)
class Functional:
    """coef * prod(factors) * prod over dims of vec_d."""

    coef: int
    factors: tuple[Factor, ...]
    vecs: tuple[tuple[str, Vec], ...]

    def vec(self, dim: str) -> Vec:
        return dict(self.vecs)[dim]


def term_dims(term: Term, dims: tuple[str, ...]) -> tuple[str, ...]:
    """Dimensions left after the maps of `term`, for a tensor with `dims`."""
    out = list(dims)
    for item in term.maps:
        if item.dim not in out:
            raise ProgramError(f"term on {term.tensor}: no dimension {item.dim}")
        at = out.index(item.dim)
        if isinstance(item, SumDim | Select):
            del out[at]
        elif isinstance(item, Gather):
            out[at : at + 1] = [item.first, item.second]
    return tuple(out)


def pull_back(term: Term, dims: tuple[str, ...], claim: Functional, sizes: dict[str, int]) -> Functional:
    """The functional on the tensor of `term` (dims `dims`) that equals `claim` on the term's output."""
    vecs = dict(claim.vecs)
    coef = claim.coef * term.coef
    factors = claim.factors
    kept = term_dims(term, dims)
    for dim, vec in claim.vecs:
        if dim not in kept:
            factors += (Total(vecs.pop(dim), sizes[dim]),)
            if isinstance(vec, Gathered):
                raise ProgramError(f"term on {term.tensor}: a gathered dimension cannot be broadcast")
    for item in reversed(term.maps):
        if isinstance(item, SumDim):
            vecs[item.dim] = Ones() if item.weights is None else Weights(item.weights)
        elif isinstance(item, Select):
            vecs[item.dim] = Unit(item.index)
        elif isinstance(item, Gather):
            vecs[item.dim] = Gathered(vecs.pop(item.first), vecs.pop(item.second))
        else:
            vecs[item.dim] = Mapped(item, vecs[item.dim])
    return Functional(coef, factors, tuple((dim, vecs[dim]) for dim in dims))
