"""Head of the combined proximity and evaluation test (PROTOCOL 4.3, steps 1 to 5)."""

from __future__ import annotations

from zk.protocol.claims.affine import Affine, PadSystem
from zk.protocol.field import ZERO, K, k_add, k_mul, k_neg
from zk.protocol.schedule import Schedule
from zk.protocol.transcript import Transcript


def replay_opening_head(
    transcript: Transcript, pads: PadSystem, schedule: Schedule, a: list[K], b: list[K], value: Affine, w: list[K]
) -> list[K]:
    """Labels 20 to 23 and the constraint of step 5; returns the row weights r_i + c a_i of the combined test."""
    r = transcript.challenge_k("20.rows", len(a))
    transcript.absorb_k("21.vr", pads.masked([schedule.vr]))
    c = transcript.challenge_k("22.c", 1)[0]
    transcript.absorb_k("23.w", w)
    if schedule.batch_vars:
        inner = ZERO
        for x, y in zip(w, b, strict=False):
            inner = k_add(inner, k_mul(x, y))
        pads.require_zero(pads.secret(schedule.vr).plus(value, c).shifted(k_neg(inner)))
    else:
        pads.require_zero(value)
    return [k_add(x, k_mul(c, y)) for x, y in zip(r, a, strict=True)]
