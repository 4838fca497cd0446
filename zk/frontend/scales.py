"""Choice of learning-rate integers, fixed-point scales and windows from what a dry run observed (PROTOCOL 9 to 11)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from zk.frontend.errors import PlanError
from zk.frontend.sgd import Maxima
from zk.protocol.params import MAX_TABLE_BITS
from zk.protocol.programs.spec import Scales

RATE_TOLERANCE = 0.02
MAX_RATE_EXPONENT = 40
MAX_RATE = 1 << 12
HALVINGS = 3
# (bits below the usual s_x = 8, bits below the usual s_d = 12), in the order in which they are tried.
LADDER = ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 3))


@dataclass(frozen=True)
class Rate:
    """Learning rate lr / B = numerator * 2^-exponent."""

    numerator: int
    exponent: int

    def effective(self, batch: int) -> float:
        return self.numerator * 0.5**self.exponent * batch


def choose_rate(learning_rate: float, batch: int) -> Rate:
    """Smallest numerator within 2 % of lr / batch; raises `PlanError` outside what 40 fraction bits can hold."""
    target = learning_rate / batch
    for numerator in range(1, MAX_RATE):
        exponent = round(math.log2(numerator / target))
        if 0 <= exponent <= MAX_RATE_EXPONENT and abs(numerator * 0.5**exponent / target - 1) <= RATE_TOLERANCE:
            return Rate(numerator, exponent)
    raise PlanError(
        f"training.learning_rate {learning_rate:g} over batches of {batch} cannot be written as c * 2^-e with "
        f"c < {MAX_RATE} and 0 <= e <= {MAX_RATE_EXPONENT}; write another learning_rate or batch_size"
    )


def usual_scales(loss: str, n_outputs: int, rate: Rate, s_x: int = 8) -> Scales:
    """Where every search starts: s_x = 8, s_d = 12, s_z = 6 (10 for squared error), s_e as wide as 16 bits allow."""
    s_e = min(11, MAX_TABLE_BITS - 1 - (max(n_outputs, 2) - 1).bit_length())
    if s_e < 1:
        raise PlanError(f"{n_outputs} classes leave no bits for exponentials; at most {1 << (MAX_TABLE_BITS - 2)}")
    s_z = 6 if loss == "softmax_ce" else 10
    return Scales(s_x=s_x, s_d=12, e=rate.exponent, s_z=s_z, s_e=s_e, a=s_x + 4, q=14, w_d=13, w_m=14)


def candidates(
    start: Scales, loss: str, maxima: Maxima, target_max: float, headroom: int, segment_steps: int
) -> Iterator[tuple[Scales, int]]:
    """(scales, steps a segment), finest first; windows hold `maxima` with `headroom` spare bits.

    Coarser scales and shorter segments both relax the static bounds; they are tried in turn, down to an eighth of
    `segment_steps`.
    """
    for total in range(len(LADDER) + HALVINGS):
        for level in range(max(0, total - HALVINGS), min(total, len(LADDER) - 1) + 1):
            drop_x, drop_d = LADDER[level]
            steps = segment_steps >> (total - level)
            if drop_x > start.s_x or steps < 1:
                continue
            lower = replace(start, s_x=start.s_x - drop_x, s_d=start.s_d - drop_d)
            scales = fit_windows(lower, loss, maxima, target_max, headroom)
            if scales is not None:
                yield scales, steps


def fit_windows(scales: Scales, loss: str, maxima: Maxima, target_max: float, headroom: int) -> Scales | None:
    """Windows at these scales, at least the usual ones; s_z gives way first. None if 16 bits do not hold a quantity."""
    a = max(scales.s_x + 4, unsigned_bits(maxima.hidden, scales.s_x) + headroom)
    q = max(scales.s_d + 2, unsigned_bits(maxima.gradient, scales.s_d) + 1 + headroom)
    for s_z in range(min(scales.s_z, scales.s_d), 1, -1):
        top = unsigned_bits(max(maxima.output, target_max), s_z) + 1 + headroom
        # The logit gap has no role under squared error, whose output window also bounds the gradient: keep it narrow.
        is_softmax = loss == "softmax_ce"
        w_m = max(s_z + (8 if is_softmax else 2), top)
        w_d = max(s_z + 7, unsigned_bits(maxima.gap, s_z) + headroom) if is_softmax else s_z + 2
        if max(a, q, w_m, w_d) <= MAX_TABLE_BITS:
            return replace(scales, s_z=s_z, a=a, q=q, w_m=w_m, w_d=w_d)
    return None


def unsigned_bits(value: float, scale: int) -> int:
    """Bits of the integer that stands for `value` at `scale`."""
    scaled = value * 2.0**scale + 0.5
    return math.ceil(scaled).bit_length() if scaled < 2.0**60 else 64  # far beyond any window


def feature_bits(largest: float, s_x: int) -> tuple[int, int]:
    """(s_x, x_bits): the widest scale up to `s_x` at which the largest feature fits 16 signed bits, unclipped."""
    for scale in range(s_x, -1, -1):
        bits = unsigned_bits(largest, scale) + 1
        if bits <= MAX_TABLE_BITS:
            return scale, max(bits, 2)
    raise PlanError(
        f"a feature of magnitude {largest:g} does not fit 16 bits; set dataset.standardise = true or rescale the column"
    )
