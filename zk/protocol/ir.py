"""Tensor programs: stored, public, virtual and product tensors, equations and lookups (PROTOCOL 7.1).

`Builder` is what programs and relations write to; `Program` is the frozen result. Declaration order is canonical.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zk.protocol.errors import LimitError, ProgramError
from zk.protocol.functional import Gather, Map, SumDim, Term, term_dims
from zk.protocol.params import (
    MAX_DENSE_VECTOR,
    MAX_DIMS,
    MAX_EQUATIONS,
    MAX_PUBLIC_ENTRIES,
    MAX_SPARSE_SUPPORT,
    MAX_TENSORS,
)
from zk.protocol.tables import Table

SEG = "SEG"
UNIT = "ONE"


@dataclass(frozen=True)
class Stored:
    """A committed tensor; `role` names the tableau, the name inside its layout is `name` without the `role.` prefix."""

    name: str
    role: str
    dims: tuple[str, ...]

    @property
    def layout_name(self) -> str:
        return self.name.removeprefix(self.role + ".")


@dataclass(frozen=True)
class Public:
    """A tensor both sides know; row-major values."""

    name: str
    dims: tuple[str, ...]
    values: tuple[int, ...]


@dataclass(frozen=True)
class Virtual:
    """An integer combination of mapped tensors; never stored."""

    name: str
    dims: tuple[str, ...]
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Product:
    """Bilinear sum: out[dims] = sum over dims shared by a and b but not in `dims` of a * b (7.4)."""

    name: str
    dims: tuple[str, ...]
    a: str
    b: str


Tensor = Stored | Public | Virtual | Product


@dataclass(frozen=True)
class Equation:
    """sum of terms = 0 at every valid index of `dims`; a field equation holds mod p only (7.7)."""

    dims: tuple[str, ...]
    terms: tuple[Term, ...]
    is_field: bool = False


@dataclass(frozen=True)
class Lookup:
    """(key[, value]) in `table` at every valid index of `dims`; components are constants (tensor ONE) plus stored tensors."""

    table: Table
    dims: tuple[str, ...]
    key: tuple[Term, ...]
    value: tuple[Term, ...] = ()


@dataclass(frozen=True)
class RawEquality:
    """Two tableaux hold the same raw message (REFRESH, 4.5)."""

    left: str
    right: str


@dataclass
class Program:
    """A finished program. `order` is idx(t, b) for Gather maps; `declarations` keeps equations and lookups interleaved."""

    sizes: dict[str, int]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    declarations: list[Tensor | Equation | Lookup] = field(default_factory=list)
    order: tuple[tuple[int, ...], ...] = ()
    raw: RawEquality | None = None
    roles: list[str] = field(default_factory=list)

    @property
    def equations(self) -> list[Equation]:
        return [item for item in self.declarations if isinstance(item, Equation)]

    @property
    def lookups(self) -> list[Lookup]:
        return [item for item in self.declarations if isinstance(item, Lookup)]

    def stored(self, role: str) -> list[Stored]:
        return [item for item in self.tensors.values() if isinstance(item, Stored) and item.role == role]

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.sizes[dim] for dim in self.dims(name))

    def dims(self, name: str) -> tuple[str, ...]:
        return () if name == UNIT else self.tensors[name].dims

    def tables(self) -> list[Table]:
        """Distinct tables in order of first use; the tag of a table is 1 + its position."""
        out: list[Table] = []
        for lookup in self.lookups:
            if lookup.table not in out:
                out.append(lookup.table)
        return out


class Builder:
    """Checks every declaration as it is made and refuses a malformed program with `ProgramError`."""

    def __init__(self, roles: list[str], order: tuple[tuple[int, ...], ...] = ()) -> None:
        self._program = Program({}, order=order, roles=roles)

    def dim(self, name: str, size: int) -> str:
        """Declare an index dimension (idempotent for equal sizes)."""
        known = self._program.sizes.setdefault(name, size)
        if known != size or size < 1:
            raise ProgramError(f"dimension {name} has size {size}, declared {known}")
        return name

    def stored(self, name: str, role: str, *dims: str) -> str:
        if role != SEG and role not in self._program.roles:
            raise ProgramError(f"tensor {name}: unknown role {role}")
        return self._add(Stored(name, role, dims))

    def public(self, name: str, dims: tuple[str, ...], values: tuple[int, ...]) -> str:
        size = 1
        for dim in dims:
            size *= self._size(dim)
        if size > MAX_PUBLIC_ENTRIES:
            raise LimitError(f"public tensor {name}: {size} entries, at most {MAX_PUBLIC_ENTRIES}")
        if len(values) != size:
            raise ProgramError(f"public tensor {name}: {len(values)} values for {size} entries")
        return self._add(Public(name, dims, values))

    def virtual(self, name: str, dims: tuple[str, ...], *terms: Term) -> str:
        self._check_terms(name, dims, terms)
        return self._add(Virtual(name, dims, terms))

    def product(self, name: str, dims: tuple[str, ...], a: str, b: str) -> str:
        dims_a, dims_b = set(self._dims(a)), set(self._dims(b))
        bad = (set(dims) - dims_a - dims_b) | ((dims_a ^ dims_b) - set(dims))
        if bad:
            raise ProgramError(f"product {name}: dimensions {sorted(bad)} are neither shared nor in the result")
        return self._add(Product(name, dims, a, b))

    def equation(self, dims: tuple[str, ...], *terms: Term, is_field: bool = False) -> None:
        self._check_terms("equation", dims, terms)
        if len(self._program.equations) >= MAX_EQUATIONS:
            raise LimitError(f"more than {MAX_EQUATIONS} equations")
        self._program.declarations.append(Equation(dims, terms, is_field))

    def lookup(self, table: Table, dims: tuple[str, ...], key: tuple[Term, ...], value: tuple[Term, ...] = ()) -> None:
        table.check()
        self._check_terms("lookup", dims, key + value)
        for term in key + value:
            if term.tensor != UNIT and not isinstance(self._program.tensors[term.tensor], Stored):
                raise ProgramError(f"lookup into {table.name}: {term.tensor} is not a stored tensor")
        if table.is_function != bool(value):
            raise ProgramError(f"lookup into {table.name}: wrong number of components")
        if table.exclusive and any(item.table == table for item in self._program.lookups):
            raise ProgramError(f"table {table.name}{table.params} is exclusive and already in use")
        self._program.declarations.append(Lookup(table, dims, key, value))

    def raw_equality(self, left: str, right: str) -> None:
        self._program.raw = RawEquality(left, right)

    def finish(self) -> Program:
        """Freeze; adds one multiplicity tensor a table (stored in SEG, one entry a row)."""
        program = self._program
        for tag, table in enumerate(program.tables(), start=1):
            rows = self.dim(f"rows{tag}", table.n_rows)
            self.stored(multiplicity_name(tag), SEG, rows)
        return program

    def _size(self, dim: str) -> int:
        if dim not in self._program.sizes:
            raise ProgramError(f"unknown dimension {dim}")
        return self._program.sizes[dim]

    def _dims(self, name: str) -> tuple[str, ...]:
        if name != UNIT and name not in self._program.tensors:
            raise ProgramError(f"unknown tensor {name}")
        return self._program.dims(name)

    def _add(self, tensor: Tensor) -> str:
        if tensor.name in self._program.tensors or tensor.name == UNIT:
            raise ProgramError(f"tensor {tensor.name} declared twice")
        if len(tensor.dims) > MAX_DIMS or len(set(tensor.dims)) != len(tensor.dims):
            raise ProgramError(f"tensor {tensor.name}: dimensions {tensor.dims}")
        if len(self._program.tensors) >= MAX_TENSORS:
            raise LimitError(f"more than {MAX_TENSORS} tensors")
        for dim in tensor.dims:
            self._size(dim)
        self._program.tensors[tensor.name] = tensor
        self._program.declarations.append(tensor)
        return tensor.name

    def _check_terms(self, where: str, dims: tuple[str, ...], terms: tuple[Term, ...]) -> None:
        for dim in dims:
            self._size(dim)
        for term in terms:
            left = term_dims(term, self._dims(term.tensor))
            if term.coef == 0 or not set(left) <= set(dims) or len(set(left)) != len(left):
                raise ProgramError(f"{where}: term on {term.tensor} leaves {left}, expected within {dims}")
            for item in term.maps:
                self._check_map(where, item)

    def _check_map(self, where: str, item: Map) -> None:
        size = self._size(item.dim)
        weights = getattr(item, "weights", None)
        if weights is not None and (len(weights) != size or size > MAX_DENSE_VECTOR):
            raise ProgramError(f"{where}: {len(weights)} weights for dimension {item.dim} of size {size}")
        index = getattr(item, "index", 0)
        if not 0 <= index < size:
            raise ProgramError(f"{where}: index {index} outside dimension {item.dim} of size {size}")
        if isinstance(item, Gather):
            self._check_gather(where, item, size)

    def _check_gather(self, where: str, item: Gather, size: int) -> None:
        order = self._program.order
        shape = (self._size(item.first), self._size(item.second))
        if len(order) != shape[0] or any(len(row) != shape[1] for row in order):
            raise ProgramError(f"{where}: the order does not have shape {shape}")
        if shape[0] * shape[1] > MAX_SPARSE_SUPPORT or any(not 0 <= n < size for row in order for n in row):
            raise ProgramError(f"{where}: the order reads outside dimension {item.dim}")


def multiplicity_name(tag: int) -> str:
    return f"multiplicity{tag}"


def one(coef: int) -> Term:
    """The constant `coef`, broadcast."""
    return Term(coef, UNIT)


def term(tensor: str, coef: int = 1, *maps: Map) -> Term:
    return Term(coef, tensor, maps)


def sum_over(tensor: str, dim: str, coef: int = 1) -> Term:
    return Term(coef, tensor, (SumDim(dim),))
