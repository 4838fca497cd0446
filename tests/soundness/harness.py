"""Small statements with an honest and a cheating prover.

`Lab` proves a tiny program (registered as a family for one test only) in the toy profile. With `cheat=True` the prover's
own checks are switched off and its integers wrap modulo p, so that whatever is wrong must be found by the verifier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import zk.prover.prove as prover
from tests.unit.zk.ir_evaluator import Evaluator
from zk.protocol.errors import VerificationError
from zk.protocol.field import P, centred
from zk.protocol.functional import Term
from zk.protocol.ir import Equation, Lookup, Product, Program
from zk.protocol.layout import Layout, layout_of
from zk.protocol.params import STORE_PROFILES, padded
from zk.protocol.programs import families
from zk.protocol.programs.families import Family
from zk.protocol.record import DATA, NO_CONTEXT
from zk.protocol.statement import CERT, Bound, Statement
from zk.prover import commitment
from zk.prover.commitment import StoreTableau, commit_store
from zk.prover.contraction import Contractor
from zk.prover.ledger import Ledger
from zk.prover.lookup import components
from zk.verifier.verify import Verified, verify

Array = np.ndarray[Any, Any]
Counts = dict[str, Array]
TOY = "TOY4"
TINY = "tiny"


@dataclass(frozen=True)
class Case:
    """A program and a satisfying witness (tensors of role SEG except multiplicities; committed tensors by role)."""

    program: Program
    witness: Mapping[str, Array]
    committed: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    bounds: tuple[Bound, ...] = ()

    def tensors(self) -> dict[str, Array]:
        """Every stored tensor by full name."""
        out = dict(self.witness)
        for role, values in self.committed.items():
            out |= {f"{role}.{name}": array for name, array in values.items()}
        return out

    def changed(self, **tensors: Array) -> Case:
        """The case with some witness tensors replaced; `__` in a keyword stands for a dot."""
        renamed = {name.replace("__", "."): array for name, array in tensors.items()}
        assert set(renamed) <= set(self.witness), sorted(renamed)
        return Case(self.program, {**self.witness, **renamed}, self.committed, self.bounds)


@dataclass(frozen=True)
class Proven:
    statement: bytes
    proof: bytes

    def verify(self) -> Verified:
        return verify(self.statement, self.proof, allow_toy=True)

    def refused(self, error: type[VerificationError]) -> None:
        """The verifier must raise exactly this class."""
        with pytest.raises(VerificationError) as caught:
            self.verify()
        assert type(caught.value) is error, f"{type(caught.value).__name__}: {caught.value}"


def violations(program: Program, tensors: Mapping[str, Array]) -> list[str]:
    """Declarations that a witness breaks modulo p, as `equation(dims)` or `lookup(tensor)` with their numbers."""
    evaluator, out = Evaluator(program, tensors), []
    for number, item in enumerate(program.declarations):
        if isinstance(item, Equation):
            if np.any(evaluator.total(item.terms, item.dims).astype(object) % P != 0):
                out.append(f"equation {number}")
        elif isinstance(item, Lookup):
            key = evaluator.total(item.key, item.dims).astype(object) % P
            bad = key >= item.table.n_rows
            if item.value:
                values = np.array(item.table.values(), dtype=object)
                value = evaluator.total(item.value, item.dims).astype(object) % P
                bad = bad | (values[np.where(bad, 0, key).astype(np.int64)] != value)
            if np.any(bad):
                out.append(f"lookup {number}")
    return out


class ModularContractor(Contractor):
    """A contractor whose integers wrap modulo p: the cheating prover's arithmetic is that of the field."""

    def terms(self, terms: tuple[Term, ...], dims: tuple[str, ...]) -> Array | None:
        out: Array = np.zeros([self._sizes[dim] for dim in dims], dtype=object)
        for item in terms:
            base = self.integers(item.tensor)
            if base is None:
                return None
            value, left = self._map_integers(base.astype(object), self._program.dims(item.tensor), item)
            order = [left.index(dim) for dim in dims if dim in left]
            shape = [self._sizes[dim] if dim in left else 1 for dim in dims]
            out = out + item.coef * np.transpose(value, order).reshape(shape)
        return wrapped(out)

    def _materialise(self, name: str) -> Array | None:
        tensor = self._program.tensors.get(name)
        if isinstance(tensor, Product):
            if set(self._program.dims(tensor.a)) != set(tensor.dims) or set(self._program.dims(tensor.b)) != set(tensor.dims):
                return None
            a, b = self.terms((Term(1, tensor.a),), tensor.dims), self.terms((Term(1, tensor.b),), tensor.dims)
            return None if a is None or b is None else wrapped(a.astype(object) * b.astype(object))
        return super()._materialise(name)


def wrapped(values: Array) -> Array:
    """Centred representatives modulo p, as int64."""
    flat = [centred(int(value) % P) for value in values.reshape(-1)]
    return np.array(flat, dtype=np.int64).reshape(values.shape)


def lenient_multiplicities(program: Program, contractor: Contractor) -> Counts:
    """Histograms that silently leave out whatever is not a row of its table."""
    tables, out = program.tables(), {}
    counts = [np.zeros(table.n_rows, dtype=np.int64) for table in tables]
    for lookup in program.lookups:
        key, value = components(lookup, contractor)
        good = (key >= 0) & (key < lookup.table.n_rows)
        if value is not None:
            good &= np.array(lookup.table.values(), dtype=np.int64)[np.where(good, key, 0)] == value
        counts[tables.index(lookup.table)] += np.bincount(key[good], minlength=lookup.table.n_rows)
    for tag, count in enumerate(counts, start=1):
        out[f"multiplicity{tag}"] = count
    return out


def switch_off_self_checks(patch: pytest.MonkeyPatch, counts: Callable[[Counts], Counts] | None = None) -> None:
    """Make the prover prove anything; `counts` tampers with the multiplicities it commits to."""

    def multiplicities(program: Program, contractor: Contractor) -> Counts:
        honest = lenient_multiplicities(program, contractor)
        return counts(honest) if counts else honest

    patch.setattr(prover, "count_multiplicities", multiplicities)
    patch.setattr(prover, "_check_constraints", lambda session, done: None)
    patch.setattr(prover, "Contractor", ModularContractor)


def fill_padding(patch: pytest.MonkeyPatch, value: Callable[[str, Array], Array]) -> None:
    """Storage outside the valid shape holds `value(tensor, padded array)` there instead of zero."""
    honest = commitment.flatten

    def flatten(layout: Layout, profile: Any, tensors: dict[str, Array]) -> Array:
        flat = honest(layout, profile, tensors).reshape(-1)
        for placed in layout.tensors:
            block = flat[placed.offset : placed.offset + (1 << placed.log_size)].reshape([padded(size) for size in placed.shape])
            valid = np.zeros(block.shape, dtype=bool)
            valid[tuple(slice(0, size) for size in placed.shape)] = True
            block[...] = np.where(valid, block, value(placed.name, block))
        return flat.reshape(layout.n_rows, profile.l)

    patch.setattr(commitment, "flatten", flatten)


_ACCEPTED: dict[tuple[Any, ...], Proven] = {}


class Lab:
    """Proves cases within one test; everything it registers or patches disappears afterwards."""

    def __init__(self, patch: pytest.MonkeyPatch, profile: str = TOY) -> None:
        self.patch = patch
        self.profile = profile

    def commit(self, tensors: Mapping[str, Array], kind: int = DATA, context: bytes = NO_CONTEXT) -> StoreTableau:
        profile = STORE_PROFILES[self.profile]
        layout = layout_of([(name, array.shape) for name, array in tensors.items()], profile.l)
        return commit_store(layout, profile, dict(tensors), kind, context)

    def prove(self, case: Case, *, cheat: bool = False, counts: Callable[[Counts], Counts] | None = None) -> Proven:
        """Prove `case`; a cheating prover checks nothing and may commit to other multiplicities."""
        self.patch.setitem(families.FAMILIES, TINY, Family(CERT, (), lambda st, reader: case.program))
        tableaux = {role: self.commit(tensors) for role, tensors in case.committed.items()}
        roles = tuple((role, tableaux[role].record) for role in case.program.roles)
        st = Statement(CERT, self.profile, TINY, b"", roles, bounds=case.bounds)
        with self.patch.context() as patch:
            if cheat or counts:
                switch_off_self_checks(patch, counts)
            proof = prover.prove(st, dict(case.witness), tableaux, Ledger())
        return Proven(st.encode(), proof)

    def accepted(self, case: Case) -> Proven:
        """The honest fixture satisfies its program and verifies; proven once a test run for equal cases."""
        key = (self.profile, repr((case.program, case.bounds)), *((n, a.tobytes()) for n, a in case.tensors().items()))
        if key not in _ACCEPTED:
            assert violations(case.program, case.tensors()) == []
            proven = self.prove(case)
            proven.verify()
            _ACCEPTED[key] = proven
        self.patch.setitem(families.FAMILIES, TINY, Family(CERT, (), lambda st, reader: case.program))
        return _ACCEPTED[key]

    def refuted(self, case: Case, error: type[VerificationError], *broken: str, counts: Any = None) -> None:
        """A false witness that breaks declarations of the named kinds and no others is refused by the verifier."""
        found = violations(case.program, case.tensors())
        assert {name.split()[0] for name in found} == set(broken), found
        self.prove(case, cheat=True, counts=counts).refused(error)
