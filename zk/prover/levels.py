"""Bilinear levels (PROTOCOL 6.2, 6.3, 7.4): operand tables, one batched cubic sumcheck a level, operand values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zk.protocol.field import HALF, ONE, ZERO, K, k_add, k_mul, k_scale
from zk.protocol.functional import Ones
from zk.protocol.params import padded
from zk.protocol.schedule import Instance, Level, Operand, Split
from zk.prover.backend import kernels
from zk.prover.contraction import Contractor
from zk.prover.functional import Vectors, to_k
from zk.prover.lookup import next_claim, pad_integers
from zk.prover.masking import Masker

Array = np.ndarray


@dataclass
class Group:
    """Instances with the same operand tables, merged: C = sum of weighted claim tables."""

    n_vars: int
    c: Array
    a: Array  # F (n,) in the first round when both operands are stored integers, K (2, n) otherwise
    b: Array
    a_slot: int
    b_slot: int
    claim: K

    @property
    def is_base(self) -> bool:
        return self.a.ndim == 1


def prove_level(masker: Masker, level: Level, vectors: Vectors, contractor: Contractor) -> None:
    """Labels 15 to 17 and the splits; leaves the level's point in `vectors`."""
    transcript = masker.transcript
    weight = transcript.challenge_k(f"15.lambda.{level.number}", 1)[0]
    groups = _groups(level, weight, vectors, contractor)
    claim = ZERO
    for group in groups:
        claim = k_add(claim, group.claim)
    point: list[K] = []
    for i, slots in enumerate(level.rounds):
        label, remaining = f"16.level.{level.number}.{i}", level.n_vars - i
        c0, c2, c3 = _round(groups, remaining)
        masker.send(label, slots, (c0, c2, c3))
        r = transcript.challenge_k(label, 1)[0]
        _bind(groups, remaining, r)
        claim = next_claim(claim, r, c0, c2, c3)
        point.append(r)
    vectors.named[level.point] = point
    values = _end_values(groups)
    masker.send(f"17.ends.{level.number}", [end.slot for end in level.ends], [values[end.slot] for end in level.ends])
    send_splits(masker, f"14.claims.{level.number + 1}", level.splits, vectors, contractor)


def send_splits(masker: Masker, label: str, splits: list[Split], vectors: Vectors, contractor: Contractor) -> None:
    """Masked values of bilinear parts of claims."""
    if splits:
        values = [contractor.value(split.functional, split.product) for split in splits]
        masker.send(label, [split.slot for split in splits], values)


def _groups(level: Level, weight: K, vectors: Vectors, contractor: Contractor) -> list[Group]:
    groups: dict[tuple[object, ...], Group] = {}
    power = ONE
    for item in level.instances:
        table = _claim_table(item, power, vectors)
        key = tuple(side.slot if side.slot >= 0 else (side.tensor, side.functional) for side in (item.a, item.b))
        if key in groups:
            groups[key].c = kernels.k_add(groups[key].c, table)
        else:
            a, b = (_operand_table(item, side, contractor) for side in (item.a, item.b))
            if a.ndim != b.ndim:
                a, b = _lift(a), _lift(b)
            groups[key] = Group(item.n_vars, table, a, b, item.a.slot, item.b.slot, ZERO)
        power = k_mul(power, weight)
    for group in groups.values():
        total = _inner(group)
        group.claim = k_scale(total, 1 << (level.n_vars - group.n_vars))
    return list(groups.values())


def _inner(group: Group) -> K:
    product = kernels.k_mul(kernels.k_mul(group.c, _lift(group.a)), _lift(group.b))
    return kernels.k_sum(product)


def _lift(table: Array) -> Array:
    if table.ndim == 2:
        return table
    out = np.zeros((2, len(table)), dtype=np.uint64)
    out[0] = table
    return out


def _claim_table(item: Instance, power: K, vectors: Vectors) -> Array:
    """power * C'(x) over the padded bound space: claim vectors on output dims, Ones on contracted dims."""
    vecs = dict(item.claim.vecs)
    table = to_k([k_mul(power, vectors.scalar(item.claim))])
    for dim in item.bound:
        size = vectors.program.sizes[dim]
        vec = np.zeros((2, padded(size)), dtype=np.uint64)
        vec[:, :size] = vectors.dense(vecs.get(dim, Ones()), size)
        table = kernels.outer(table, vec)
    return table


def _operand_table(item: Instance, side: Operand, contractor: Contractor) -> Array:
    """A'(x) over the padded bound space; base-field when the operand is an integer tensor without free dims."""
    free = {dim: vec for dim, vec in side.functional.vecs if dim not in item.bound}
    values = None if free else contractor.integers(side.tensor)
    if values is not None:
        dims = [dim for dim, _ in side.functional.vecs]
        ordered = np.transpose(values, [dims.index(dim) for dim in item.bound])
        return kernels.to_field(pad_integers(ordered))
    table = contractor.fold(side.tensor, free, item.bound)
    return np.stack([pad_integers(plane) for plane in np.ascontiguousarray(table)])


def _round(groups: list[Group], remaining: int) -> tuple[K, K, K]:
    out = (ZERO, ZERO, ZERO)
    for group in groups:
        if group.n_vars < remaining:
            part = (k_scale(group.claim, HALF), ZERO, ZERO)
        elif group.is_base:
            part = kernels.round3_ff(group.c, group.a, group.b)
        else:
            part = kernels.round3(group.c, group.a, group.b)
        out = tuple(k_add(x, y) for x, y in zip(out, part, strict=True))  # type: ignore[assignment]
    return out


def _bind(groups: list[Group], remaining: int, r: K) -> None:
    for group in groups:
        if group.n_vars < remaining:
            group.claim = k_scale(group.claim, HALF)
            continue
        fold = kernels.fold_f if group.is_base else kernels.fold
        shared = group.a_slot == group.b_slot and group.a_slot >= 0
        a = fold(group.a, r)
        group.b = a if shared else fold(group.b, r)
        group.a, group.c = a, kernels.fold(group.c, r)


def _end_values(groups: list[Group]) -> dict[int, K]:
    out = {}
    for group in groups:
        for slot, table in ((group.a_slot, group.a), (group.b_slot, group.b)):
            if slot >= 0:
                lifted = _lift(table)
                out[slot] = (int(lifted[0, 0]), int(lifted[1, 0]))
    return out
