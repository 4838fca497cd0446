"""Comparison of integers by a sign split (PROTOCOL section 9)."""

from __future__ import annotations

from zk.protocol.functional import Term
from zk.protocol.ir import SEG, Builder, one, term
from zk.protocol.relations.binary import bits
from zk.protocol.relations.rescale import declare_limbs


def at_least(b: Builder, name: str, dims: tuple[str, ...], difference: tuple[Term, ...], width: int) -> str:
    """Bit tensor `name.bit` = [difference >= 0]: difference = 2 bit*A - A - 1 + bit with A in [0, 2^width)."""
    bit = b.stored(f"{name}.bit", SEG, *dims)
    bits(b, bit, dims)
    magnitude = b.virtual(f"{name}.A", dims, *declare_limbs(b, f"{name}.A", dims, width))
    gated = b.product(f"{name}.gated", dims, bit, magnitude)
    b.equation(dims, *difference, term(gated, -2), term(magnitude), one(1), term(bit, -1))
    return bit
