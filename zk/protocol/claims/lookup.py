"""LogUp-GKR: from the fractional sum to two leaf claims (PROTOCOL section 8)."""

from __future__ import annotations

from operator import mul

from zk.protocol.claims.affine import Affine, PadSystem
from zk.protocol.claims.multilinear import Point, Points, eq_index, eq_points, index_extension, ones_prefix
from zk.protocol.claims.sumcheck import replay_rounds
from zk.protocol.field import ONE, ZERO, K, P, k_add, k_mul, k_neg, k_scale, k_sub
from zk.protocol.ir import UNIT
from zk.protocol.params import log2_ceil
from zk.protocol.schedule import LEAF_POINT, Block, LookupSchedule
from zk.protocol.tables import Table
from zk.protocol.transcript import Transcript


def replay_lookup(transcript: Transcript, pads: PadSystem, lookups: LookupSchedule, points: Points) -> tuple[Affine, Affine]:
    """Replay labels 07 to 11; returns the affine right-hand sides of the numerator and denominator claims."""
    alpha, gamma1, gamma2 = transcript.challenge_k("07.lookup", 3)
    points.gamma1 = gamma1
    transcript.absorb_k("08.gkr.root", pads.masked((lookups.q0, lookups.inverse)))
    pads.require_zero(pads.multiply(lookups.q0, lookups.inverse).shifted(k_neg(ONE)))
    p, q = Affine(), pads.secret(lookups.q0)
    z: Point = []
    for j, (rounds, ends) in enumerate(lookups.layers):
        p, q, z = _replay_layer(transcript, pads, j, rounds, ends, p, q, z)
    points.named[LEAF_POINT] = z
    public_p, public_q = _public_leaf_parts(points, lookups, z, alpha, gamma2)
    return p.shifted(k_neg(public_p)), q.shifted(k_neg(public_q))


def _replay_layer(
    transcript: Transcript,
    pads: PadSystem,
    j: int,
    rounds: list[tuple[int, int, int]],
    ends: tuple[int, int, int, int],
    p: Affine,
    q: Affine,
    z: Point,
) -> tuple[Affine, Affine, Point]:
    """One layer of 8.3: p + lambda q by a sumcheck of eq(z,x)[pl qr + pr ql + lambda ql qr], then fold the children."""
    weight = transcript.challenge_k(f"09.lambda.{j}", 1)[0]
    point, final = replay_rounds(transcript, pads, f"10.gkr.{j}", rounds, p.plus(q, weight))
    transcript.absorb_k(f"11.gkr.ends.{j}", pads.masked(ends))
    mu = transcript.challenge_k(f"11.gkr.ends.{j}", 1)[0]
    pl, pr, ql, qr = ends
    summand = pads.multiply(pl, qr).plus(pads.multiply(pr, ql)).plus(pads.multiply(ql, qr), weight)
    pads.require_zero(final.minus(summand.scaled(eq_points(z, point))))
    keep = k_sub(ONE, mu)
    p = pads.secret(pl).scaled(keep).plus(pads.secret(pr), mu)
    q = pads.secret(ql).scaled(keep).plus(pads.secret(qr), mu)
    return p, q, [mu, *point]


def _public_leaf_parts(points: Points, lookups: LookupSchedule, z: Point, alpha: K, gamma2: K) -> tuple[K, K]:
    """What 8.5 adds to the claims without any committed tensor: masks, constants, tables and the implicit tail."""
    numerator, denominator, used = ZERO, ZERO, ZERO
    for block in lookups.blocks:
        n_bits = lookups.depth - block.log_size
        weight = eq_index(z[:n_bits], block.offset >> block.log_size)
        base = k_sub(alpha, k_scale(gamma2, block.tag))
        if block.lookup is None:
            value = k_sub(base, _table_extension(lookups.tables[block.tag - 1], z[n_bits:], points))
        else:
            mask, constant = _mask_and_constant(points, block, z[n_bits:])
            numerator = k_add(numerator, k_mul(weight, mask))
            value = k_sub(base, k_mul(mask, constant))
        denominator = k_add(denominator, k_mul(weight, value))
        used = k_add(used, weight)
    return numerator, k_add(denominator, k_sub(ONE, used))


def _mask_and_constant(points: Points, block: Block, low: Point) -> tuple[K, K]:
    """mask~(r_lo) of the valid shape, and const_0 + gamma_1 const_1 of the lookup expression."""
    assert block.lookup is not None
    mask, start = ONE, 0
    for dim in block.lookup.dims:
        size = points.program.sizes[dim]
        stop = start + log2_ceil(size)
        mask = k_mul(mask, ones_prefix(low[start:stop], size))
        start = stop
    constants = [sum(term.coef for term in terms if term.tensor == UNIT) for terms in (block.lookup.key, block.lookup.value)]
    return mask, k_add((constants[0] % P, 0), k_scale(points.gamma1, constants[1]))


def _table_extension(table: Table, low: Point, points: Points) -> K:
    """ID(r_lo) + gamma_1 f~(r_lo)."""
    out = index_extension(low)
    if table.is_function:
        weights = points.table(low)
        values = table.values()
        extension = (
            sum(map(mul, values, [w[0] for w in weights])) % P,
            sum(map(mul, values, [w[1] for w in weights])) % P,
        )
        out = k_add(out, k_mul(points.gamma1, extension))
    return out
