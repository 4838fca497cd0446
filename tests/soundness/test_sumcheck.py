"""Sumchecks and what glues them together: claims, scaling of smaller instances, operand values, batching."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import zk.prover.batch as batch
import zk.prover.levels as levels
import zk.prover.prove as prover
from tests.soundness.harness import Array, Case, Lab, fill_padding
from tests.soundness.proof_map import map_proof
from tests.soundness.relations import ints, public
from zk.protocol.errors import ConstraintError, MalformedError, MerkleError, ProgramError, ProximityError
from zk.protocol.field import ONE, k_add, k_inv, k_mul
from zk.protocol.functional import Select, SumDim
from zk.protocol.ir import SEG, Builder, term
from zk.protocol.relations.rescale import signed_window

RNG = np.random.default_rng(11)
X, Y, Z = RNG.integers(-8, 8, (3, 5)), RNG.integers(-8, 8, (5, 6)), RNG.integers(-8, 8, (3,))


def matmul_case(shift: int = 0) -> Case:
    """X Y = M and X o X summed = s, with X, Y committed or in SEG and the results public; `shift` falsifies one entry."""
    b = Builder(["A"])
    i, j, k = b.dim("i", 3), b.dim("j", 5), b.dim("k", 6)
    b.stored("A.X", "A", i, j)
    b.stored("Y", SEG, j, k)
    signed_window(b, "A.X", (i, j), 4)
    signed_window(b, "Y", (j, k), 4)
    product = X @ Y
    product[1, 2] += shift
    b.equation((i, k), term(b.product("XY", (i, k), "A.X", "Y")), public(b, "M", (i, k), product).scaled(-1))
    squares = b.product("XX", (i,), "A.X", "A.X")
    b.equation((i,), term(squares), public(b, "s", (i,), (X**2).sum(axis=1)).scaled(-1))
    return Case(b.finish(), {"Y": Y}, {"A": {"X": X}})


def pure_products_case(e: Array, d: Array) -> Case:
    """e*d = 0 and e*e - e = 0: equations without any stored linear part."""
    b = Builder([])
    n = (b.dim("n", len(e)),)
    for name in ("e", "d"):
        b.stored(name, SEG, *n)
        signed_window(b, name, n, 4)
    b.equation(n, term(b.product("ed", n, "e", "d")))
    b.equation(n, term(b.product("ee", n, "e", "e")), term("e", -1))
    return Case(b.finish(), {"e": e, "d": d})


def test_N24_N28_false_product_claim(lab: Lab) -> None:
    """The initial claim of a level is the public constant of the statement, not something the proof says."""
    lab.accepted(matmul_case())
    lab.refuted(matmul_case(shift=1), ConstraintError, "equation")


def test_N25_smaller_instance_without_its_power_of_two(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    case = matmul_case()
    fixture = lab.accepted(case)
    sizes = {item.n_vars for level in map_proof(fixture.statement, fixture.proof).schedule.levels for item in level.instances}
    assert len(sizes) > 1 or len(map_proof(fixture.statement, fixture.proof).schedule.tableaux) > 1
    monkeypatch.setattr(levels, "HALF", 1)
    monkeypatch.setattr(batch, "HALF", 1)
    lab.prove(case, cheat=True).refused(ConstraintError)


def mixed_sizes_case() -> Case:
    """S(t, b, j) bound in an instance over (t, b), where j is free, and in one over (t, b, j)."""
    b = Builder([])
    t, m, j = b.dim("t", 2), b.dim("b", 3), b.dim("j", 4)
    s, q, r = RNG.integers(-4, 4, (2, 3, 4)), RNG.integers(-4, 4, (2, 3, 4)), RNG.integers(-4, 4, (2, 3))
    for name, dims in (("S", (t, m, j)), ("Q", (t, m, j)), ("R", (t, m))):
        b.stored(name, SEG, *dims)
        signed_window(b, name, dims, 4)
    for number, (factor, values) in enumerate((("R", s * r[..., None]), ("Q", s * q))):
        product = b.product(f"S{factor}", (t, m, j), "S", factor)
        b.equation((t, m, j), term(product), public(b, f"o{number}", (t, m, j), values).scaled(-1))
    return Case(b.finish(), {"S": s, "Q": q, "R": r})


@pytest.mark.parametrize("part", ["scale", "round"])
def test_N25_level_with_two_sizes(lab: Lab, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """2^(n - n_i) in the claim, and one half a round while the smaller instance waits."""
    case = mixed_sizes_case()
    fixture = lab.accepted(case)
    level = map_proof(fixture.statement, fixture.proof).schedule.levels[0]
    assert {item.n_vars for item in level.instances} == {3, 5}
    honest = levels._groups

    def groups(level: Any, weight: Any, vectors: Any, contractor: Any) -> Any:
        out = honest(level, weight, vectors, contractor)
        for group in out:
            group.claim = levels._inner(group)
        return out

    if part == "scale":
        monkeypatch.setattr(levels, "_groups", groups)
    else:
        monkeypatch.setattr(levels, "HALF", 1)
    lab.prove(case, cheat=True).refused(ConstraintError)


def test_N26_operand_values_with_the_right_product(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """alpha u and beta / u satisfy the constraint of the level; the claims on the operands are false."""
    case = matmul_case()
    lab.accepted(case)
    honest = levels._end_values
    factor = (3, 5)

    def values(groups: Any) -> Any:
        out = honest(groups)
        group = next(group for group in groups if group.a_slot != group.b_slot)
        out[group.a_slot] = k_mul(out[group.a_slot], factor)
        out[group.b_slot] = k_mul(out[group.b_slot], k_inv(factor))
        return out

    monkeypatch.setattr(levels, "_end_values", values)
    lab.prove(case, cheat=True).refused(ConstraintError)


def test_N26_operand_value_at_another_point(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    case = matmul_case()
    lab.accepted(case)
    honest = levels._end_values

    def values(groups: Any) -> Any:
        out = honest(groups)
        slot = min(out)
        out[slot] = k_add(out[slot], ONE)
        return out

    monkeypatch.setattr(levels, "_end_values", values)
    lab.prove(case, cheat=True).refused(ConstraintError)


def test_N27_N65_shared_operand_is_sent_at_both_points(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """S is bound at other coordinates in the two instances: two values, and one in place of the other is refused."""
    case = mixed_sizes_case()
    fixture = lab.accepted(case)
    found = map_proof(fixture.statement, fixture.proof)
    ends = [end for end in found.schedule.levels[0].ends if end.tensor == "S"]
    assert len(ends) == 2 and len({end.functional for end in ends}) == 2
    field = found.fields[4 + ends[0].slot]
    assert field.label == "17.ends.1"
    shorter = fixture.proof[: field.start] + fixture.proof[field.stop :]
    from tests.soundness.harness import Proven

    with pytest.raises((ConstraintError, MalformedError, MerkleError)):
        Proven(fixture.statement, shorter).verify()
    honest = levels._end_values

    def once(groups: Any) -> Any:
        out = honest(groups)
        out[ends[1].slot] = out[ends[0].slot]
        return out

    monkeypatch.setattr(levels, "_end_values", once)
    lab.prove(case, cheat=True).refused(ConstraintError)


def test_N65_equal_operands_at_one_point_are_sent_once(lab: Lab) -> None:
    """X o X needs one value of X, and its square is one product."""
    fixture = lab.accepted(matmul_case())
    schedule = map_proof(fixture.statement, fixture.proof).schedule
    squares = [item for level in schedule.levels for item in level.instances if item.product == "XX"]
    assert len(squares) == 1 and squares[0].a.slot == squares[0].b.slot
    assert (squares[0].a.slot, squares[0].a.slot) in schedule.products


@pytest.mark.parametrize("label", ["16.level.1.0", "16.level.1.2", "19.batch.0", "19.batch.3"])
@pytest.mark.parametrize("coefficient", [0, 1])
def test_N29_round_polynomial_changed(lab: Lab, monkeypatch: pytest.MonkeyPatch, label: str, coefficient: int) -> None:
    """s(0) + s(1) is the claim by construction; any other coefficient leads to a false final claim."""
    case = matmul_case()
    lab.accepted(case)
    honest = prover.Masker.send
    used: list[str] = []

    def send(self: Any, name: str, slots: Any, values: Any) -> None:
        if name == label:
            used.append(name)
            values = [k_add(v, ONE) if i == coefficient else v for i, v in enumerate(values)]
        honest(self, name, slots, values)

    monkeypatch.setattr(prover.Masker, "send", send)
    lab.prove(case, cheat=True).refused(ConstraintError)
    assert used


def test_N74_products_without_a_stored_part(lab: Lab) -> None:
    good = pure_products_case(ints(1, 0, 0, 1, 0), ints(0, 5, -3, 0, 7))
    lab.accepted(good)
    lab.refuted(good.changed(d=ints(2, 5, -3, 0, 7)), ConstraintError, "equation")
    lab.refuted(good.changed(e=ints(2, 0, 0, 1, 0)), ConstraintError, "equation")
    lab.refuted(good.changed(e=ints(1, 0, 0, -1, 0)), ConstraintError, "equation")


def test_N74_every_equation_has_a_claim(lab: Lab) -> None:
    """No equation is dropped for having nothing stored in it: each reaches a level or the batch."""
    fixture = lab.accepted(pure_products_case(ints(1, 0, 0, 1, 0), ints(0, 5, -3, 0, 7)))
    schedule = map_proof(fixture.statement, fixture.proof).schedule
    assert {item.product for level in schedule.levels for item in level.instances} == {"ed", "ee"}


def test_N75_garbage_in_contracted_padding(lab: Lab) -> None:
    """5 contracted indices in 8 slots, 6 columns in 8: whatever the other slots hold, the same product verifies."""
    case = matmul_case()
    lab.accepted(case)
    fill_padding(lab.patch, lambda name, block: RNG.integers(1, 1 << 30, block.shape))
    lab.prove(case).verify()
    lab.refuted(matmul_case(shift=1), ConstraintError, "equation")


def test_N75_index_and_vectors_must_fit_the_dimension() -> None:
    for index, weights, fits in ((2, 3, True), (3, 3, False), (-1, 3, False), (2, 4, False), (2, 2, False)):
        b = Builder([])
        i, j = b.dim("i", 3), b.dim("j", 3)
        b.stored("x", SEG, i, j)
        terms = (term("x", 1, Select(i, index)), term("x", 1, SumDim(i, tuple(range(weights)))))
        if fits:
            b.equation((j,), *terms)
        else:
            with pytest.raises(ProgramError):
                b.equation((j,), *terms)


def test_batching_weights_differ_by_claim(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A functional table with a changed claim weight no longer matches the row weights the verifier derives."""
    case = matmul_case()
    lab.accepted(case)
    honest = batch.kernels
    stand_in = SimpleNamespace(**{name: getattr(honest, name) for name in dir(honest)})

    def outer_add(view: Array, head: Array, last: Array) -> None:
        honest.outer_add(view, honest.k_scale(head, (2, 0)), last)

    stand_in.outer_add = outer_add
    monkeypatch.setattr(batch, "kernels", stand_in)
    with pytest.raises((ConstraintError, ProximityError)):
        lab.prove(case, cheat=True).verify()
