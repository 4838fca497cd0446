"""Batching of linear claims (PROTOCOL section 13): functional tables a tableau, one quadratic sumcheck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zk.protocol.field import HALF, ONE, ZERO, K, P, k_add, k_mul, k_scale
from zk.protocol.functional import Functional, Vec
from zk.protocol.ir import Stored
from zk.protocol.params import padded
from zk.protocol.schedule import RAW_POINT, Schedule, Tableau
from zk.prover.backend import kernels
from zk.prover.commitment import StoreTableau
from zk.prover.functional import Vectors, to_k
from zk.prover.lookup import next_claim
from zk.prover.masking import Masker

Array = np.ndarray


@dataclass
class _Side:
    """One tableau in the sumcheck: functional table c, scaled by 2^(nu_i - nu); storage f (F in its first round); claim,
    unscaled, while not yet active."""

    n_vars: int
    c: Array
    f: Array
    claim: K


def prove_batch(masker: Masker, schedule: Schedule, vectors: Vectors, tableaux: dict[str, StoreTableau]) -> tuple[list[K], Array]:
    """Labels 18 and 19; returns row weights a over all message rows and the slot weights b."""
    eta = masker.transcript.challenge_k("18.eta", 1)[0]
    sides = [
        _side(schedule, tableau, vectors, tableaux[tableau.role], eta) for tableau in schedule.tableaux if tableau.layout.n_rows
    ]
    claim = ZERO
    for side in sides:
        claim = k_add(claim, side.claim)
    point: list[K] = []
    for i, slots in enumerate(schedule.batch_rounds):
        remaining = schedule.batch_vars - i
        c0, c2 = ZERO, ZERO
        for side in sides:
            a, b = _round(side, remaining)
            c0, c2 = k_add(c0, a), k_add(c2, b)
        masker.send(f"19.batch.{i}", slots, (c0, c2))
        r = masker.transcript.challenge_k(f"19.batch.{i}", 1)[0]
        for side in sides:
            _bind(side, remaining, r)
        claim = next_claim(claim, r, c0, c2)
        point.append(r)
    return _row_weights(schedule, sides, point), kernels.eq_table(point[schedule.batch_vars - schedule.profile.log_l :])


def _side(schedule: Schedule, tableau: Tableau, vectors: Vectors, store: StoreTableau, eta: K) -> _Side:
    """Functional table C_i = sum_q eta^q C_{q,i}, claims on one tensor with the same vectors merged first."""
    c = np.zeros((2, 1 << tableau.n_vars), dtype=np.uint64)
    n_missing = schedule.batch_vars - tableau.n_vars
    weights: dict[tuple[str, tuple[tuple[str, Vec], ...]], K] = {}
    power: K = (pow(HALF, n_missing, P), 0)
    for lin in schedule.lins:
        for claim, name in lin.parts:
            tensor = schedule.program.tensors[name]
            if isinstance(tensor, Stored) and tensor.role == tableau.role:
                key = (name, claim.vecs)
                weights[key] = k_add(weights.get(key, ZERO), k_mul(power, vectors.scalar(claim)))
        for coefficient, role in lin.raw:
            if role == tableau.role:
                raw = kernels.eq_table(vectors.named[RAW_POINT])
                kernels.k_axpy(c, raw, k_scale(power, coefficient))
        power = k_mul(power, eta)
    for (name, vecs), weight in weights.items():
        _add_claim(c, schedule, tableau, vectors, name, Functional(1, (), vecs), weight)
    f = np.zeros(1 << tableau.n_vars, dtype=np.uint64)
    f[: store.message.size].reshape(store.message.shape)[:] = store.message
    return _Side(tableau.n_vars, c, f, k_scale(_inner(c, f), 1 << n_missing))


def _inner(c: Array, f: Array) -> K:
    value = kernels.contract_f(f.reshape(1, -1, 1), c)
    return (int(value[0, 0, 0]), int(value[1, 0, 0]))


def _add_claim(c: Array, schedule: Schedule, tableau: Tableau, vectors: Vectors, name: str, claim: Functional, weight: K) -> None:
    """c[block of the tensor] += weight * outer product of its padded vectors."""
    tensor = schedule.program.tensors[name]
    assert isinstance(tensor, Stored)
    placed = tableau.layout.find(tensor.layout_name)
    parts = [to_k([weight])]
    for dim, vec in claim.vecs:
        size = vectors.program.sizes[dim]
        padded_vec = np.zeros((2, padded(size)), dtype=np.uint64)
        padded_vec[:, :size] = vectors.dense(vec, size)
        parts.append(padded_vec)
    head = parts[0]
    for part in parts[1:-1]:
        head = kernels.outer(head, part)
    last = parts[-1] if len(parts) > 1 else to_k([ONE])
    kernels.outer_add(c[:, placed.offset : placed.offset + (1 << placed.log_size)], head, last)


def _round(side: _Side, remaining: int) -> tuple[K, K]:
    if side.n_vars < remaining:
        return k_scale(side.claim, HALF), ZERO
    if side.f.ndim == 1:
        return kernels.round2_f(side.c, side.f)
    return kernels.round2(side.c, side.f)


def _bind(side: _Side, remaining: int, r: K) -> None:
    if side.n_vars < remaining:
        side.claim = k_scale(side.claim, HALF)
        return
    side.f = kernels.fold_f(side.f, r) if side.f.ndim == 1 else kernels.fold(side.f, r)
    side.c = kernels.fold(side.c, r)


def _row_weights(schedule: Schedule, sides: list[_Side], point: list[K]) -> list[K]:
    """a_(i,row) = 2^(nu_i - nu) C_i~(rho) eq(rho_row, row)."""
    out: list[K] = []
    active = [tableau for tableau in schedule.tableaux if tableau.layout.n_rows]
    for tableau, side in zip(active, sides, strict=True):
        rho = point[schedule.batch_vars - tableau.n_vars :]
        end = (int(side.c[0, 0]), int(side.c[1, 0]))
        table = kernels.eq_table(rho[: tableau.log_rows])[:, : tableau.layout.n_rows]
        scaled = kernels.k_scale(np.ascontiguousarray(table), end)
        out += list(zip(scaled[0].tolist(), scaled[1].tolist(), strict=True))
    return out
