"""Executions behind certificates and audits produce the declared tensors and satisfy their programs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.zk.execution_cases import Case, make_case
from tests.unit.zk.ir_evaluator import check_program
from zk.protocol.errors import ProvingError, WindowError
from zk.protocol.ir import Program
from zk.protocol.programs.dataset import (
    DatasetSpec,
    build_dataset_certificate,
    build_label_histogram,
    build_nearest_row,
    build_predicate_count,
)
from zk.protocol.programs.weights import Evaluation, build_accuracy, build_weights_certificate
from zk.prover.execution.dataset import dataset_tensors, label_histogram, nearest_row, predicate_count
from zk.prover.execution.inference import count_predictions, run_inference
from zk.prover.execution.training import run_training
from zk.prover.execution.weights import weight_limbs


def _assert_declared(program: Program, tensors: dict[str, np.ndarray]) -> None:
    declared = {t.name: program.shape(t.name) for t in program.stored("SEG") if not t.name.startswith("multiplicity")}
    assert {name: array.shape for name, array in tensors.items()} == declared


def _role(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": values for name, values in tensors.items()}


def _weights(case: Case) -> dict[str, np.ndarray]:
    return {f"W.{name}": w for (name, _), w in zip(case.spec.weight_shapes(), case.weights, strict=True)}


def _grouped(case: Case, n_groups: int) -> tuple[DatasetSpec, dict[str, np.ndarray]]:
    d = case.spec.data
    spec = DatasetSpec(d.rows, d.features, d.x_bits, d.x_scale, d.targets, d.n_targets, d.y_bits, d.y_scale, n_groups)
    groups = np.arange(d.rows) % n_groups if n_groups else None
    return spec, dataset_tensors(spec, case.features, case.targets, groups)


@pytest.mark.parametrize("layers", [(7, 3), (7, 6, 3), (5, 9, 4, 3)])
def test_public_accuracy(layers):
    case = make_case(layers, "softmax_ce")
    trained = run_training(case.spec, case.order, case.features, case.targets, case.weights)
    weights = {f"W.{n}": w for (n, _), w in zip(case.spec.weight_shapes(), trained.weights, strict=True)}
    tensors, predictions = run_inference(case.spec, case.features, trained.weights)
    labels, groups = case.targets.argmax(axis=1), np.arange(17) % 2
    counts = count_predictions(case.spec, predictions, labels, groups, 2)
    flat = [tuple(int(v) for v in array.ravel()) for array in (case.features, labels, groups)]
    program = build_accuracy(case.spec, Evaluation(17, 2, *flat), counts)
    _assert_declared(program, tensors)
    assert check_program(program, weights | tensors) == []
    assert sum(counts.correct) == int((predictions == labels).sum())


@pytest.mark.parametrize("n_groups", [0, 3])
def test_committed_accuracy(n_groups):
    case = make_case((7, 6, 3), "softmax_ce")
    spec, dataset = _grouped(case, n_groups)
    tensors, predictions = run_inference(case.spec, case.features, case.weights)
    groups = np.arange(17) % 3 if n_groups else None
    counts = count_predictions(case.spec, predictions, case.targets.argmax(axis=1), groups, max(n_groups, 1))
    program = build_accuracy(case.spec, Evaluation(17, max(n_groups, 1), dataset=spec), counts)
    assert check_program(program, _weights(case) | _role("D", dataset) | tensors) == []


def test_ties_go_to_the_lowest_class():
    case = make_case((7, 3), "softmax_ce")
    zero = [np.zeros_like(w) for w in case.weights]
    tensors, predictions = run_inference(case.spec, case.features, zero)
    assert predictions.tolist() == [0] * 17
    assert tensors["out.e"][:, 0].tolist() == [1] * 17


def test_inference_names_the_row_outside_a_window():
    case = make_case((7, 6, 3), "softmax_ce")
    case.features[11] = 2047 * 4
    weights = [np.abs(w) * 3 for w in case.weights]
    with pytest.raises(WindowError, match=r"L1\.A: value \d+ at row 11 "):
        run_inference(case.spec, np.where(np.arange(17)[:, None] == 11, case.features, 0), weights)


def test_labels_outside_the_classes_are_refused():
    case = make_case((7, 3), "softmax_ce")
    with pytest.raises(ProvingError, match=r"a label lies outside 0\.\.2"):
        count_predictions(case.spec, np.zeros(2, np.int64), np.array([0, 3]))


@pytest.mark.parametrize("n_groups", [0, 3])
def test_dataset_certificate(n_groups):
    case = make_case((7, 6, 3), "softmax_ce")
    spec, dataset = _grouped(case, n_groups)
    assert [(name, values.shape) for name, values in dataset.items()] == spec.shapes()
    program = build_dataset_certificate(spec)
    _assert_declared(program, {})
    assert check_program(program, _role("D", dataset)) == []
    dataset["norm2"] = dataset["norm2"] + 1
    assert check_program(program, _role("D", dataset))


def test_dataset_of_values():
    case = make_case((7, 6, 2), "squared_error")
    dataset = dataset_tensors(case.spec.data, case.features, case.targets)
    assert check_program(build_dataset_certificate(case.spec.data), _role("D", dataset)) == []
    case.targets[4, 1] = 512
    with pytest.raises(WindowError, match=r"D\.Y: value 512 at row 4"):
        dataset_tensors(case.spec.data, case.features, case.targets)


def test_dataset_rows_must_be_one_hot():
    case = make_case((7, 6, 3), "softmax_ce")
    case.targets[5] = 0
    with pytest.raises(ProvingError, match="row 5 does not mark exactly one class"):
        dataset_tensors(case.spec.data, case.features, case.targets)


@pytest.mark.parametrize("threshold", [-4096, -100, 0, 37, 4096])
def test_predicate_count(threshold):
    case = make_case((7, 6, 3), "softmax_ce")
    spec, dataset = _grouped(case, 0)
    audit = predicate_count(spec, case.features, case.targets, 2, threshold)
    program = build_predicate_count(spec, 2, threshold, audit.output)
    _assert_declared(program, audit.tensors)
    assert check_program(program, _role("D", dataset) | audit.tensors) == []
    assert sum(audit.output) == sum(1 for row in case.features.tolist() if row[2] >= threshold)


def test_label_histogram():
    case = make_case((7, 6, 3), "softmax_ce")
    spec, dataset = _grouped(case, 0)
    audit = label_histogram(spec, case.targets)
    assert check_program(build_label_histogram(spec, audit.output), _role("D", dataset)) == []
    assert sum(audit.output) == 17


@pytest.mark.parametrize("copied", [True, False])
def test_nearest_row(copied):
    case = make_case((7, 6, 3), "softmax_ce")
    spec, dataset = _grouped(case, 0)
    query = case.features[9].copy() if copied else np.array([1, -2000, 3, 0, 77, -5, 4096])
    audit = nearest_row(spec, case.features, query)
    program = build_nearest_row(spec, tuple(int(v) for v in query), audit.output[0])
    _assert_declared(program, audit.tensors)
    assert check_program(program, _role("D", dataset) | audit.tensors) == []
    expected = min(sum((a - b) ** 2 for a, b in zip(row, query.tolist(), strict=True)) for row in case.features.tolist())
    assert audit.output == (expected,)
    assert (expected == 0) is copied


def test_weights_certificate():
    case = make_case((7, 6, 3), "softmax_ce")
    case.weights[0].flat[:2] = (1 << 31) - 1, -(1 << 31)
    tensors = weight_limbs(case.spec, case.weights)
    program = build_weights_certificate(case.spec)
    _assert_declared(program, tensors)
    assert check_program(program, _weights(case) | tensors) == []
