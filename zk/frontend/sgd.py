"""SGD in float64 with exactly the schedule of the integer run, optionally with its roundings: the dry run of a plan.

Without roundings this is ordinary float64 training, the yardstick for accuracy. With them every activation, logit,
probability and gradient is rounded as PROTOCOL sections 9 to 11 prescribe, so that the maxima it records are those of
the integer run up to float64 noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zk.frontend.datasets import FloatArray, IntArray
from zk.frontend.errors import PlanError
from zk.protocol.order import batch_order, initial_values
from zk.protocol.programs.spec import TrainingSpec

BLOCK_STEPS = 128
DIVERGED = 2.0**40


@dataclass
class Maxima:
    """Largest magnitudes seen, as real numbers: pre-activations, hidden gradients, logit gap, output, weights."""

    hidden: float = 0.0
    gradient: float = 0.0
    gap: float = 0.0
    output: float = 0.0
    weight: float = 0.0

    def raise_to(self, name: str, values: FloatArray) -> None:
        if values.size:
            high, low = float(values.max()), float(values.min())
            known = getattr(self, name)
            # A NaN must not pass unseen: it compares false with everything.
            setattr(self, name, max(known, high, -low) if math.isfinite(high - low) else math.inf)

    def have_diverged(self) -> bool:
        return max(self.hidden, self.gradient, self.gap, self.output, self.weight) > DIVERGED


@dataclass(frozen=True)
class FloatRun:
    """Weights in `weight_shapes` order as real numbers, and what was observed on the way."""

    weights: list[FloatArray]
    maxima: Maxima


def initial_weights(spec: TrainingSpec, seed: bytes) -> list[IntArray]:
    """Public initial integers of the run seed at scale s_w, shaped (PROTOCOL 12.5)."""
    out = []
    for i, ((_, shape), scale) in enumerate(zip(spec.weight_shapes(), spec.initial_scales(), strict=True)):
        words = initial_values(seed, i, int(np.prod(shape)), scale)
        out.append(np.array(words, dtype=np.int64).reshape(shape))
    return out


def run_float(
    spec: TrainingSpec,
    seed: bytes,
    features: FloatArray,
    targets: FloatArray,
    total_steps: int,
    rounded: bool = False,
    observe: Sequence[FloatArray] = (),
) -> FloatRun:
    """Train `total_steps` steps from the public initial weights on the public order of `seed`.

    features [rows, F] and targets [rows, C] (one-hot or values) are real numbers. With `rounded` the roundings of
    `spec.scales` are applied. `observe` holds further feature rows whose forward maxima count (once a block of steps
    and at the end). Raises `PlanError` when training diverges.
    """
    weights: list[FloatArray] = [np.ldexp(array.astype(np.float64), -spec.scales.s_w) for array in initial_weights(spec, seed)]
    network = _Network(spec, weights, rounded)
    rate = spec.rate * 0.5**spec.scales.e
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, total_steps, BLOCK_STEPS):
            count = min(BLOCK_STEPS, total_steps - first)
            for rows in np.array(batch_order(seed, first, count, spec.rows, spec.batch)):
                network.step(features[rows], targets[rows], rate)
            for more in (features, *observe):
                network.forward(more)
            network.observe_weights()
            if network.maxima.have_diverged():
                raise PlanError(
                    f"training diverges within {first + count} steps; lower training.learning_rate "
                    f"(now {rate * spec.batch:g}) or set dataset.standardise = true"
                )
    return FloatRun(weights, network.maxima)


def predict_float(weights: Sequence[FloatArray], features: FloatArray) -> FloatArray:
    """Outputs of the network [rows, C] without roundings."""
    x = features
    for i in range(0, len(weights), 2):
        x = x @ weights[i] + weights[i + 1]
        if i + 2 < len(weights):
            x = np.maximum(x, 0.0)
    return x


class _Network:
    def __init__(self, spec: TrainingSpec, weights: list[FloatArray], rounded: bool) -> None:
        self._spec, self._weights, self._rounded = spec, weights, rounded
        self.maxima = Maxima()

    def forward(self, x: FloatArray) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
        """Inputs of every layer, pre-activations of the hidden layers, outputs; records their maxima."""
        inputs, hidden = [x], []
        scales = self._spec.scales
        for i in range(self._spec.depth - 1):
            y = self._round(inputs[-1] @ self._weights[2 * i] + self._weights[2 * i + 1], scales.s_x)
            self.maxima.raise_to("hidden", y)
            hidden.append(y)
            inputs.append(np.maximum(y, 0.0))
        out = self._round(inputs[-1] @ self._weights[-2] + self._weights[-1], scales.s_z)
        self.maxima.raise_to("output", out)
        self.maxima.raise_to("gap", out.max(axis=1) - out.min(axis=1))
        return inputs, hidden, out

    def step(self, x: FloatArray, target: FloatArray, rate: float) -> None:
        inputs, hidden, out = self.forward(x)
        delta = self._output_gradient(out, target)
        for i in range(self._spec.depth - 1, -1, -1):
            below = delta
            if i:
                back = self._round(delta @ self._weights[2 * i].T, self._spec.scales.s_d)
                self.maxima.raise_to("gradient", back)
                below = back * (hidden[i - 1] >= 0)
            self._weights[2 * i] -= rate * (inputs[i].T @ delta)
            self._weights[2 * i + 1] -= rate * delta.sum(axis=0)
            delta = below

    def observe_weights(self) -> None:
        for array in self._weights:
            self.maxima.raise_to("weight", array)

    def _output_gradient(self, out: FloatArray, target: FloatArray) -> FloatArray:
        if self._spec.loss == "squared_error":
            return out - target
        exponentials = self._round(np.exp(out - out.max(axis=1, keepdims=True)), self._spec.scales.s_e)
        return self._round(exponentials / exponentials.sum(axis=1, keepdims=True), self._spec.scales.s_d) - target

    def _round(self, values: FloatArray, bits: int) -> FloatArray:
        return np.floor(values * 2.0**bits + 0.5) * 0.5**bits if self._rounded else values
