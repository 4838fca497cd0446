"""ReLU with a shared sign bit for forward and backward (PROTOCOL section 9)."""

from __future__ import annotations

from zk.protocol.functional import Term
from zk.protocol.ir import SEG, Builder, one, term
from zk.protocol.relations.binary import bits
from zk.protocol.relations.rescale import unsigned_window


def relu_sign(b: Builder, layer: str, dims: tuple[str, ...], width: int) -> str:
    """Declare magnitude `layer.A` in [0, 2^width), sign bit `layer.S` and the activation `layer.H` = S*A; returns H.

    The pre-activation is Y = 2*H - A - 1 + S: Y >= 0 exactly when S = 1, and zero has S = 1 by its range.
    """
    magnitude = b.stored(f"{layer}.A", SEG, *dims)
    sign = b.stored(f"{layer}.S", SEG, *dims)
    unsigned_window(b, magnitude, dims, width)
    bits(b, sign, dims)
    return b.product(f"{layer}.H", dims, sign, magnitude)


def relu_preactivation(layer: str) -> tuple[Term, ...]:
    """Terms of Y for a layer declared by `relu_sign`."""
    return term(f"{layer}.H", 2), term(f"{layer}.A", -1), one(-1), term(f"{layer}.S")
