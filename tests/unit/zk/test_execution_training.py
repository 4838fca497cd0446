"""The integer run produces exactly the tensors that the training program declares, and satisfies all of it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.zk.execution_cases import Case, make_case
from tests.unit.zk.ir_evaluator import check_program, multiplicities
from zk.protocol.errors import ProvingError, WindowError
from zk.protocol.ir import Program
from zk.protocol.programs.training import build_training
from zk.prover.execution.training import Execution, run_training

CASES = [
    ((7, 3), "softmax_ce", 5),
    ((7, 6, 3), "softmax_ce", 5),
    ((5, 9, 4, 3), "softmax_ce", 3),
    ((7, 6, 2), "squared_error", 5),
    ((6, 5, 3, 1), "squared_error", 7),
    ((3, 1), "squared_error", 1),
]


def _program(case: Case, public: bool, range_bits: int) -> Program:
    initial = [tuple(int(v) for v in array.ravel()) for array in case.weights] if public else None
    return build_training(case.spec, case.order, initial, range_bits)


def _stored(case: Case, run: Execution, public: bool) -> dict[str, np.ndarray]:
    names = [name for name, _ in case.spec.weight_shapes()]
    stored = case.dataset | run.tensors | {f"W_out.{n}": w for n, w in zip(names, run.weights, strict=True)}
    if not public:
        stored |= {f"W_in.{n}": w for n, w in zip(names, case.weights, strict=True)}
    return stored


@pytest.mark.parametrize(("layers", "loss", "batch"), CASES)
@pytest.mark.parametrize(("public", "range_bits"), [(True, 0), (False, 0), (False, 32), (False, 48)])
def test_names_shapes_equations_and_lookups(layers, loss, batch, public, range_bits):
    case = make_case(layers, loss, batch)
    run = run_training(case.spec, case.order, case.features, case.targets, case.weights, range_bits)
    program = _program(case, public, range_bits)
    declared = {t.name: program.shape(t.name) for t in program.stored("SEG") if not t.name.startswith("multiplicity")}
    assert {name: array.shape for name, array in run.tensors.items()} == declared
    assert all(array.dtype == np.int64 for array in run.tensors.values())
    stored = _stored(case, run, public)
    assert check_program(program, stored) == []
    counts = multiplicities(program, stored)
    assert sum(int(c.sum()) for c in counts.values()) == sum(
        int(np.prod([program.sizes[d] for d in lookup.dims])) for lookup in program.lookups
    )


@pytest.mark.parametrize(("layers", "loss", "batch"), [CASES[2], CASES[4]])
def test_evaluator_refuses_every_changed_tensor(layers, loss, batch):
    case = make_case(layers, loss, batch)
    run = run_training(case.spec, case.order, case.features, case.targets, case.weights, 32)
    program = _program(case, False, 32)
    honest = _stored(case, run, False)
    for name in honest:
        if name == "D.norm2" or (name == "out.e"):
            continue  # training does not read norm2; the choice among tied maxima is free
        changed = dict(honest)
        changed[name] = honest[name].copy()
        changed[name].flat[0] += 1
        assert check_program(program, changed), name


def test_two_segments_equal_one():
    case = make_case((7, 6, 3), "softmax_ce")
    whole = run_training(case.spec, case.order, case.features, case.targets, case.weights)
    first = run_training(case.spec, case.order[:3], case.features, case.targets, case.weights)
    second = run_training(case.spec, case.order[3:], case.features, case.targets, first.weights, first_step=3)
    for a, b in zip(whole.weights, second.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, values in whole.tensors.items():
        np.testing.assert_array_equal(values, np.concatenate([first.tensors[name], second.tensors[name]]))


def test_large_weights_take_the_split_path_and_stay_exact():
    case = make_case((7, 6, 3), "softmax_ce", e=20)
    shifted = [w.copy() for w in case.weights]
    case.features[:, 0] = 0  # its weights may be huge without moving any activation
    shifted[0][0, :] = (1 << 45) + 12345
    run = run_training(case.spec, case.order, case.features, case.targets, shifted)
    big = Case(case.spec, case.order, case.features, case.targets, shifted)
    assert check_program(_program(big, False, 0), _stored(big, run, False)) == []


def test_window_violation_names_tensor_step_sample_and_row():
    case = make_case((7, 6, 3), "softmax_ce")
    row = case.order[4][2]
    first = next((t, b) for t, rows in enumerate(case.order) for b, r in enumerate(rows) if r == row)
    case.features[row] = 2047 * np.sign(case.weights[0][:, 1])
    weights = [w * 4 if i == 0 else w for i, w in enumerate(case.weights)]
    with pytest.raises(WindowError) as caught:
        run_training(case.spec, case.order, case.features, case.targets, weights, first_step=100)
    text = str(caught.value)
    assert text.startswith("L1.A: value ")
    assert f"at step {100 + first[0]}, sample {first[1]} (dataset row {row}), unit" in text
    assert "[0, 8191]" in text


def test_incoming_weight_outside_the_range_check_is_named():
    case = make_case((7, 6, 3), "softmax_ce")
    case.weights[2][1, 2] = 1 << 31
    with pytest.raises(WindowError, match=r"weight2: value 2147483648 at row 1 \(index 1, 2\)"):
        run_training(case.spec, case.order, case.features, case.targets, case.weights, 32)


def test_inputs_that_do_not_fit_are_refused():
    case = make_case((7, 6, 3), "softmax_ce")
    args = (case.spec, case.order, case.features, case.targets, case.weights)
    with pytest.raises(ProvingError, match="features: int64 of shape"):
        run_training(case.spec, case.order, case.features[:-1], *args[3:])
    with pytest.raises(ProvingError, match="targets: float64"):
        run_training(*args[:3], case.targets.astype(float), case.weights)
    with pytest.raises(ProvingError, match="rows below 17"):
        run_training(case.spec, ((17,) * 5,), *args[2:])
    case.features[3, 1] = 2048
    with pytest.raises(WindowError, match=r"D\.X: value 2048 at row 3"):
        run_training(*args)
