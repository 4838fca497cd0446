"""Rounds of a padded sumcheck (PROTOCOL section 6): claims are affine forms, c1 is eliminated, nothing is inverted."""

from __future__ import annotations

from collections.abc import Sequence

from zk.protocol.claims.affine import Affine, PadSystem
from zk.protocol.field import ONE, K, P, k_add, k_mul, k_scale, k_sub
from zk.protocol.transcript import Transcript


def replay_rounds(
    transcript: Transcript, pads: PadSystem, label: str, rounds: Sequence[tuple[int, ...]], claim: Affine
) -> tuple[list[K], Affine]:
    """Replay the rounds `label.i`; returns the point and the final claim.

    A round sends masked c0, c2[, c3] of s(X) with s(0) + s(1) = claim; the next claim is
    r claim + (1 - 2r) c0 + (r^2 - r) c2 [+ (r^3 - r) c3]. Suffix products keep the bookkeeping linear (5.4).
    """
    point: list[K] = []
    for i, slots in enumerate(rounds):
        transcript.absorb_k(f"{label}.{i}", pads.masked(slots))
        point += transcript.challenge_k(f"{label}.{i}", 1)
    constant: K = (0, 0)
    weights: dict[int, K] = {}
    suffix = ONE
    for slots, r in zip(reversed(rounds), reversed(point), strict=True):
        for slot, masked, weight in zip(slots, pads.masked(slots), _weights(r), strict=False):
            weights[slot] = k_mul(suffix, weight)
            constant = k_add(constant, k_mul(weights[slot], masked))
        suffix = k_mul(suffix, r)
    return point, claim.scaled(suffix).plus(Affine(constant, weights))


def _weights(r: K) -> tuple[K, K, K]:
    square = k_mul(r, r)
    return ((1 - 2 * r[0]) % P, -2 * r[1] % P), k_sub(square, r), k_sub(k_mul(square, r), r)


def combine(weight: K, claims: list[Affine], gains: list[int]) -> Affine:
    """sum_i weight^i * gains[i] * claims[i]."""
    out, power = Affine(), ONE
    for claim, gain in zip(claims, gains, strict=True):
        out = out.plus(claim, k_scale(power, gain))
        power = k_mul(power, weight)
    return out
