"""Maximum of a group and the first index that attains it (PROTOCOL section 9, max)."""

from __future__ import annotations

from zk.protocol.functional import Prefix, Term
from zk.protocol.ir import SEG, Builder, one, term
from zk.protocol.relations.binary import one_hot
from zk.protocol.relations.rescale import range_table, signed_window


def group_max(b: Builder, name: str, dims: tuple[str, ...], group: str, width: int) -> tuple[Term, ...]:
    """Declare maximum `name.m` (signed window of `width` bits) and one-hot `name.e`; gaps `name.d` must be declared.

    e*d = 0 with sum e = 1 forces some gap to be zero, and the caller's window d >= 0 makes m the maximum. Returns the
    terms of the group values m - d.
    """
    rest = tuple(dim for dim in dims if dim != group)
    maximum = b.stored(f"{name}.m", SEG, *rest)
    chosen = b.stored(f"{name}.e", SEG, *dims)
    signed_window(b, maximum, rest, width)
    one_hot(b, chosen, dims, group)
    b.equation(dims, term(b.product(f"{name}.ed", dims, chosen, f"{name}.d")))
    return term(maximum), term(f"{name}.d", -1)


def first_argmax(b: Builder, name: str, dims: tuple[str, ...], group: str, gap_width: int, width: int) -> tuple[Term, ...]:
    """`group_max` with gaps in [0, 2^gap_width) and ties broken to the lowest index: e is then unique.

    d_i - pre_i in [0, 2^gap_width), pre_i = 1 - sum_{j<=i} e_j: before the chosen index every gap is at least one.
    """
    gap = b.stored(f"{name}.d", SEG, *dims)
    b.lookup(range_table(gap_width), dims, (term(gap),))
    values = group_max(b, name, dims, group, width)
    b.lookup(range_table(gap_width), dims, (term(gap), one(-1), term(f"{name}.e", 1, Prefix(group))))
    return values
