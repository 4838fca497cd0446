"""Arithmetic relations: every false witness is refused by the verifier, and the right one is accepted."""

from __future__ import annotations

import numpy as np
import pytest

from tests.soundness.harness import Lab, fill_padding, wrapped
from tests.soundness.relations import (
    SOFTMAX,
    argmax_case,
    compare_case,
    ints,
    public,
    relu_case,
    rescale_case,
    softmax_case,
    softmax_witness,
)
from zk.protocol.bounds import infer_bounds
from zk.protocol.errors import ConstraintError, ProgramError
from zk.protocol.field import P
from zk.protocol.ir import SEG, Builder, Lookup, one, term
from zk.protocol.params import limb_widths
from zk.protocol.relations.rescale import declare_limbs, rescale, signed_window, unsigned_window


def test_N30_rescale_remainder_of_a_full_step(lab: Lab) -> None:
    case = rescale_case()
    lab.accepted(case)
    y, limb = case.witness["Y"], case.witness["q.limb0"]
    bump = ints(1, 0, 0, 0, 0)
    lab.refuted(case.changed(Y=y - bump, q__limb0=limb + 16 * bump), ConstraintError, "lookup")
    lab.refuted(case.changed(Y=y + bump, q__limb0=limb - 16 * bump), ConstraintError, "lookup")


def test_N30_ties_round_up(lab: Lab) -> None:
    """8 / 16 rounds to 1 and -8 / 16 to 0; the other neighbour needs a remainder outside [0, 16)."""
    case = rescale_case()
    assert case.witness["Y"].tolist() == [2, -2, 1, 0, 0]
    lab.accepted(case)
    tie = ints(0, 0, 1, 0, 0)
    false = case.changed(Y=case.witness["Y"] - tie, q__limb0=case.witness["q.limb0"] + 16 * tie)
    lab.refuted(false, ConstraintError, "lookup")


def test_N31_quotient_wrapped_modulo_p(lab: Lab) -> None:
    """Any remainder R has a quotient (V + half - R) / 2^s mod p; only the window of Y refuses it."""
    case = rescale_case()
    lab.accepted(case)
    v, rest = ints(37, -37, 8, -8, 7), (case.witness["q.limb0"] + 1) % 16
    inverse = pow(16, P - 2, P)
    wrong = wrapped((v.astype(object) + 8 - rest) * inverse)
    lab.refuted(case.changed(Y=wrong, q__limb0=rest), ConstraintError, "lookup")


def test_N32_limb_widths_tile_the_shift_exactly(lab: Lab) -> None:
    for shift in range(1, 49):
        assert sum(limb_widths(shift)) == shift and max(limb_widths(shift)) <= 16
    case = rescale_case(values=(1 << 18, 5, -(1 << 18)), shift=17, window=4)
    assert {"q.limb0", "q.limb1"} <= set(case.witness)
    lab.accepted(case)
    bump = ints(1, 0, 0)
    false = case.changed(Y=case.witness["Y"] - bump, q__limb1=case.witness["q.limb1"] + 2 * bump)
    lab.refuted(false, ConstraintError, "lookup")


def test_N33_zero_has_one_sign(lab: Lab) -> None:
    """Y = 0 with sign 0 needs A = -1, which is outside the range of A."""
    case = relu_case()
    lab.accepted(case)
    at = ints(0, 0, 1, 0, 0).astype(bool)
    false = case.changed(L__S=np.where(at, 0, case.witness["L.S"]), L__A=np.where(at, -1, case.witness["L.A"]))
    lab.refuted(false, ConstraintError, "lookup")


def test_N34_sign_is_a_bit(lab: Lab) -> None:
    """S = 2 with 2*2*A - A - 1 + 2 = Y, that is A = (Y - 1) / 3."""
    case = relu_case(values=(20, -20, 0, 1, -1))
    lab.accepted(case)
    at = ints(1, 0, 0, 0, 0).astype(bool)
    false = case.changed(L__S=np.where(at, 2, case.witness["L.S"]), L__A=np.where(at, 3, case.witness["L.A"]))
    lab.refuted(false, ConstraintError, "equation")


def test_N34_negative_value_passed_through_relu(lab: Lab) -> None:
    case = relu_case()
    lab.accepted(case)
    at = ints(0, 1, 0, 0, 0).astype(bool)  # Y = -10 claimed with sign 1 needs A = -10
    false = case.changed(L__S=np.where(at, 1, case.witness["L.S"]), L__A=np.where(at, -10, case.witness["L.A"]))
    lab.refuted(false, ConstraintError, "lookup")


def test_N34_comparison_bit_flipped(lab: Lab) -> None:
    case = compare_case()
    lab.accepted(case)
    at = ints(1, 0, 0, 0).astype(bool)  # 5 >= 0 denied: 5 = -A - 1
    false = case.changed(c__bit=np.where(at, 0, case.witness["c.bit"]), c__A__limb0=np.where(at, -6, case.witness["c.A.limb0"]))
    lab.refuted(false, ConstraintError, "lookup")


LOGITS = np.array(((4, -1, 4), (9, 2, 0)), dtype=np.int64)


def test_N35_softmax_maximum_too_large(lab: Lab) -> None:
    """m = max + 1: every gap is positive, so no chosen index has gap zero."""
    case = softmax_case()
    lab.accepted(case)
    false = {name.replace(".", "__"): array for name, array in softmax_witness(LOGITS, LOGITS.max(axis=1) + ints(1, 0)).items()}
    lab.refuted(case.changed(**false), ConstraintError, "equation")


def test_N35_softmax_second_maximum(lab: Lab) -> None:
    """m = second largest logit: the largest has a negative gap, which no table row allows."""
    case = softmax_case()
    lab.accepted(case)
    top = ints(4, 2)
    columns = softmax_witness(LOGITS, top)
    columns["out.e"] = np.array(((1, 0, 0), (0, 1, 0)), dtype=np.int64)
    lab.refuted(case.changed(**{k.replace(".", "__"): v for k, v in columns.items()}), ConstraintError, "lookup")


def test_N35_softmax_no_index_attains_the_maximum(lab: Lab) -> None:
    case = softmax_case()
    lab.accepted(case)
    columns = softmax_witness(LOGITS, LOGITS.max(axis=1) + ints(0, 1))
    columns["out.e"] = np.array(((1, 0, 0), (0, 0, 0)), dtype=np.int64)
    lab.refuted(case.changed(**{k.replace(".", "__"): v for k, v in columns.items()}), ConstraintError, "equation")


@pytest.mark.parametrize("step", [1, -1])
def test_N35_softmax_probability_off_by_one(lab: Lab, step: int) -> None:
    """p + 1 needs r < 0; p - 1 needs r >= 2S, refused by the second bracket."""
    case = softmax_case()
    lab.accepted(case)
    bump = np.array(((0, 0, 0), (step, 0, 0)), dtype=np.int64)
    total = case.witness["out.E"].sum(axis=1, keepdims=True)
    false = case.changed(out__p=case.witness["out.p"] + bump, out__r=case.witness["out.r"] - 2 * total * bump)
    lab.refuted(false, ConstraintError, "lookup")


def test_N35_softmax_field_quotient(lab: Lab) -> None:
    """p = (2^(s_d+1) E + S - r) / (2S) mod p for a wrong r inside its bracket."""
    case = softmax_case()
    lab.accepted(case)
    e, total = case.witness["out.E"], case.witness["out.E"].sum(axis=1, keepdims=True)
    rest = case.witness["out.r"].copy()
    rest[1, 0] = (rest[1, 0] + 1) % (2 * int(total[1, 0]))
    p = case.witness["out.p"].astype(object)
    numerator = int(e[1, 0]) * (2 << SOFTMAX.s_d) + int(total[1, 0]) - int(rest[1, 0])
    p[1, 0] = numerator * pow(2 * int(total[1, 0]), P - 2, P)
    lab.refuted(case.changed(out__p=wrapped(p), out__r=rest), ConstraintError, "lookup")


@pytest.mark.parametrize("relation", [rescale_case, relu_case, compare_case, argmax_case, softmax_case])
def test_N36_garbage_in_padding_changes_nothing(lab: Lab, relation) -> None:  # type: ignore[no-untyped-def]
    """Zero extension is by definition: whatever the storage behind it holds must verify."""
    case = relation()
    lab.accepted(case)
    rng = np.random.default_rng(5)
    touched: list[str] = []

    def garbage(name: str, block: np.ndarray) -> np.ndarray:
        touched.append(name)
        return rng.integers(1, 1 << 40, block.shape)

    fill_padding(lab.patch, garbage)
    lab.prove(case).verify()
    assert set(case.witness) <= set(touched)


def test_N37_program_that_may_wrap_is_refused() -> None:
    b = Builder([])
    n = (b.dim("n", 4),)
    x = b.stored("x", SEG, *n)
    signed_window(b, x, n, 16)
    square = b.product("x2", n, x, x)
    fourth = b.product("x4", n, square, square)
    b.equation(n, term(fourth, 1 << 4), one(-1))
    with pytest.raises(ProgramError):
        infer_bounds(b.finish(), {})
    fits = Builder([])
    fits.dim("n", 4)
    fits.stored("x", SEG, "n")
    signed_window(fits, "x", n, 16)
    fits.equation(n, term(fits.product("x2", n, "x", "x"), 1 << 32), one(-1))
    infer_bounds(fits.finish(), {})


def test_N37_window_of_64_bits_is_refused() -> None:
    """Four 16-bit limbs reach 2^64 > p: such a decomposition would say nothing."""
    for shift, error in ((48, None), (64, ProgramError)):
        b = Builder([])
        n = (b.dim("n", 2),)
        x = b.stored("x", SEG, *n)
        limbs = declare_limbs(b, "x", n, shift)
        b.equation(n, term(x), *(item.scaled(-1) for item in limbs))
        if error is None:
            infer_bounds(b.finish(), {})
        else:
            with pytest.raises(error):
                infer_bounds(b.finish(), {})


def test_N38_tie_goes_to_the_lowest_index(lab: Lab) -> None:
    case = argmax_case()
    lab.accepted(case)
    higher = case.witness["out.e"].copy()
    higher[0] = (0, 0, 1)
    lab.refuted(case.changed(out__e=higher), ConstraintError, "lookup")


def test_N38_index_that_is_no_maximum(lab: Lab) -> None:
    case = argmax_case()
    lab.accepted(case)
    wrong = case.witness["out.e"].copy()
    wrong[1] = (0, 1, 0)
    # e*d = 0, and the strict gap before the chosen index
    lab.refuted(case.changed(out__e=wrong), ConstraintError, "equation", "lookup")


def test_N38_two_indices_chosen(lab: Lab) -> None:
    case = argmax_case()
    lab.accepted(case)
    both = case.witness["out.e"].copy()
    both[0] = (0, 1, 1)
    lab.refuted(case.changed(out__e=both), ConstraintError, "equation")


def test_N39_quotient_without_window_is_refused() -> None:
    """A division whose quotient is never range-checked is no program."""
    for checked in (True, False):
        b = Builder([])
        n = (b.dim("n", 3),)
        value = public(b, "V", n, ints(37, -37, 8))
        b.stored("Y", SEG, *n)
        b.stored("S", SEG, *n)
        unsigned_window(b, "S", n, 6)
        if checked:
            signed_window(b, "Y", n, 4)
        product = b.product("SY", n, "S", "Y")
        limbs = declare_limbs(b, "r", n, 4)
        b.equation(n, value, term(product, -2), *(item.scaled(-1) for item in limbs))
        if checked:
            infer_bounds(b.finish(), {})
        else:
            with pytest.raises(ProgramError):
                infer_bounds(b.finish(), {})


def test_N39_shared_remainder_window_needs_a_quotient_window() -> None:
    """`rescale` into a tensor with no window infers none for it."""
    b = Builder([])
    n = (b.dim("n", 3),)
    b.stored("Y", SEG, *n)
    rescale(b, "q", n, (public(b, "V", n, ints(1, 2, 3)),), (term("Y"),), 4)
    program = b.finish()
    assert not any(isinstance(item, Lookup) and item.key[0].tensor == "Y" for item in program.declarations)
    with pytest.raises(ProgramError):
        infer_bounds(program, {})
