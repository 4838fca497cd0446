"""LogUp: values outside their table, false multiplicities, wrong tags, masks, limits, and the rules of bound inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zk.prover.lookup as prover_lookup
from tests.soundness.harness import Array, Case, Counts, Lab, fill_padding
from tests.soundness.relations import SOFTMAX, argmax_case, ints, public, rescale_case, softmax_case
from zk.protocol.bounds import infer_bounds
from zk.protocol.compiler import compile_schedule
from zk.protocol.errors import ConstraintError, LimitError, ProgramError
from zk.protocol.field import P
from zk.protocol.functional import Select, SumDim
from zk.protocol.ir import SEG, Builder, one, term
from zk.protocol.params import PAD_PROFILES, STORE_PROFILES
from zk.protocol.relations.rescale import range_table, signed_window, unsigned_window
from zk.protocol.tables import Table, exp_values


def window_case(value: tuple[int, ...] = (0, 3, 7, 5, 2), width: int = 3) -> Case:
    """One stored tensor with a range lookup and nothing else but a loose equation that any values satisfy."""
    b = Builder([])
    n = (b.dim("n", len(value)),)
    b.stored("x", SEG, *n)
    unsigned_window(b, "x", n, width)
    b.stored("y", SEG, *n)
    signed_window(b, "y", n, 5)
    b.equation(n, term("x"), term("y", -1))
    return Case(b.finish(), {"x": ints(*value), "y": ints(*value)})


def two_tables_case() -> Case:
    """Ranges of 2 and of 4 bits, so that a value may sit in the wrong one."""
    b = Builder([])
    n = (b.dim("n", 5),)
    for name, width in (("x", 2), ("y", 4)):
        b.stored(name, SEG, *n)
        unsigned_window(b, name, n, width)
    return Case(b.finish(), {"x": ints(0, 1, 2, 3, 3), "y": ints(0, 9, 15, 4, 4)})


def counted(table: int, row: int, change: int) -> Any:
    """Add `change` to one multiplicity."""

    def apply(counts: Counts) -> Counts:
        name = f"multiplicity{table}"
        out = counts[name].copy()
        out[row] += change
        return {**counts, name: out}

    return apply


@pytest.mark.parametrize("value", [8, -1, 9, 1 << 40])
def test_N40_value_outside_the_table(lab: Lab, value: int) -> None:
    case = window_case()
    lab.accepted(case)
    false = case.changed(x=ints(0, 3, value, 5, 2), y=ints(0, 3, value, 5, 2))
    broken = ("lookup",)
    lab.refuted(false, ConstraintError, *broken)
    lab.refuted(false, ConstraintError, *broken, counts=counted(1, value % 8, 1))


@pytest.mark.parametrize("change", [-1, 1, P // 3, -(P // 3)])
def test_N41_multiplicity_off(lab: Lab, change: int) -> None:
    case = window_case()
    lab.accepted(case)
    lab.refuted(case, ConstraintError, counts=counted(1, 3, change))


def test_N41_multiplicity_modulo_p_is_the_same_multiplicity(lab: Lab) -> None:
    """p times is no times: the stored element is what counts, and more than p leaves are impossible."""
    case = window_case()
    lab.accepted(case)
    lab.prove(case, counts=lambda counts: counts).verify()
    assert case.program.sizes["rows1"] + case.program.sizes["n"] < P


def test_N41_multiplicity_of_another_table(lab: Lab) -> None:
    """A row used in one range but counted in the other."""
    case = two_tables_case()
    lab.accepted(case)

    def moved(counts: Counts) -> Counts:
        return counted(2, 1, 1)(counted(1, 1, -1)(counts))

    lab.refuted(case, ConstraintError, counts=moved)


def test_N42_value_of_the_wrong_range(lab: Lab) -> None:
    """9 lies in range(4), not in range(2): the tag keeps the two apart."""
    case = two_tables_case()
    lab.accepted(case)
    false = case.changed(x=ints(0, 1, 2, 3, 9))
    lab.refuted(false, ConstraintError, "lookup", counts=counted(2, 9, 1))


def exp_case() -> Case:
    b, keys = Builder([]), ints(0, 5, 9, 31, 2)
    n = (b.dim("n", len(keys)),)
    for name in ("d", "E"):
        b.stored(name, SEG, *n)
    b.lookup(SOFTMAX.exp_table, n, (term("d"),), (term("E"),))
    b.equation(n, term("d"), public(b, "k", n, keys).scaled(-1))
    table = np.array(exp_values(SOFTMAX.s_z, SOFTMAX.s_e, SOFTMAX.w_d), dtype=np.int64)
    return Case(b.finish(), {"d": keys, "E": table[keys]})


@pytest.mark.parametrize("change", [1, -1])
def test_N42_right_key_wrong_value(lab: Lab, change: int) -> None:
    case = exp_case()
    lab.accepted(case)
    bump = ints(0, change, 0, 0, 0)
    lab.refuted(case.changed(E=case.witness["E"] + bump), ConstraintError, "lookup")
    lab.refuted(case.changed(E=case.witness["E"] + bump), ConstraintError, "lookup", counts=counted(1, 5, 1))


def test_N42_value_of_another_key(lab: Lab) -> None:
    case = exp_case()
    lab.accepted(case)
    lab.refuted(case.changed(E=case.witness["E"][ints(1, 0, 2, 3, 4)]), ConstraintError, "lookup")


def test_N42_constant_of_a_component_omitted(lab: Lab) -> None:
    """Y + 2^(w-1) in range(w): 15 fits range(4) only for a prover that forgets the 8."""
    case = rescale_case(values=(37, -37, 8, -8, 240))
    honest = rescale_case()
    lab.accepted(honest)
    assert int(case.witness["Y"].max()) == 15
    lab.refuted(case, ConstraintError, "lookup", counts=counted(1, 15, 1))


def test_N43_numerator_mask_cleared_on_a_valid_row(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prover that leaves the bad row out of its fractional sum: the sum is then right, the mask is not."""
    case = window_case()
    lab.accepted(case)
    false = case.changed(x=ints(0, 3, 8, 5, 2), y=ints(0, 3, 8, 5, 2))
    lab.refuted(false, ConstraintError, "lookup")
    hide_rows(monkeypatch, lambda key: key == 8)
    lab.refuted(false, ConstraintError, "lookup")


def hide_rows(patch: pytest.MonkeyPatch, hidden: Any) -> None:
    """Leaves whose key satisfies `hidden` get numerator 0."""
    honest = prover_lookup._block_values

    def values(lookups: Any, contractor: Any, block: Any) -> tuple[Array, Array, Array | None]:
        numerator, key, value = honest(lookups, contractor, block)
        if block.lookup is not None:
            numerator = np.where(hidden(key), 0, numerator).astype(np.uint64)
        return numerator, key, value

    patch.setattr(prover_lookup, "_block_values", values)


def test_N63_numerator_one_on_a_masked_index(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A padded leaf counted as a lookup (key 0, multiplicity adjusted) is refused as well."""
    case = window_case()
    lab.accepted(case)
    honest = prover_lookup._block_values

    def values(lookups: Any, contractor: Any, block: Any) -> tuple[Array, Array, Array | None]:
        numerator, key, value = honest(lookups, contractor, block)
        if block.lookup is not None:
            numerator = numerator.copy()
            numerator[-1] = 1
        return numerator, key, value

    monkeypatch.setattr(prover_lookup, "_block_values", values)
    lab.refuted(case, ConstraintError, counts=counted(1, 0, 1))


def test_N44_zero_denominator(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Q0 claimed to be zero, with any inverse."""
    import zk.prover.prove as prover

    case = window_case()
    lab.accepted(case)
    honest = prover.Masker.send
    for claim in (((0, 0), (0, 0)), ((0, 0), (1, 0)), ((1, 0), (1, 0)), ((5, 7), (1, 2))):

        def send(self: Any, label: str, slots: Any, values: Any, claim: Any = claim) -> None:
            honest(self, label, slots, claim if label == "08.gkr.root" else values)

        monkeypatch.setattr(prover.Masker, "send", send)
        lab.prove(case, cheat=True).refused(ConstraintError)


def large_program(log_rows: int, n_lookups: int) -> Any:
    b = Builder([])
    n = (b.dim("n", 1 << log_rows),)
    for i in range(n_lookups):
        b.stored(f"x{i}", SEG, *n)
        unsigned_window(b, f"x{i}", n, 16)
    return b.finish()


def test_N45_leaves_including_padding_and_tables() -> None:
    """2^26 is the limit; one table row more than that is too much."""
    profile, pads = STORE_PROFILES["S15"], PAD_PROFILES["P"]
    assert compile_schedule(large_program(24, 3), profile, pads).lookups
    with pytest.raises(LimitError):
        compile_schedule(large_program(24, 4), profile, pads)
    b = Builder([])
    n = (b.dim("n", (1 << 25) + 1),)
    b.stored("x", SEG, *n)
    unsigned_window(b, "x", n, 4)
    with pytest.raises(LimitError):
        compile_schedule(b.finish(), profile, pads)


# ---------------------------------------------------------------- N63: padding is never read by a lookup
def test_N63_garbage_behind_the_class_dimension(lab: Lab) -> None:
    """E[x, C..] holds garbage that would widen the softmax bracket; p fitted to the wider sum is refused."""
    case = softmax_case()
    lab.accepted(case)
    extra = 20
    fill_padding(lab.patch, lambda name, block: np.full_like(block, extra if name == "out.E" else 0))
    lab.prove(case).verify()
    e, total = case.witness["out.E"], case.witness["out.E"].sum(axis=1, keepdims=True) + extra
    p = ((e << (SOFTMAX.s_d + 1)) + total) // (2 * total)
    assert (p != case.witness["out.p"]).any()
    rest = (e << (SOFTMAX.s_d + 1)) + total - 2 * total * p
    false = case.changed(out__p=p, out__r=rest)
    lab.prove(false, cheat=True).refused(ConstraintError)
    brackets = (rest >= 0) & (rest < 2 * total)
    assert brackets.all(), "the forgery is exact for the padded sum"


def test_N63_garbage_behind_a_prefix_sum(lab: Lab) -> None:
    """pre_i of the arg max reads e; garbage in padded e must not move it."""
    case = argmax_case()
    lab.accepted(case)
    fill_padding(lab.patch, lambda name, block: np.ones_like(block) if name == "out.e" else np.zeros_like(block))
    lab.prove(case).verify()
    higher = case.witness["out.e"].copy()
    higher[0] = (0, 0, 1)
    lab.refuted(case.changed(out__e=higher), ConstraintError, "lookup")


# ---------------------------------------------------------------- N69, N73: rules of the compiler
def with_equation(declare: Any, *, coefficient: int = 1) -> Any:
    """x is used in an equation that needs an interval for it; `declare` may or may not give one."""
    b = Builder([])
    n = (b.dim("n", 4), b.dim("c", 3))
    b.stored("x", SEG, *n)
    b.stored("z", SEG, *n)
    unsigned_window(b, "z", n, 4)
    declare(b, n)
    b.equation(n, term("x", 2), term("z", -coefficient))
    return b.finish()


def test_N69_a_window_needs_the_full_shape() -> None:
    infer_bounds(with_equation(lambda b, n: unsigned_window(b, "x", n, 4)), {})
    partial = {
        "nothing": lambda b, n: None,
        "a slice": lambda b, n: b.lookup(range_table(4), n[:1], (term("x", 1, Select("c", 0)),)),
        "a sum": lambda b, n: b.lookup(range_table(4), n[:1], (term("x", 1, SumDim("c")),)),
        "other terms": lambda b, n: b.lookup(range_table(4), n, (term("x"), term("z"))),
        "a factor": lambda b, n: b.lookup(range_table(4), n, (term("x", 2),)),
    }
    for declare in partial.values():
        with pytest.raises(ProgramError):
            infer_bounds(with_equation(declare), {})


def test_N69_lookup_component_that_may_wrap() -> None:
    for weight, fails in ((1 << 50, False), (1 << 60, True)):
        b = Builder([])
        n = (b.dim("n", 4),)
        b.stored("x", SEG, *n)
        unsigned_window(b, "x", n, 5)
        b.lookup(range_table(16), n, (term("x", weight), one(1)))
        if fails:
            with pytest.raises(ProgramError):
                infer_bounds(b.finish(), {})
        else:
            infer_bounds(b.finish(), {})


def test_N69_maximum_needs_its_own_window() -> None:
    """The gaps alone leave m free modulo p; the relation declares a window for m before it is used."""
    program = argmax_case().program
    windows = [item for item in program.lookups if any(part.tensor == "out.m" for part in item.key)]
    assert len(windows) == 1
    assert infer_bounds(program, {})["out.m"] == (-16, 15)
    program.declarations.remove(windows[0])
    with pytest.raises(ProgramError):
        infer_bounds(program, {})


def test_N69_field_equations_are_bits_only() -> None:
    for form in ("bit", "square", "scaled", "other"):
        b = Builder([])
        n = (b.dim("n", 4),)
        for name in ("x", "y"):
            b.stored(name, SEG, *n)
            unsigned_window(b, name, n, 4)
        square = b.product("xx", n, "x", "x")
        terms = {
            "bit": (term(square), term("x", -1)),
            "square": (term(square), one(-1)),
            "scaled": (term(square), term("x", -2)),
            "other": (term(square), term("y", -1)),
        }[form]
        b.equation(n, *terms, is_field=True)
        if form == "bit":
            assert infer_bounds(b.finish(), {})["x"] == (0, 1)
        else:
            with pytest.raises(ProgramError):
                infer_bounds(b.finish(), {})


def test_N73_exclusive_table_serves_one_lookup() -> None:
    b = Builder([])
    n = (b.dim("n", 4),)
    for name in ("x", "y"):
        b.stored(name, SEG, *n)
    alone = Table("range", (4,), "histogram of x")
    b.lookup(alone, n, (term("x"),))
    b.lookup(range_table(4), n, (term("y"),))
    with pytest.raises(ProgramError):
        b.lookup(alone, n, (term("y"),))
    assert len(b.finish().tables()) == 2
