"""Output layer of the integer run: softmax cross-entropy (PROTOCOL section 11) or squared error (section 9)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.tables import exp_values
from zk.prover.execution.exact import FloatArray, IntArray, Sums, round_shift
from zk.prover.execution.windows import Window, rescale_limbs, signed, unsigned


class LossTrace(Protocol):
    """Values of the output layer over all steps."""

    def step(self, spec: TrainingSpec, t: int, value: Sums, bound: int, target: IntArray) -> FloatArray:
        """Record step t from X W + bias (scale s_x + s_w, magnitude <= bound); returns Delta [B, C] at scale s_d."""

    def windows(self, spec: TrainingSpec) -> list[Window]: ...

    def tensors(self, spec: TrainingSpec) -> dict[str, IntArray]: ...


def make_loss(spec: TrainingSpec, shape: tuple[int, ...]) -> LossTrace:
    full = (*shape, spec.layers[-1])
    return SoftmaxTrace(spec, full) if spec.loss == "softmax_ce" else SquaredTrace(full)


class SoftmaxTrace:
    """Logits z, maximum m, gaps d, table values E, probabilities p = floor(2^s_d E / S + 1/2)."""

    def __init__(self, spec: TrainingSpec, shape: tuple[int, ...]) -> None:
        scales = spec.scales
        self._table = np.array(exp_values(scales.s_z, scales.s_e, scales.w_d), dtype=np.int64)
        self._value, self._z, self._p = (np.zeros(shape, np.int64) for _ in range(3))

    def step(self, spec: TrainingSpec, t: int, value: Sums, bound: int, target: IntArray) -> FloatArray:
        scales = spec.scales
        z = round_shift(value, bound, scales.logit_shift).astype(np.int64)
        gaps = z.max(axis=1, keepdims=True) - z
        exponentials = self._table.take(gaps, mode="clip")
        total = exponentials.sum(axis=1, keepdims=True)
        p = ((exponentials << (scales.s_d + 1)) + total) // (2 * total)
        self._value[t], self._z[t], self._p[t] = value, z, p
        return (p - (target << scales.s_d)).astype(np.float64)

    def windows(self, spec: TrainingSpec) -> list[Window]:
        top = self._z.max(axis=2)
        gaps = top[..., None] - self._z
        return [signed("out.m", top, spec.scales.w_m), unsigned("out.d", gaps, spec.scales.w_d)]

    def tensors(self, spec: TrainingSpec) -> dict[str, IntArray]:
        top = self._z.max(axis=2)
        gaps = top[..., None] - self._z
        exponentials = self._table[gaps]
        total = exponentials.sum(axis=2, keepdims=True)
        remainder = (exponentials << (spec.scales.s_d + 1)) + total - 2 * total * self._p
        out = {"out.d": gaps, "out.E": exponentials, "out.p": self._p, "out.r": remainder, "out.m": top}
        out["out.e"] = first_maximum(self._z)
        return out | rescale_limbs(f"L{spec.depth}.fwd", self._value, self._z, spec.scales.logit_shift)


class SquaredTrace:
    """Predictions V at scale s_z; Delta = 2^(s_d - s_z) (V - target)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._value, self._v = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    def step(self, spec: TrainingSpec, t: int, value: Sums, bound: int, target: IntArray) -> FloatArray:
        v = round_shift(value, bound, spec.scales.logit_shift)
        self._value[t], self._v[t] = value, v
        return (v - target) * float(1 << (spec.scales.s_d - spec.scales.s_z))

    def windows(self, spec: TrainingSpec) -> list[Window]:
        return [signed("out.V", self._v, spec.scales.w_m)]

    def tensors(self, spec: TrainingSpec) -> dict[str, IntArray]:
        limbs = rescale_limbs(f"L{spec.depth}.fwd", self._value, self._v, spec.scales.logit_shift)
        return {"out.V": self._v} | limbs


def first_maximum(values: IntArray) -> IntArray:
    """One-hot of the first index that attains the maximum along the last dimension."""
    out = np.zeros_like(values)
    np.put_along_axis(out, values.argmax(axis=-1)[..., None], 1, axis=-1)
    return out
