"""Every integer of the vectorised run equals an independent execution on plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.zk.execution_cases import make_case
from tests.unit.zk.plain_training import PlainRun, exp_value
from zk.protocol.tables import exp_values
from zk.prover.execution.training import run_training

CASES = [
    ((7, 3), "softmax_ce", 5, 6),
    ((7, 6, 3), "softmax_ce", 5, 6),
    ((7, 6, 3), "softmax_ce", 1, 0),
    ((5, 9, 4, 3), "softmax_ce", 3, 7),
    ((5, 3, 11, 2, 4), "softmax_ce", 6, 11),
    ((4, 2), "squared_error", 5, 6),
    ((7, 6, 2), "squared_error", 5, 6),
    ((6, 5, 3, 1), "squared_error", 7, 13),
]


@pytest.mark.parametrize(("layers", "loss", "batch", "e"), CASES)
def test_every_integer_agrees(layers, loss, batch, e):
    case = make_case(layers, loss, batch, steps=9, rate=1 if e == 0 else 3, e=max(e, 4))
    run = run_training(case.spec, case.order, case.features, case.targets, case.weights)
    plain = PlainRun(case.spec, case.weights)
    plain.train(case.order, case.features.tolist(), case.targets.tolist())
    assert set(plain.record) == set(run.tensors)
    for name, values in plain.record.items():
        np.testing.assert_array_equal(run.tensors[name], np.array(values, dtype=object), err_msg=name)
    for n in range(len(layers) - 1):
        np.testing.assert_array_equal(run.weights[2 * n], np.array(plain.w[n], dtype=object))
        np.testing.assert_array_equal(run.weights[2 * n + 1], np.array(plain.beta[n], dtype=object))


def test_weights_beyond_one_float_word_agree():
    case = make_case((7, 6, 3), "softmax_ce", e=20)
    case.features[:, 0] = 0
    case.weights[0][0, :] = (1 << 45) + 12345
    run = run_training(case.spec, case.order, case.features, case.targets, case.weights)
    plain = PlainRun(case.spec, case.weights)
    plain.train(case.order, case.features.tolist(), case.targets.tolist())
    for name, values in plain.record.items():
        np.testing.assert_array_equal(run.tensors[name], np.array(values, dtype=object), err_msg=name)
    assert run.weights[0].tolist() == plain.w[0]


def test_exponential_table_agrees_with_its_formula():
    table = exp_values(6, 11, 13)
    assert [table[u] for u in range(0, 1200, 7)] == [exp_value(u, 6, 11) for u in range(0, 1200, 7)]
