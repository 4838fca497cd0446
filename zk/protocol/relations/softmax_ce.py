"""Gradient of softmax cross-entropy with respect to the logits (PROTOCOL section 11)."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.functional import Term
from zk.protocol.ir import SEG, Builder, sum_over, term
from zk.protocol.ir import one as constant
from zk.protocol.relations.argmax import group_max
from zk.protocol.relations.rescale import range_table, unsigned_window
from zk.protocol.tables import Table


@dataclass(frozen=True)
class SoftmaxScales:
    """Bits: logits s_z, exponentials s_e, gradient s_d, gap window w_d, maximum window w_m."""

    s_z: int
    s_e: int
    s_d: int
    w_d: int
    w_m: int

    @property
    def w_p(self) -> int:
        return self.s_d + 1

    def w_r(self, n_classes: int) -> int:
        """Window of the division remainder: 2^w_r >= 2 C 2^s_e."""
        return 1 + (n_classes - 1).bit_length() + self.s_e

    @property
    def exp_table(self) -> Table:
        return Table("exp", (self.s_z, self.s_e, self.w_d))


def softmax(b: Builder, name: str, dims: tuple[str, ...], group: str, n_classes: int, scales: SoftmaxScales) -> tuple[Term, ...]:
    """Declare everything up to the probabilities `name.p` at scale s_d; returns the terms of the logits m - d.

    p = floor(2^s_d E / S + 1/2) with S = sum E over the group: 2^(s_d+1) E + S - 2 S p - r = 0, 0 <= r < 2 S.
    """
    rest = tuple(dim for dim in dims if dim != group)
    for part in ("d", "E", "p", "r"):
        b.stored(f"{name}.{part}", SEG, *dims)
    b.lookup(scales.exp_table, dims, (term(f"{name}.d"),), (term(f"{name}.E"),))
    logits = group_max(b, name, dims, group, scales.w_m)
    width = scales.w_r(n_classes)
    unsigned_window(b, f"{name}.p", dims, scales.w_p)
    unsigned_window(b, f"{name}.r", dims, width)
    upper = (sum_over(f"{name}.E", group, 2), constant(-1), term(f"{name}.r", -1))
    b.lookup(range_table(width), dims, upper)
    total = b.virtual(f"{name}.sum", rest, sum_over(f"{name}.E", group))
    scaled = b.product(f"{name}.sum_p", dims, total, f"{name}.p")
    b.equation(dims, term(f"{name}.E", 1 << (scales.s_d + 1)), term(total), term(scaled, -2), term(f"{name}.r", -1))
    return logits
