"""From a program to its schedule (PROTOCOL 6.3, 7.4, 7.5, 7.9, 8.1, 8.5): one deterministic walk, no values.

The order in which claims are settled, slots are numbered and products are listed is part of the protocol.
"""

from __future__ import annotations

from zk.protocol.errors import LimitError, ProgramError
from zk.protocol.functional import Eq, Functional, Term, Vec, pull_back
from zk.protocol.ir import SEG, UNIT, Lookup, Product, Program, Public, Stored, multiplicity_name
from zk.protocol.layout import layout_of
from zk.protocol.params import MAX_LOG_LEAVES, MAX_ROWS, PadProfile, StoreProfile, log2_ceil
from zk.protocol.schedule import (
    LEAF_POINT,
    Block,
    End,
    Instance,
    Level,
    Lin,
    LookupSchedule,
    Operand,
    Schedule,
    Split,
    Tableau,
    Value,
    space_label,
)
from zk.protocol.tables import Table


def compile_schedule(program: Program, profile: StoreProfile, pad_profile: PadProfile) -> Schedule:
    """Derive the schedule. Raises `ProgramError` or `LimitError` for programs outside the protocol."""
    return _Compiler(program, profile, pad_profile).run()


class _Compiler:
    def __init__(self, program: Program, profile: StoreProfile, pad_profile: PadProfile) -> None:
        self._program = program
        self._sizes = program.sizes
        self._out = Schedule(program, profile, pad_profile, _place(program, profile), equations=program.equations)
        self._pending: dict[int, list[tuple[Product, Functional, Value]]] = {}
        self._level_of = _product_levels(program)

    def run(self) -> Schedule:
        self._lookup_phase()
        self._equation_phase()
        for number in range(1, max(self._level_of.values(), default=0) + 1):
            self._level_phase(number)
        if self._program.raw is not None:
            self._out.lins.append(Lin((), Value(), ((1, self._program.raw.left), (-1, self._program.raw.right))))
        if not self._out.lins:
            raise ProgramError("the program states nothing about committed tensors")
        self._out.batch_rounds = [(self._slot(), self._slot()) for _ in range(self._out.batch_vars)]
        self._out.vr = self._slot()
        return self._out

    def _slot(self) -> int:
        self._out.n_scalars += 1
        return self._out.n_scalars - 1

    def _triple(self) -> tuple[int, int, int]:
        return self._slot(), self._slot(), self._slot()

    def _multiply(self, x: int, y: int) -> None:
        if (x, y) not in self._out.products:
            self._out.products.append((x, y))

    # -- lookups (section 8) -------------------------------------------------------------------------------------
    def _lookup_phase(self) -> None:
        if not self._program.lookups:
            return
        tables = self._program.tables()
        blocks = _lookup_blocks(self._program, tables)
        used = sum(1 << block.log_size for block in blocks)
        depth = log2_ceil(used)
        if depth > MAX_LOG_LEAVES:
            raise LimitError(f"{used} lookup leaves, at most 2^{MAX_LOG_LEAVES}; shorten the segment")
        lookups = LookupSchedule(tables, blocks, depth, used, self._slot(), self._slot())
        self._multiply(lookups.q0, lookups.inverse)
        for j in range(depth):
            rounds = [self._triple() for _ in range(j)]
            ends = (self._slot(), self._slot(), self._slot(), self._slot())
            pl, pr, ql, qr = ends
            for x, y in ((pl, qr), (pr, ql), (ql, qr)):
                self._multiply(x, y)
            lookups.layers.append((rounds, ends))
        self._out.lookups = lookups
        self._out.lins += _leaf_claims(self._program, lookups)

    # -- equations (7.5) -----------------------------------------------------------------------------------------
    def _equation_phase(self) -> None:
        for equation in self._program.equations:
            self._out.spaces.setdefault(equation.dims, sum(log2_ceil(self._sizes[dim]) for dim in equation.dims))
        for equation in self._program.equations:
            claim = Functional(1, (), _eq_vecs(space_label(equation.dims), 0, equation.dims, self._sizes))
            leaves = []
            for term in equation.terms:
                leaves += self._flatten(term, claim)
            self._settle(leaves, Value(), self._out.terms)

    def _flatten(self, term: Term, claim: Functional) -> list[tuple[Functional, str]]:
        """`claim` on the output of `term`, as claims on stored, public and product tensors."""
        dims = self._program.dims(term.tensor)
        return self._expand(term.tensor, pull_back(term, dims, claim, self._sizes))

    def _expand(self, name: str, claim: Functional) -> list[tuple[Functional, str]]:
        return _expand(self._program, name, claim)

    def _settle(self, leaves: list[tuple[Functional, str]], value: Value, splits: list[Split]) -> None:
        """Turn leaf claims with a total `value` into product claims, at most one linear claim, and masked splits."""
        stored, publics, products = [], list(value.publics), []
        for functional, name in leaves:
            tensor = None if name == UNIT else self._program.tensors[name]
            if tensor is None or isinstance(tensor, Public):
                publics.append((functional, name))
            elif isinstance(tensor, Stored):
                stored.append((functional, name))
            elif isinstance(tensor, Product):
                products.append((functional, tensor))
        if not stored and len(products) == 1:
            functional, product = products[0]
            self._claim(product, functional, Value(value.slots, tuple(publics)))
            return
        slots = list(value.slots)
        for functional, product in products:
            split = Split(self._slot(), product.name, functional)
            splits.append(split)
            slots.append((-1, split.slot))
            self._claim(product, functional, Value(((1, split.slot),)))
        self._out.lins.append(Lin(tuple(stored), Value(tuple(slots), tuple(publics))))

    def _claim(self, product: Product, functional: Functional, value: Value) -> None:
        self._pending.setdefault(self._level_of[product.name], []).append((product, functional, value))

    # -- levels (7.4, 7.9) ---------------------------------------------------------------------------------------
    def _level_phase(self, number: int) -> None:
        claims = self._pending.pop(number)
        bounds = [_bound_dims(self._program, product) for product, _, _ in claims]
        level = Level(number, max(self._n_vars(bound) for bound in bounds))
        level.rounds = [self._triple() for _ in range(level.n_vars)]
        seen: dict[tuple[str, Functional], int] = {}
        for (product, functional, value), bound in zip(claims, bounds, strict=True):
            a, b = (self._operand(level, product, name, functional, bound, seen) for name in (product.a, product.b))
            if a.slot < 0 and b.slot < 0:
                raise ProgramError(f"product {product.name}: both operands are public")
            if a.slot >= 0 and b.slot >= 0:
                self._multiply(a.slot, b.slot)
            level.instances.append(Instance(product.name, functional, value, bound, self._n_vars(bound), a, b))
        self._out.levels.append(level)
        for end in list(level.ends):
            self._settle(self._expand(end.tensor, end.functional), Value(((1, end.slot),)), level.splits)

    def _n_vars(self, bound: tuple[str, ...]) -> int:
        return sum(log2_ceil(self._sizes[dim]) for dim in bound)

    def _operand(
        self,
        level: Level,
        product: Product,
        name: str,
        claim: Functional,
        bound: tuple[str, ...],
        seen: dict[tuple[str, Functional], int],
    ) -> Operand:
        start = level.n_vars - self._n_vars(bound)
        vecs: dict[str, Vec] = dict(claim.vecs) | dict(_eq_vecs(level.point, start, bound, self._sizes))
        functional = Functional(1, (), tuple((dim, vecs[dim]) for dim in self._program.dims(name)))
        if name == UNIT or isinstance(self._program.tensors[name], Public):
            return Operand(name, functional, -1)
        key = (name, functional)
        if key not in seen:
            seen[key] = self._slot()
            level.ends.append(End(seen[key], name, functional))
        return Operand(name, functional, seen[key])


def _place(program: Program, profile: StoreProfile) -> list[Tableau]:
    tableaux, row = [], 0
    for role in [*program.roles, SEG]:
        layout = layout_of([(item.layout_name, program.shape(item.name)) for item in program.stored(role)], profile.l)
        log_rows = log2_ceil(max(layout.n_rows, 1))
        tableaux.append(Tableau(role, layout, row, log_rows, log_rows + profile.log_l))
        row += layout.n_rows
    if row > MAX_ROWS:
        raise LimitError(f"{row} rows in one proof, at most {MAX_ROWS}; use a larger profile or shorter segments")
    return tableaux


def _eq_vecs(point: str, start: int, dims: tuple[str, ...], sizes: dict[str, int]) -> tuple[tuple[str, Vec], ...]:
    out: list[tuple[str, Vec]] = []
    for dim in dims:
        n_bits = log2_ceil(sizes[dim])
        out.append((dim, Eq(point, start, n_bits)))
        start += n_bits
    return tuple(out)


def _expand(program: Program, name: str, claim: Functional) -> list[tuple[Functional, str]]:
    tensor = None if name == UNIT else program.tensors[name]
    if tensor is None or isinstance(tensor, Stored | Public | Product):
        return [(claim, name)]
    out = []
    for term in tensor.terms:
        out += _expand(program, term.tensor, pull_back(term, program.dims(term.tensor), claim, program.sizes))
    return out


def _bound_dims(program: Program, product: Product) -> tuple[str, ...]:
    """Bound output dims in output order, then contracted dims in the order of operand a (6.3)."""
    dims_a, dims_b = program.dims(product.a), program.dims(product.b)
    out_bound = tuple(dim for dim in product.dims if dim in dims_a and dim in dims_b)
    return out_bound + tuple(dim for dim in dims_a if dim in dims_b and dim not in product.dims)


def _bases(program: Program, name: str) -> set[str]:
    tensor = None if name == UNIT else program.tensors[name]
    if isinstance(tensor, Product):
        return {name}
    if tensor is None or isinstance(tensor, Stored | Public):
        return set()
    return set().union(*(_bases(program, term.tensor) for term in tensor.terms))


def _product_levels(program: Program) -> dict[str, int]:
    """Longest path from an equation, for every product that is reached; products of stored tensors all wait for the last."""
    level: dict[str, int] = {}
    for equation in program.equations:
        for term in equation.terms:
            for name in _bases(program, term.tensor):
                level[name] = 1
    for item in reversed([item for item in program.declarations if isinstance(item, Product)]):
        if item.name not in level:
            continue
        for name in _bases(program, item.a) | _bases(program, item.b):
            level[name] = max(level.get(name, 0), level[item.name] + 1)
    last = max(level.values(), default=0)
    for name in level:
        product = program.tensors[name]
        if isinstance(product, Product) and not _bases(program, product.a) | _bases(program, product.b):
            level[name] = last
    return level


def _lookup_blocks(program: Program, tables: list[Table]) -> list[Block]:
    raw: list[tuple[int, int, Lookup | None]] = []
    for lookup in program.lookups:
        size = sum(log2_ceil(program.sizes[dim]) for dim in lookup.dims)
        raw.append((size, 1 + tables.index(lookup.table), lookup))
    raw += [(table.key_bits, tag, None) for tag, table in enumerate(tables, start=1)]
    blocks, offset = [], 0
    for size, tag, found in sorted(raw, key=lambda item: -item[0]):
        blocks.append(Block(size, offset, tag, found))
        offset += 1 << size
    return blocks


def _leaf_claims(program: Program, lookups: LookupSchedule) -> list[Lin]:
    """The two claims of section 8.5: numerators on the multiplicities, denominators on the lookup columns."""
    numerators: list[tuple[Functional, str]] = []
    denominators: list[tuple[Functional, str]] = []
    for block in lookups.blocks:
        start = lookups.depth - block.log_size
        if block.lookup is None:
            name = multiplicity_name(block.tag)
            vecs = _eq_vecs(LEAF_POINT, start, program.dims(name), program.sizes)
            numerators.append((Functional(-1, (block.weight(lookups.depth),), vecs), name))
            continue
        vecs = _eq_vecs(LEAF_POINT, start, block.lookup.dims, program.sizes)
        for second, terms in ((False, block.lookup.key), (True, block.lookup.value)):
            claim = Functional(-1, (block.weight(lookups.depth, second),), vecs)
            for term in terms:
                if term.tensor != UNIT:
                    dims = program.dims(term.tensor)
                    denominators.append((pull_back(term, dims, claim, program.sizes), term.tensor))
    return [Lin(tuple(numerators), "leaf.p"), Lin(tuple(denominators), "leaf.q")]
