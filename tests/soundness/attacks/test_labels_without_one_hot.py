"""A dataset certified with integer targets must not serve audits and runs that speak of one-hot labels.

The interval of D.Y is all that links an audit to a certificate. A record whose targets were certified as integers (any
window) has the same layout as one with one-hot labels, so a wide stated interval lets arbitrary integers pass as labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.soundness.attacks.datasets import (
    AUDITOR,
    Pair,
    certificate,
    commit_model,
    commit_rows,
    histogram,
    onehot_spec,
    proven,
    small_model,
    value_spec,
)
from zk.protocol.codec import Writer
from zk.protocol.errors import ProvingError, VerificationError
from zk.protocol.statement import AUDIT, CERT, Bound, Statement
from zk.prover.execution.inference import count_predictions, run_inference
from zk.prover.execution.weights import weight_limbs
from zk.verifier.bundle import HOLDS, verify_bundle

ROWS, CLASSES = 5, 2


WIDE = (), (Bound("D.X", -32, 31, 1), Bound("D.Y", -32, 31, 1))


def establishes_nothing(pairs: list[Pair], audit: Callable[[], Pair]) -> bool:
    """The prover or the verifier refuses the audit, or the verdict on the whole set stays open."""
    try:
        pairs = [*pairs, audit()]
    except (VerificationError, ProvingError):
        return True
    return verify_bundle(pairs, allow_toy=True).verdict != HOLDS


@pytest.mark.parametrize("bounds", WIDE, ids=["no bounds stated", "wide bounds stated"])
def test_histogram_of_labels_that_are_not_bits_is_not_established(bounds: tuple[Bound, ...]) -> None:
    x = np.arange(ROWS * 3, dtype=np.int64).reshape(ROWS, 3) - 7
    labels = np.array([[-9, 30]] * ROWS, dtype=np.int64)  # "-45 rows of class 0 and 150 of class 1" among 5 rows
    data = commit_rows(x, labels)
    pairs = [certificate("certificate", value_spec(ROWS, 3, CLASSES, 6), data)]
    claim = onehot_spec(ROWS, 3, CLASSES)
    assert establishes_nothing(pairs, lambda: histogram(claim, data, (-45, 150), *bounds))


@pytest.mark.parametrize("bounds", WIDE, ids=["no bounds stated", "wide bounds stated"])
def test_accuracy_cannot_be_raised_by_labels_that_name_every_class(bounds: tuple[Bound, ...]) -> None:
    spec = small_model(ROWS)
    rng = np.random.default_rng(3)
    x = rng.integers(-20, 20, (ROWS, 3))
    weights = [rng.integers(-400, 400, shape) for _, shape in spec.weight_shapes()]
    model = commit_model(spec, weights)
    data = commit_rows(x, np.full((ROWS, CLASSES), 20, dtype=np.int64))  # every class is "right", twenty times
    ranges = Statement(CERT, "TOY4", "weights-certificate", spec.encode(), (("W", model.record),))
    pairs = [
        certificate("certificate-dataset", value_spec(ROWS, 3, CLASSES, 6), data),
        proven("certificate-weights", ranges, weight_limbs(spec, weights, 32), {"W": model}),
    ]
    witness, predictions = run_inference(spec, x, weights)
    out = count_predictions(spec, predictions, predictions, np.zeros(ROWS, dtype=np.int64), 1)
    publics = (("rows", out.rows), ("correct", (20 * ROWS,)), ("predicted", out.predicted))
    stated = [Bound(f"W.{name}", -(1 << 31), (1 << 31) - 1, 1) for name, _ in spec.weight_shapes()]
    params = Writer().raw(spec.encode()).raw(onehot_spec(ROWS, 3, CLASSES).encode()).bytes()
    roles = (("W", model.record), ("D", data.record))
    st = Statement(AUDIT, "TOY4", "committed-accuracy", params, roles, publics, b"", (*stated, *bounds), AUDITOR)
    assert establishes_nothing(pairs, lambda: proven("accuracy", st, witness, {"W": model, "D": data}))
