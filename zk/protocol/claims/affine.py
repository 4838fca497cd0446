"""Affine forms in pads and the constraints collected on them (PROTOCOL 5.1, 5.4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from zk.protocol.field import ONE, ZERO, K, k_add, k_mul, k_neg
from zk.protocol.schedule import Schedule


@dataclass(frozen=True)
class Affine:
    """constant + sum coefficient * pad. Pads 0 .. n_scalars-1 mask scalars; n_scalars + k is the product pad k."""

    constant: K = ZERO
    pads: dict[int, K] = field(default_factory=dict)

    def plus(self, other: Affine, weight: K = ONE) -> Affine:
        pads = dict(self.pads)
        for pad, coefficient in other.pads.items():
            pads[pad] = k_add(pads.get(pad, ZERO), k_mul(weight, coefficient))
        return Affine(k_add(self.constant, k_mul(weight, other.constant)), pads)

    def minus(self, other: Affine) -> Affine:
        return self.plus(other, k_neg(ONE))

    def scaled(self, weight: K) -> Affine:
        return Affine(k_mul(weight, self.constant), {pad: k_mul(weight, a) for pad, a in self.pads.items()})

    def shifted(self, constant: K) -> Affine:
        return Affine(k_add(self.constant, constant), self.pads)


class PadSystem:
    """Masked scalars as read from the proof, and the linear constraints on their pads."""

    def __init__(self, schedule: Schedule, masked: list[K]) -> None:
        self._masked = masked
        self._n_scalars = schedule.n_scalars
        self._product_index = {pair: k for k, pair in enumerate(schedule.products)}
        self.constraints: list[Affine] = []

    def masked(self, slots: tuple[int, ...] | list[int]) -> list[K]:
        """The values as sent, for absorbing."""
        return [self._masked[slot] for slot in slots]

    def secret(self, slot: int) -> Affine:
        """masked value + its pad."""
        return Affine(self._masked[slot], {slot: ONE})

    def multiply(self, x: int, y: int) -> Affine:
        """x*y = x^ y^ + x^ pad_y + y^ pad_x + pad_z."""
        a, b = self._masked[x], self._masked[y]
        out = Affine(k_mul(a, b), {self._n_scalars + self._product_index[(x, y)]: ONE})
        return out.plus(Affine(ZERO, {y: ONE}), a).plus(Affine(ZERO, {x: ONE}), b)

    def require_zero(self, form: Affine) -> None:
        self.constraints.append(form)
