"""The integer training run whose every value a SEGMENT proof commits to (PROTOCOL sections 9 to 12).

Tensors carry the names that `zk.protocol.programs.training.build_training` declares with role SEG (multiplicities are
counted by the prover), dims in declared order, int64, exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zk.protocol.errors import ProvingError
from zk.protocol.programs.spec import TrainingSpec
from zk.prover.execution.exact import FloatArray, IntArray, magnitude, round_shift
from zk.prover.execution.loss import LossTrace, make_loss
from zk.prover.execution.master import Master
from zk.prover.execution.weights import weight_limbs
from zk.prover.execution.windows import (
    Window,
    require_row_windows,
    require_step_windows,
    rescale_limbs,
    signed,
    unsigned,
)


@dataclass(frozen=True)
class Execution:
    """SEG tensors by name, the weights after the last step, and the observed interval of every windowed tensor."""

    tensors: dict[str, IntArray]
    weights: list[IntArray]
    observed: dict[str, tuple[int, int]]


@dataclass
class _Hidden:
    """Trace of a hidden layer over all steps: X W + bias, its quotient Y, Delta W^T, its quotient Q; (T, B, width)."""

    value: IntArray
    y: IntArray
    back: IntArray
    q: IntArray

    @staticmethod
    def empty(shape: tuple[int, int, int]) -> _Hidden:
        return _Hidden(*(np.zeros(shape, np.int64) for _ in range(4)))


def run_training(
    spec: TrainingSpec,
    order: Sequence[Sequence[int]],
    features: IntArray,
    targets: IntArray,
    weights: Sequence[IntArray],
    range_bits: int = 0,
    first_step: int = 0,
) -> Execution:
    """Run len(order) steps from `weights` (in `spec.weight_shapes()` order) on rows order[t][b] of the dataset.

    features [rows, layers[0]] and targets [rows, layers[-1]] (one-hot, or integers at scale s_z) are int64. With
    `range_bits` the limbs that range-check the incoming weights are produced too. Raises `WindowError` naming tensor,
    step, sample, value and window for the earliest value outside its window, `ProvingError` for inputs that do not fit
    the specification.
    """
    index = np.asarray(order, dtype=np.int64)
    _check_inputs(spec, index, features, targets, weights)
    tensors = weight_limbs(spec, weights, range_bits) if range_bits else {}
    masters = _masters(spec, features, targets, weights)
    hidden = [_Hidden.empty((*index.shape, width)) for width in spec.layers[1:-1]]
    loss = make_loss(spec, index.shape)
    with np.errstate(invalid="ignore", over="ignore"):  # values after a violation are never used: it is reported below
        try:
            for t, rows in enumerate(index):
                _step(spec, t, features[rows].astype(np.float64), targets[rows], masters, hidden, loss)
        except ProvingError:
            _require_windows(spec, hidden, loss, index, first_step)
            raise
    windows = _require_windows(spec, hidden, loss, index, first_step)
    for i, layer in enumerate(hidden, start=1):
        tensors |= _hidden_tensors(spec, f"L{i}", layer)
    tensors |= loss.tensors(spec)
    final = [array for master in masters for array in master.integers()]
    return Execution(tensors, final, {w.name: (int(w.values.min()), int(w.values.max())) for w in windows})


def _step(
    spec: TrainingSpec,
    t: int,
    x: FloatArray,
    target: IntArray,
    masters: list[Master],
    hidden: list[_Hidden],
    loss: LossTrace,
) -> None:
    """Forward, backward and update of step t; the trace keeps every value that a relation stores."""
    shift = spec.scales.s_w
    inputs = [x]
    for layer, master in zip(hidden, masters, strict=False):
        value, bound = master.forward(inputs[-1])
        y = round_shift(value, bound, shift)
        layer.value[t], layer.y[t] = value, y
        inputs.append(np.maximum(y, 0.0))
    value, bound = masters[-1].forward(inputs[-1])
    delta = loss.step(spec, t, value, bound, target)
    for i in range(len(masters) - 1, -1, -1):
        below = delta
        if i:
            layer = hidden[i - 1]
            back, bound = masters[i].backward(delta)
            q = round_shift(back, bound, shift)
            layer.back[t], layer.q[t] = back, q
            below = q * (layer.y[t] >= 0)
        masters[i].update(inputs[i], delta)
        delta = below


def _masters(spec: TrainingSpec, features: IntArray, targets: IntArray, weights: Sequence[IntArray]) -> list[Master]:
    out = []
    for i in range(1, spec.depth + 1):
        x_max = magnitude(features) if i == 1 else (1 << spec.scales.a) - 1
        d_max = 1 << (spec.scales.q - 1)
        if i == spec.depth:
            d_max = _output_gradient_bound(spec, targets)
        out.append(Master(spec, i, weights[2 * i - 2], weights[2 * i - 1], max(x_max, 1), d_max))
    return out


def _output_gradient_bound(spec: TrainingSpec, targets: IntArray) -> int:
    if spec.loss == "softmax_ce":
        return 1 << spec.scales.s_d
    gain = 1 << (spec.scales.s_d - spec.scales.s_z)
    return gain * ((1 << (spec.scales.w_m - 1)) + magnitude(targets))


def _require_windows(
    spec: TrainingSpec, hidden: list[_Hidden], loss: LossTrace, index: IntArray, first_step: int
) -> list[Window]:
    """All windows in the order in which a step computes them; refuses the earliest violation."""
    scales = spec.scales
    windows = [unsigned(f"L{i}.A", _magnitude_of(layer.y), scales.a) for i, layer in enumerate(hidden, start=1)]
    windows += loss.windows(spec)
    windows += [signed(f"L{i}.Q", hidden[i - 1].q, scales.q) for i in range(len(hidden), 0, -1)]
    require_step_windows(windows, index, first_step)
    return windows


def _magnitude_of(y: IntArray) -> IntArray:
    """Y for Y >= 0, else -Y - 1: the magnitude that `relu` stores beside the sign bit."""
    return np.where(y >= 0, y, -1 - y)


def _hidden_tensors(spec: TrainingSpec, name: str, layer: _Hidden) -> dict[str, IntArray]:
    out = {
        f"{name}.A": _magnitude_of(layer.y),
        f"{name}.S": (layer.y >= 0).astype(np.int64),
        f"{name}.Q": layer.q,
    }
    out |= rescale_limbs(f"{name}.fwd", layer.value, layer.y, spec.scales.s_w)
    return out | rescale_limbs(f"{name}.bwd", layer.back, layer.q, spec.scales.s_w)


def _check_inputs(
    spec: TrainingSpec, index: IntArray, features: IntArray, targets: IntArray, weights: Sequence[IntArray]
) -> None:
    """Shapes, integer types and the windows of the committed dataset."""
    wanted: list[tuple[str, IntArray, tuple[int, ...]]] = [
        ("features", features, (spec.rows, spec.layers[0])),
        ("targets", targets, (spec.rows, spec.layers[-1])),
    ]
    shapes = spec.weight_shapes()
    if len(weights) != len(shapes):
        raise ProvingError(f"{len(weights)} weight arrays given, {len(shapes)} expected")
    wanted += [(name, array, shape) for (name, shape), array in zip(shapes, weights, strict=True)]
    for name, array, shape in wanted:
        if array.dtype != np.int64 or array.shape != shape:
            raise ProvingError(f"{name}: {array.dtype} of shape {array.shape}, expected int64 of shape {shape}")
    if index.ndim != 2 or index.shape[1] != spec.batch or index.min() < 0 or index.max() >= spec.rows:
        raise ProvingError(f"the order must name {spec.batch} rows below {spec.rows} in every step")
    labels = unsigned("D.Y", targets, 1) if spec.data.targets == "onehot" else signed("D.Y", targets, spec.data.y_bits)
    dataset = [signed("D.X", features, spec.data.x_bits), labels]
    require_row_windows(dataset, "commit the dataset with a wider window or a smaller scale")
