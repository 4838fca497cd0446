"""The training run of PROTOCOL sections 9 to 12 on plain Python integers: lists, loops, no shared code.

Written from the formulas alone as a second opinion on `zk.prover.execution`; nothing is vectorised, nothing is bounded.
"""

from __future__ import annotations

import decimal
from typing import Any

from zk.protocol.programs.spec import TrainingSpec

Vector = list[int]
Matrix = list[list[int]]
Record = dict[str, list[Any]]


def half_up(value: int, bits: int) -> tuple[int, int]:
    """(Y, R) with value + half(bits) = 2^bits Y + R and 0 <= R < 2^bits (section 9, rescale)."""
    half = 2 ** (bits - 1) if bits > 0 else 0
    quotient = (value + half) // 2**bits
    return quotient, value + half - 2**bits * quotient


def exp_value(u: int, s_z: int, s_e: int) -> int:
    """E(u) = floor(2^s_e exp(-u 2^-s_z) + 1/2) (section 11)."""
    with decimal.localcontext(decimal.Context(prec=60)):
        value = decimal.Decimal(2) ** s_e * (-decimal.Decimal(u) / decimal.Decimal(2) ** s_z).exp()
        return int((value + decimal.Decimal("0.5")).to_integral_value(decimal.ROUND_FLOOR))


class PlainRun:
    """Weights W[l][i][o], biases beta[l][o] and the record of every value by the names of the section texts."""

    def __init__(self, spec: TrainingSpec, weights: list[Any]) -> None:
        self.spec = spec
        self.w: list[Matrix] = [[[int(v) for v in row] for row in weights[2 * n]] for n in range(len(spec.layers) - 1)]
        self.beta: list[Vector] = [[int(v) for v in weights[2 * n + 1]] for n in range(len(spec.layers) - 1)]
        self.record: Record = {}
        self._exp: dict[int, int] = {}

    def train(self, order: Any, features: Any, targets: Any) -> None:
        for batch in order:
            step: Record = {}
            gradients = [([[0] * len(row) for row in w], [0] * len(b)) for w, b in zip(self.w, self.beta, strict=True)]
            for row in batch:
                self.sample([int(v) for v in features[row]], [int(v) for v in targets[row]], gradients, step)
            for name, values in step.items():
                self.record.setdefault(name, []).append(values)
            self.update(gradients)

    def sample(self, x: Vector, target: Vector, gradients: Any, step: Record) -> None:
        s = self.spec.scales
        s_w = s.s_x + s.s_d + s.e
        inputs, signs = [x], []
        last = len(self.w) - 1
        for n in range(last + 1):
            h, values = inputs[-1], []
            for o in range(len(self.beta[n])):
                values.append(sum(h[i] * self.w[n][i][o] for i in range(len(h))) + 2**s.s_x * self.beta[n][o])
            split = [half_up(v, s_w if n < last else s.s_x + s_w - s.s_z) for v in values]
            self._limbs(step, f"L{n + 1}.fwd", [r for _, r in split], s_w if n < last else s.s_x + s_w - s.s_z)
            y = [q for q, _ in split]
            if n < last:
                sigma = [1 if v >= 0 else 0 for v in y]
                self._put(step, f"L{n + 1}.A", [v if v >= 0 else -v - 1 for v in y])
                self._put(step, f"L{n + 1}.S", sigma)
                signs.append(sigma)
                inputs.append([v if v > 0 else 0 for v in y])
            else:
                delta = self._softmax(y, target, step) if self.spec.loss == "softmax_ce" else self._squared(y, target, step)
        for n in range(last, -1, -1):
            for o, d in enumerate(delta):
                gradients[n][1][o] += d
                for i, h in enumerate(inputs[n]):
                    gradients[n][0][i][o] += h * d
            if n > 0:
                back = [sum(d * self.w[n][i][o] for o, d in enumerate(delta)) for i in range(len(inputs[n]))]
                split = [half_up(v, s_w) for v in back]
                self._limbs(step, f"L{n}.bwd", [r for _, r in split], s_w)
                self._put(step, f"L{n}.Q", [q for q, _ in split])
                delta = [sig * q for sig, (q, _) in zip(signs[n - 1], split, strict=True)]

    def update(self, gradients: Any) -> None:
        """W <- W - c G, beta <- beta - c 2^s_x sum Delta (10.1, 10.3)."""
        c, unit = self.spec.rate, 2**self.spec.scales.s_x
        for n, (g, total) in enumerate(gradients):
            for o, d in enumerate(total):
                self.beta[n][o] -= c * unit * d
            for i, row in enumerate(g):
                for o, value in enumerate(row):
                    self.w[n][i][o] -= c * value

    def _softmax(self, z: Vector, target: Vector, step: Record) -> Vector:
        s = self.spec.scales
        m = max(z)
        d = [m - v for v in z]
        e = []
        for u in d:
            if u not in self._exp:
                self._exp[u] = exp_value(u, s.s_z, s.s_e)
            e.append(self._exp[u])
        total = sum(e)
        # p = floor(2^s_d E / S + 1/2): twice the numerator plus S over twice S
        p = [(2 * 2**s.s_d * v + total) // (2 * total) for v in e]
        r = [2 ** (s.s_d + 1) * v + total - 2 * total * q for v, q in zip(e, p, strict=True)]
        first = z.index(m)
        self._put(step, "out.m", m)
        self._put(step, "out.e", [1 if j == first else 0 for j in range(len(z))])
        for name, values in (("d", d), ("E", e), ("p", p), ("r", r)):
            self._put(step, f"out.{name}", values)
        return [q - 2**s.s_d * y for q, y in zip(p, target, strict=True)]

    def _squared(self, v: Vector, target: Vector, step: Record) -> Vector:
        self._put(step, "out.V", v)
        return [2 ** (self.spec.scales.s_d - self.spec.scales.s_z) * (a - y) for a, y in zip(v, target, strict=True)]

    def _limbs(self, step: Record, prefix: str, remainders: Vector, bits: int) -> None:
        """16-bit limbs, least significant first; the last one holds the rest."""
        k = 0
        while bits > 0:
            self._put(step, f"{prefix}.limb{k}", [(r // 2 ** (16 * k)) % 2**16 for r in remainders])
            bits -= 16
            k += 1

    @staticmethod
    def _put(step: Record, name: str, values: Any) -> None:
        step.setdefault(name, []).append(values)
