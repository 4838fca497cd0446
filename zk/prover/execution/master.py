"""Exact master weights of one layer: W_{t+1} = W_t - c X^T Delta over the integers (PROTOCOL 10.1, 10.3)."""

from __future__ import annotations

import numpy as np

from zk.protocol.errors import ProvingError
from zk.protocol.programs.spec import TrainingSpec
from zk.prover.execution.exact import FLOAT_LIMIT, INT_LIMIT, FloatArray, IntArray, Sums, exact_matmul, magnitude


class Master:
    """Weight and bias of layer `index` (1-based), held as integer-valued float64 below 2^53.

    `x_max` and `d_max` bound inputs and output gradients while every value lies in its window. The magnitude of the
    weights is measured only when the bound that grows by c B x_max d_max a step is no longer good enough.
    """

    def __init__(self, spec: TrainingSpec, index: int, weight: IntArray, bias: IntArray, x_max: int, d_max: int) -> None:
        self._name = f"L{index}"
        self.weight: FloatArray = weight.astype(np.float64)
        self.bias: FloatArray = bias.astype(np.float64)
        self._x_max, self._d_max = x_max, d_max
        self._rate = spec.rate
        self._x_unit = 1 << spec.scales.s_x
        self._growth = (spec.rate * spec.batch * x_max * d_max, spec.rate * self._x_unit * spec.batch * d_max)
        self._bounds = (magnitude(weight), magnitude(bias))
        if max(self._growth) >= FLOAT_LIMIT:
            raise ProvingError(f"{self._name}: one update may reach {max(self._growth)}; lower rate, batch or windows")
        self._require_small()

    def forward(self, x: FloatArray) -> tuple[Sums, int]:
        """X W + 2^s_x bias for x of shape [B, d_in], and a bound on its magnitude."""
        self._tighten(x.shape[-1] * self._x_max)
        bound = x.shape[-1] * self._x_max * self._bounds[0]
        total = bound + self._x_unit * self._bounds[1]
        if total >= INT_LIMIT:
            raise ProvingError(f"{self._name}: a pre-activation may reach {total}, beyond 62 bits")
        value = exact_matmul(x, self.weight, self._x_max, self._bounds[0])
        if value.dtype == np.float64 and total < FLOAT_LIMIT:
            value += self._x_unit * self.bias
            return value, total
        return value.astype(np.int64) + self._x_unit * self.bias.astype(np.int64), total

    def backward(self, delta: FloatArray) -> tuple[Sums, int]:
        """Delta W^T for delta of shape [B, d_out], and a bound on its magnitude."""
        self._tighten(delta.shape[-1] * self._d_max)
        value = exact_matmul(delta, self.weight.T, self._d_max, self._bounds[0])
        return value, delta.shape[-1] * self._d_max * self._bounds[0]

    def update(self, x: FloatArray, delta: FloatArray) -> None:
        """One step of plain SGD."""
        gradient = x.T @ delta
        gradient *= self._rate
        self.weight -= gradient
        self.bias -= (self._rate * self._x_unit) * delta.sum(axis=0)
        self._bounds = (self._bounds[0] + self._growth[0], self._bounds[1] + self._growth[1])
        if max(self._bounds) >= FLOAT_LIMIT:
            self._measure()

    def integers(self) -> tuple[IntArray, IntArray]:
        return self.weight.astype(np.int64), self.bias.astype(np.int64)

    def _tighten(self, total: int) -> None:
        if total * self._bounds[0] + self._x_unit * self._bounds[1] >= FLOAT_LIMIT >> 1:
            self._measure()

    def _measure(self) -> None:
        self._bounds = (magnitude(self.weight), magnitude(self.bias))
        self._require_small()

    def _require_small(self) -> None:
        if max(self._bounds) + max(self._growth) >= FLOAT_LIMIT:
            raise ProvingError(f"{self._name}: a weight reaches {max(self._bounds)}, beyond 53 bits")
