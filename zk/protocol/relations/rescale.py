"""Rescaling and windows (PROTOCOL section 9): exact rounding by a public power of two."""

from __future__ import annotations

from zk.protocol.functional import Term
from zk.protocol.ir import SEG, Builder, one, term
from zk.protocol.params import limb_widths
from zk.protocol.tables import Table


def range_table(width: int) -> Table:
    return Table("range", (width,))


def limb_names(prefix: str, shift: int) -> list[tuple[str, int, int]]:
    """(tensor name, offset, width) of the limbs that tile [0, 2^shift)."""
    out, offset = [], 0
    for i, width in enumerate(limb_widths(shift)):
        out.append((f"{prefix}.limb{i}", offset, width))
        offset += width
    return out


def declare_limbs(b: Builder, prefix: str, dims: tuple[str, ...], shift: int) -> tuple[Term, ...]:
    """Stored limbs with their range lookups; returns the terms of sum 2^offset * limb, a value in [0, 2^shift)."""
    out = []
    for name, offset, width in limb_names(prefix, shift):
        b.stored(name, SEG, *dims)
        b.lookup(range_table(width), dims, (term(name),))
        out.append(term(name, 1 << offset))
    return tuple(out)


def rescale(
    b: Builder, prefix: str, dims: tuple[str, ...], value: tuple[Term, ...], result: tuple[Term, ...], shift: int
) -> None:
    """result = floor(value / 2^shift + 1/2): value + 2^(shift-1) - 2^shift result - limbs = 0.

    `result` must have a window of its own; the limbs tile [0, 2^shift), so the quotient is unique.
    """
    half = (one(1 << (shift - 1)),) if shift else ()
    limbs = declare_limbs(b, prefix, dims, shift)
    negative = tuple(item.scaled(-(1 << shift)) for item in result) + tuple(item.scaled(-1) for item in limbs)
    b.equation(dims, *value, *half, *negative)


def signed_window(b: Builder, name: str, dims: tuple[str, ...], width: int) -> None:
    """name in [-2^(width-1), 2^(width-1))."""
    b.lookup(range_table(width), dims, (term(name), one(1 << (width - 1))))


def unsigned_window(b: Builder, name: str, dims: tuple[str, ...], width: int) -> None:
    """name in [0, 2^width)."""
    b.lookup(range_table(width), dims, (term(name),))


def weight_window(b: Builder, name: str, prefix: str, dims: tuple[str, ...], width: int) -> None:
    """name in [-2^(width-1), 2^(width-1)) for widths beyond one table, through limbs named after `prefix`."""
    limbs = declare_limbs(b, prefix, dims, width)
    b.equation(dims, term(name), one(1 << (width - 1)), *(item.scaled(-1) for item in limbs))
