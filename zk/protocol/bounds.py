"""Static overflow bounds (PROTOCOL 7.7): one pass in declaration order, integers only, nothing from the prover."""

from __future__ import annotations

from zk.protocol.errors import ProgramError
from zk.protocol.field import P
from zk.protocol.functional import Kernel, Map, Prefix, Select, SumDim, Term
from zk.protocol.ir import UNIT, Equation, Lookup, Product, Program, Public, Stored, Virtual

Interval = tuple[int, int]
BIT: Interval = (0, 1)


def infer_bounds(program: Program, given: dict[str, Interval]) -> dict[str, Interval]:
    """Interval of every tensor. `given` holds intervals of pre-existing stored tensors, established elsewhere.

    Raises `ProgramError` where an equation or a lookup could wrap modulo p, or where a tensor is used before it has a
    window.
    """
    known = dict(given)
    for item in program.declarations:
        if isinstance(item, Public):
            known[item.name] = (min(item.values, default=0), max(item.values, default=0))
        elif isinstance(item, Virtual):
            _try_set(known, item.name, lambda item=item: _sum(program, known, item.terms))
        elif isinstance(item, Product):
            _try_set(known, item.name, lambda item=item: _product(program, known, item))
        elif isinstance(item, Equation):
            _equation(program, known, item)
        elif isinstance(item, Lookup):
            _lookup(program, known, item)
    return known


class _Unknown(Exception):
    """A tensor has no interval yet; only inside this module."""


def _try_set(known: dict[str, Interval], name: str, compute) -> None:  # type: ignore[no-untyped-def]
    try:
        known[name] = compute()
    except _Unknown:
        pass  # resolved on demand, when the operand's window has been declared


def _interval(program: Program, known: dict[str, Interval], name: str) -> Interval:
    if name == UNIT:
        return (1, 1)
    if name in known:
        return known[name]
    tensor = program.tensors[name]
    if isinstance(tensor, Virtual):
        known[name] = _sum(program, known, tensor.terms)
    elif isinstance(tensor, Product):
        known[name] = _product(program, known, tensor)
    else:
        raise _Unknown(name)
    return known[name]


def _sum(program: Program, known: dict[str, Interval], terms: tuple[Term, ...]) -> Interval:
    lo = hi = 0
    for term in terms:
        a, b = _term(program, known, term)
        lo, hi = lo + a, hi + b
    return lo, hi


def _term(program: Program, known: dict[str, Interval], term: Term) -> Interval:
    lo, hi = _interval(program, known, term.tensor)
    for item in term.maps:
        lo, hi = _through(program, item, lo, hi)
    a, b = term.coef * lo, term.coef * hi
    return min(a, b), max(a, b)


def _through(program: Program, item: Map, lo: int, hi: int) -> Interval:
    """Interval of a map's output: weights w_i spread [lo, hi] to sums of w_i * x_i over any admissible subset."""
    size = program.sizes[item.dim]
    if isinstance(item, Select):
        return lo, hi
    if isinstance(item, SumDim):
        weights = item.weights if item.weights is not None else (1,) * size
        return _weighted(weights, lo, hi)
    if isinstance(item, Kernel | Prefix):
        weights = item.weights if isinstance(item, Kernel) else (1,) * size
        a, b = _weighted(weights, min(lo, 0), max(hi, 0))
        return a, b
    return lo, hi


def _weighted(weights: tuple[int, ...], lo: int, hi: int) -> Interval:
    positive = sum(w for w in weights if w > 0)
    negative = sum(w for w in weights if w < 0)
    return positive * lo + negative * hi, positive * hi + negative * lo


def _product(program: Program, known: dict[str, Interval], item: Product) -> Interval:
    a, b = _interval(program, known, item.a), _interval(program, known, item.b)
    count = 1
    for dim in program.dims(item.a):
        if dim in program.dims(item.b) and dim not in item.dims:
            count *= program.sizes[dim]
    corners = [x * y for x in a for y in b]
    if item.a == item.b:
        corners = [x * x for x in a] + ([0] if a[0] <= 0 <= a[1] else [])
    return count * min(corners), count * max(corners)


def _equation(program: Program, known: dict[str, Interval], equation: Equation) -> None:
    if equation.is_field:
        _bit_rule(program, known, equation)
        return
    fresh = [term for term in equation.terms if _is_windowless(program, known, term.tensor)]
    if len(fresh) == 1 and _covers(program, fresh[0], equation.dims) and abs(fresh[0].coef) == 1:
        rest = tuple(term.scaled(-fresh[0].coef) for term in equation.terms if term is not fresh[0])
        lo, hi = _checked(program, known, rest, equation)
        if 2 * max(-lo, hi) >= P:
            raise ProgramError(f"{fresh[0].tensor} may reach {max(-lo, hi)}, which is not below p/2")
        known[fresh[0].tensor] = (lo, hi)
        return
    _checked(program, known, equation.terms, equation)


def _is_windowless(program: Program, known: dict[str, Interval], name: str) -> bool:
    return name != UNIT and name not in known and isinstance(program.tensors[name], Stored)


def _covers(program: Program, term: Term, dims: tuple[str, ...]) -> bool:
    return not term.maps and set(program.dims(term.tensor)) == set(dims)


def _checked(program: Program, known: dict[str, Interval], terms: tuple[Term, ...], equation: Equation) -> Interval:
    """Interval of the sum; refuses when the sum of magnitudes can reach p."""
    magnitude = lo = hi = 0
    for term in terms:
        try:
            a, b = _term(program, known, term)
        except _Unknown as error:
            raise ProgramError(f"equation over {equation.dims}: {error} is used before it has a window") from None
        magnitude += max(-a, b)
        lo, hi = lo + a, hi + b
    if magnitude >= P:
        raise ProgramError(f"equation over {equation.dims}: terms may reach 2^{magnitude.bit_length() - 1}, not below p")
    return lo, hi


def _bit_rule(program: Program, known: dict[str, Interval], equation: Equation) -> None:
    """b*b - b = 0 on the full shape of b gives {0, 1}; no other field equation is allowed."""
    if len(equation.terms) != 2 or any(term.maps for term in equation.terms):
        raise ProgramError("a field equation must have the form b*b - b = 0")
    square, linear = equation.terms
    product = program.tensors.get(square.tensor)
    name = linear.tensor
    is_bit = isinstance(product, Product) and product.a == product.b == name and (square.coef, linear.coef) == (1, -1)
    if not is_bit or not _covers(program, linear, equation.dims) or set(program.dims(square.tensor)) != set(equation.dims):
        raise ProgramError("a field equation must have the form b*b - b = 0")
    known[name] = BIT
    known[square.tensor] = BIT


def _lookup(program: Program, known: dict[str, Interval], lookup: Lookup) -> None:
    widths = (1 << lookup.table.key_bits, lookup.table.value_bound() + 1)
    for terms, size in ((lookup.key, widths[0]), (lookup.value, widths[1])):
        if not terms:
            continue
        variables = [term for term in terms if term.tensor != UNIT]
        constant = sum(term.coef for term in terms if term.tensor == UNIT)
        if len(variables) == 1 and abs(variables[0].coef) == 1 and _covers(program, variables[0], lookup.dims):
            sign = variables[0].coef
            window = (-constant, size - 1 - constant) if sign > 0 else (constant - size + 1, constant)
            known[variables[0].tensor] = _meet(known.get(variables[0].tensor), window)
            continue
        try:
            lo, hi = _sum(program, known, terms)
        except _Unknown as error:
            raise ProgramError(f"lookup over {lookup.dims}: {error} is used before it has a window") from None
        if max(-lo, hi) + size >= P:
            raise ProgramError(f"lookup over {lookup.dims}: a component may reach {max(-lo, hi)}")


def _meet(old: Interval | None, new: Interval) -> Interval:
    """Both hold; an old interval that came from elsewhere may be wide, but never reaches p/2 (checked at its source)."""
    return new if old is None else (max(old[0], new[0]), min(old[1], new[1]))
