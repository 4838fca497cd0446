"""Integer inference of a committed model: SEG tensors and counts of the accuracy audits (PROTOCOL 19.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zk.protocol.errors import ProvingError
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.programs.weights import AccuracyOutput
from zk.prover.execution.exact import IntArray, magnitude, round_shift
from zk.prover.execution.loss import first_maximum
from zk.prover.execution.master import Master
from zk.prover.execution.windows import Window, require_row_windows, rescale_limbs, signed, unsigned

ADVICE = "this row cannot be scored by the committed model; leave it out of the evaluation"


def run_inference(spec: TrainingSpec, features: IntArray, weights: Sequence[IntArray]) -> tuple[dict[str, IntArray], IntArray]:
    """SEG tensors of `build_accuracy` (without multiplicities) and the predicted class of every row.

    features [n, layers[0]] are integers at scale s_x; ties go to the lowest class. Raises `WindowError` naming the row of
    a value outside its window, `ProvingError` for inputs that do not fit the specification.
    """
    if spec.loss != "softmax_ce":
        raise ProvingError("accuracy needs a classifier (loss softmax_ce)")
    if features.dtype != np.int64 or features.ndim != 2 or features.shape[1] != spec.layers[0]:
        raise ProvingError(f"features: {features.dtype} of shape {features.shape}, expected int64 [n, {spec.layers[0]}]")
    tensors: dict[str, IntArray] = {}
    x, x_max = features.astype(np.float64), max(magnitude(features), 1)
    for i in range(1, spec.depth + 1):
        layer = Master(spec, i, weights[2 * i - 2], weights[2 * i - 1], x_max, 1)
        total, bound = layer.forward(x)
        shift = spec.scales.s_w if i < spec.depth else spec.scales.logit_shift
        value, y = total.astype(np.int64), round_shift(total, bound, shift).astype(np.int64)
        tensors |= rescale_limbs(f"L{i}.fwd", value, y, shift)
        if i == spec.depth:
            return tensors | _argmax_tensors(spec, y), y.argmax(axis=1)
        held = np.where(y >= 0, y, -1 - y)
        require_row_windows([unsigned(f"L{i}.A", held, spec.scales.a)], ADVICE)
        tensors |= {f"L{i}.A": held, f"L{i}.S": (y >= 0).astype(np.int64)}
        x, x_max = np.maximum(y, 0).astype(np.float64), (1 << spec.scales.a) - 1
    raise ProvingError("a model needs at least one layer")


def count_predictions(
    spec: TrainingSpec, predictions: IntArray, labels: IntArray, groups: IntArray | None = None, n_groups: int = 1
) -> AccuracyOutput:
    """Exact counts a group: rows, correct predictions, predictions of every class. No groups means one group."""
    members = np.zeros(len(labels), dtype=np.int64) if groups is None else groups
    classes = spec.layers[-1]
    for name, values, top in (("label", labels, classes), ("group", members, n_groups)):
        if len(values) != len(predictions):
            raise ProvingError(f"{len(values)} {name}s for {len(predictions)} rows")
        if len(values) and not (values.min() >= 0 and values.max() < top):
            raise ProvingError(f"a {name} lies outside 0..{top - 1}")
    rows = np.bincount(members, minlength=n_groups)
    correct = np.bincount(members[predictions == labels], minlength=n_groups)
    votes = np.bincount(members * classes + predictions, minlength=n_groups * classes)
    return AccuracyOutput(*(tuple(int(v) for v in counts) for counts in (rows, correct, votes)))


def _argmax_tensors(spec: TrainingSpec, z: IntArray) -> dict[str, IntArray]:
    top = z.max(axis=1)
    gaps, chosen = top[:, None] - z, first_maximum(z)
    # The second lookup of `first_argmax`: gaps before the chosen class are at least one.
    strict = gaps - 1 + np.cumsum(chosen, axis=1)
    windows: list[Window] = [
        signed("out.m", top, spec.scales.w_m),
        unsigned("out.d", gaps, spec.scales.w_d),
        unsigned("out.d (tie rule)", strict, spec.scales.w_d),
    ]
    require_row_windows(windows, ADVICE)
    return {"out.m": top, "out.d": gaps, "out.e": chosen}
