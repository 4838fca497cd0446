"""Bilinear levels: batched padded sumchecks over the bound dimensions (PROTOCOL 6.2, 6.3, 7.4)."""

from __future__ import annotations

from zk.protocol.claims.affine import Affine, PadSystem
from zk.protocol.claims.multilinear import Point, Points, ones_prefix
from zk.protocol.claims.sumcheck import combine, replay_rounds
from zk.protocol.field import ONE, K, k_mul, k_neg
from zk.protocol.params import log2_ceil
from zk.protocol.schedule import Instance, Level, Operand, Value
from zk.protocol.transcript import Transcript


def value_of(pads: PadSystem, points: Points, value: Value) -> Affine:
    """A symbolic claim value as an affine form."""
    out = Affine()
    for coefficient, slot in value.slots:
        out = out.plus(pads.secret(slot), (ONE if coefficient > 0 else k_neg(ONE)))
    for claim, name in value.publics:
        out = out.shifted(k_neg(points.apply(claim, name)))
    return out


def replay_level(transcript: Transcript, pads: PadSystem, level: Level, points: Points) -> None:
    """Replay labels 15 to 17 (and the splits that follow); one constraint, operand claims stay with the schedule."""
    number = level.number
    weight = transcript.challenge_k(f"15.lambda.{number}", 1)[0]
    claims = [value_of(pads, points, item.value) for item in level.instances]
    gains = [1 << (level.n_vars - item.n_vars) for item in level.instances]
    point, final = replay_rounds(transcript, pads, f"16.level.{number}", level.rounds, combine(weight, claims, gains))
    points.named[level.point] = point
    transcript.absorb_k(f"17.ends.{number}", pads.masked([end.slot for end in level.ends]))
    power = ONE
    for item in level.instances:
        coefficient = k_mul(power, _coefficient(points, item, point[level.n_vars - item.n_vars :]))
        final = final.minus(_product(pads, points, item.a, item.b).scaled(coefficient))
        power = k_mul(power, weight)
    pads.require_zero(final)
    if level.splits:
        transcript.absorb_k(f"14.claims.{number + 1}", pads.masked([split.slot for split in level.splits]))


def _coefficient(points: Points, item: Instance, rho: Point) -> K:
    """C'~(rho): the claim on bound output dims, Ones on contracted dims."""
    out, start = points.scalar(item.claim), 0
    vecs = dict(item.claim.vecs)
    for dim in item.bound:
        size = points.program.sizes[dim]
        stop = start + log2_ceil(size)
        part = rho[start:stop]
        out = k_mul(out, points.inner(vecs[dim], part, size) if dim in vecs else ones_prefix(part, size))
        start = stop
    return out


def _product(pads: PadSystem, points: Points, a: Operand, b: Operand) -> Affine:
    """alpha * beta; an operand the verifier knows costs no message."""
    if a.slot >= 0 and b.slot >= 0:
        return pads.multiply(a.slot, b.slot)
    known, secret = (a, b) if a.slot < 0 else (b, a)
    return pads.secret(secret.slot).scaled(points.apply(known.functional, known.tensor))
