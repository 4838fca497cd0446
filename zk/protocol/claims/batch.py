"""Batching of all linear claims on store tableaux into one row claim (PROTOCOL section 13)."""

from __future__ import annotations

from zk.protocol.claims.affine import Affine, PadSystem
from zk.protocol.claims.multilinear import Point, Points, eq_index, eq_points
from zk.protocol.claims.sumcheck import combine, replay_rounds
from zk.protocol.field import HALF, ONE, ZERO, K, P, k_add, k_mul, k_scale
from zk.protocol.functional import Functional
from zk.protocol.ir import Stored
from zk.protocol.schedule import RAW_POINT, Lin, Schedule, Tableau
from zk.protocol.transcript import Transcript


def replay_batch(
    transcript: Transcript, pads: PadSystem, schedule: Schedule, points: Points, values: list[Affine]
) -> tuple[list[K], list[K], Affine]:
    """Replay labels 18 and 19; returns row weights a (all message rows), slot weights b and the claim V of (E)."""
    eta = transcript.challenge_k("18.eta", 1)[0]
    claim = combine(eta, values, [1] * len(values))
    point, final = replay_rounds(transcript, pads, "19.batch", schedule.batch_rounds, claim)
    log_l = schedule.profile.log_l
    a: list[K] = []
    for tableau in schedule.tableaux:
        if tableau.layout.n_rows:
            rho = point[schedule.batch_vars - tableau.n_vars :]
            weight = _combined_functional(points, schedule, tableau, rho, eta)
            weight = k_scale(weight, pow(HALF, schedule.batch_vars - tableau.n_vars, P))
            table = points.table(rho[: tableau.log_rows])
            a += [k_mul(weight, entry) for entry in table[: tableau.layout.n_rows]]
    b = points.table(point[schedule.batch_vars - log_l :]) if schedule.batch_vars else [ONE]
    return a, b, final


def _combined_functional(points: Points, schedule: Schedule, tableau: Tableau, rho: Point, eta: K) -> K:
    """C_i~(rho) = sum_q eta^q C_{q,i}~(rho)."""
    out, power = ZERO, ONE
    for lin in schedule.lins:
        out = k_add(out, k_mul(power, _lin_at(points, lin, tableau, rho)))
        power = k_mul(power, eta)
    return out


def _lin_at(points: Points, lin: Lin, tableau: Tableau, rho: Point) -> K:
    out = ZERO
    for claim, name in lin.parts:
        tensor = points.program.tensors[name]
        if isinstance(tensor, Stored) and tensor.role == tableau.role:
            out = k_add(out, _stored_at(points, claim, tensor, tableau, rho))
    for coefficient, role in lin.raw:
        if role == tableau.role:
            out = k_add(out, k_scale(eq_points(points.named[RAW_POINT], rho), coefficient))
    return out


def _stored_at(points: Points, claim: Functional, tensor: Stored, tableau: Tableau, rho: Point) -> K:
    """eq(rho_high, block) times the functional at the tensor's own variables."""
    placed = tableau.layout.find(tensor.layout_name)
    n_high = tableau.n_vars - placed.log_size
    return k_mul(eq_index(rho[:n_high], placed.offset >> placed.log_size), points.at(claim, rho[n_high:]))
