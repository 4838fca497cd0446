"""Challenges of the pad tableau and the matrix they make of the constraints (PROTOCOL 5.3, 14 labels 24 to 27)."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.claims.affine import PadSystem
from zk.protocol.field import ZERO, K, k_add, k_mul, k_neg, k_sub
from zk.protocol.padlayout import Cell, PadLayout
from zk.protocol.schedule import Schedule
from zk.protocol.transcript import Transcript


@dataclass
class PadChallenge:
    """r' and mu, the combined constraint rows A_i (slot weights by tableau row) and their right side sum theta_c y_c."""

    ldt: list[K]
    quadratic: list[K]
    rows: dict[int, list[K]]
    target: K


def draw_pad_challenge(transcript: Transcript, pads: PadSystem, schedule: Schedule, layout: PadLayout) -> PadChallenge:
    """Label 24: theta, r', mu; constraints in the order they were collected, then the copies."""
    n_linear = len(pads.constraints) + len(layout.copies)
    counts = (n_linear, layout.n_rows - 1, layout.n_groups)
    drawn = transcript.challenge_k("24.pad", sum(counts))
    theta, ldt, quadratic = drawn[: counts[0]], drawn[counts[0] : counts[0] + counts[1]], drawn[counts[0] + counts[1] :]
    rows, target = _constraint_rows(pads, schedule, layout, theta)
    return PadChallenge(ldt, quadratic, rows, target)


def absorb_pad_answers(transcript: Transcript, ldt: list[K], linear: list[K], quadratic: list[K]) -> None:
    """Labels 25 to 27: w', q_lin, g."""
    transcript.absorb_k("25.pad.ldt", ldt)
    transcript.absorb_k("26.pad.lin", linear)
    transcript.absorb_k("27.pad.quad", quadratic)


def _constraint_rows(pads: PadSystem, schedule: Schedule, layout: PadLayout, theta: list[K]) -> tuple[dict[int, list[K]], K]:
    """sum_c theta_c A^(c) as slot weights a tableau row, and sum_c theta_c y_c."""
    rows: dict[int, list[K]] = {}
    target = ZERO
    for weight, form in zip(theta, pads.constraints, strict=False):
        target = k_sub(target, k_mul(weight, form.constant))
        for pad, coefficient in form.pads.items():
            cell = layout.home[pad] if pad < schedule.n_scalars else layout.triples[pad - schedule.n_scalars][2]
            _add(rows, cell, k_mul(weight, coefficient), layout.profile.l)
    for weight, (left, right) in zip(theta[len(pads.constraints) :], layout.copies, strict=True):
        _add(rows, left, weight, layout.profile.l)
        _add(rows, right, k_neg(weight), layout.profile.l)
    return rows, target


def _add(rows: dict[int, list[K]], cell: Cell, weight: K, width: int) -> None:
    row = rows.setdefault(cell[0], [ZERO] * width)
    row[cell[1]] = k_add(row[cell[1]], weight)
