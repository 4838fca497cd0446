"""LogUp-GKR (PROTOCOL section 8): multiplicities, leaves, the tree bottom-up, the layers top-down."""

from __future__ import annotations

import numpy as np

from zk.protocol.claims.multilinear import eq_factor
from zk.protocol.errors import ProvingError, WindowError
from zk.protocol.field import ONE, ZERO, K, k_add, k_inv, k_mul, k_scale, k_sub
from zk.protocol.ir import Lookup, Program, multiplicity_name
from zk.protocol.params import padded
from zk.protocol.schedule import LEAF_POINT, Block, LookupSchedule
from zk.protocol.tables import Table
from zk.prover.backend import kernels
from zk.prover.contraction import Contractor
from zk.prover.functional import Vectors
from zk.prover.masking import Masker

Array = np.ndarray


def count_multiplicities(program: Program, contractor: Contractor) -> dict[str, Array]:
    """Histogram of every table over all its lookups. Raises `WindowError` naming the first value outside its table."""
    tables = program.tables()
    counts = [np.zeros(table.n_rows, dtype=np.int64) for table in tables]
    for lookup in program.lookups:
        key, value = components(lookup, contractor)
        table = lookup.table
        _check_rows(table, lookup, key, value)
        counts[tables.index(table)] += np.bincount(key.reshape(-1), minlength=table.n_rows)
    return {multiplicity_name(tag): count for tag, count in enumerate(counts, start=1)}


def components(lookup: Lookup, contractor: Contractor) -> tuple[Array, Array | None]:
    """Integer components e_0 and e_1 on the valid shape."""
    key = contractor.terms(lookup.key, lookup.dims)
    value = contractor.terms(lookup.value, lookup.dims) if lookup.value else None
    if key is None:
        raise ProvingError("a lookup reads a tensor that is not stored")
    return key, value


def _check_rows(table: Table, lookup: Lookup, key: Array, value: Array | None) -> None:
    bad = (key < 0) | (key >= table.n_rows)
    if value is not None and not bad.any():
        bad = value != np.array(table.values(), dtype=np.int64)[key]
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        where = ", ".join(f"{dim}={i}" for dim, i in zip(lookup.dims, at, strict=True))
        names = "+".join(term.tensor for term in lookup.key)
        raise WindowError(f"{names} at {where}: {int(key[at])} is outside table {table.name}{table.params}")


def prove_lookup(masker: Masker, lookups: LookupSchedule, vectors: Vectors, contractor: Contractor) -> None:
    """Labels 07 to 11; leaves the leaf point in `vectors`."""
    transcript = masker.transcript
    alpha, gamma1, gamma2 = transcript.challenge_k("07.lookup", 3)
    vectors.gamma1 = gamma1
    layers = _build_tree(*_leaves(lookups, contractor, alpha, gamma1, gamma2), lookups.depth)
    root = layers.pop()
    q0 = (int(root[1][0, 0]), int(root[1][1, 0]))
    masker.send("08.gkr.root", (lookups.q0, lookups.inverse), (q0, k_inv(q0)))
    p, q = ZERO, q0
    z: list[K] = []
    for j, (rounds, ends) in enumerate(lookups.layers):
        weight = transcript.challenge_k(f"09.lambda.{j}", 1)[0]
        tables = _split(*layers.pop(), 1 << j)
        claim = k_add(p, k_mul(weight, q))
        point, values = _prove_layer(masker, f"10.gkr.{j}", rounds, tables, z, weight, claim)
        masker.send(f"11.gkr.ends.{j}", ends, values)
        mu = transcript.challenge_k(f"11.gkr.ends.{j}", 1)[0]
        pl, pr, ql, qr = values
        p, q = k_add(pl, k_mul(mu, k_sub(pr, pl))), k_add(ql, k_mul(mu, k_sub(qr, ql)))
        z = [mu, *point]
    vectors.named[LEAF_POINT] = z


def _leaves(lookups: LookupSchedule, contractor: Contractor, alpha: K, gamma1: K, gamma2: K) -> tuple[Array, Array]:
    """Numerators and denominators of the used leaves (8.1)."""
    p, q = np.zeros((2, lookups.used), dtype=np.uint64), np.empty((2, lookups.used), dtype=np.uint64)
    for block in lookups.blocks:
        part = slice(block.offset, block.offset + (1 << block.log_size))
        base = k_sub(alpha, k_scale(gamma2, block.tag))
        numerator, key, value = _block_values(lookups, contractor, block)
        p[0, part] = numerator
        for plane in (0, 1):
            q[plane, part] = base[plane]
        q[0, part] = kernels.f_sub(q[0, part], key)
        if value is not None:
            q[:, part] = kernels.k_sub(np.ascontiguousarray(q[:, part]), kernels.k_scale_f(value, gamma1))
    return p, q


def _block_values(lookups: LookupSchedule, contractor: Contractor, block: Block) -> tuple[Array, Array, Array | None]:
    """(numerators, e_0, e_1) of a block as field elements over the padded shape, zero where invalid."""
    if block.lookup is None:
        table = lookups.tables[block.tag - 1]
        counts = contractor.integers(multiplicity_name(block.tag))
        assert counts is not None
        values = np.array(table.values(), dtype=np.uint64) if table.is_function else None
        return kernels.to_field(-counts), np.arange(table.n_rows, dtype=np.uint64), values
    key, value = components(block.lookup, contractor)
    mask = pad_integers(np.ones(key.shape, dtype=np.int64)).astype(np.uint64)
    return mask, kernels.to_field(pad_integers(key)), None if value is None else kernels.to_field(pad_integers(value))


def pad_integers(values: Array) -> Array:
    """Flat row-major array over power-of-two dims, zero-extended."""
    shape = [padded(size) for size in values.shape]
    if tuple(shape) == values.shape:
        return np.ascontiguousarray(values).reshape(-1)
    out = np.zeros(shape, dtype=values.dtype)
    out[tuple(slice(0, size) for size in values.shape)] = values
    return out.reshape(-1)


def _build_tree(p: Array, q: Array, depth: int) -> list[tuple[Array, Array]]:
    """Layers from the leaves (first) to the root (last)."""
    layers = [(p, q)]
    for j in range(depth - 1, -1, -1):
        layers.append(kernels.gkr_up(*layers[-1], 1 << j))
    return layers


def _split(p: Array, q: Array, half: int) -> tuple[Array, Array, Array, Array]:
    """Children tables pl, pr, ql, qr of a layer with 2*half logical entries."""
    return p[:, :half], p[:, half:], q[:, :half], q[:, half:]


def _prove_layer(
    masker: Masker,
    label: str,
    rounds: list[tuple[int, int, int]],
    tables: tuple[Array, Array, Array, Array],
    z: list[K],
    weight: K,
    claim: K,
) -> tuple[list[K], list[K]]:
    """Sumcheck of eq(z,x)[pl qr + pr ql + weight ql qr]; returns the point and the four end values."""
    pl, pr, ql, qr = tables
    n = 1 << len(rounds)
    eq = kernels.eq_table(z[1:])
    scale, point = ONE, []
    for i, slots in enumerate(rounds):
        t0, top = kernels.gkr_round(pl, ql, pr, qr, eq, weight, n)
        c0, c2, c3 = _with_eq_factor(z[i], scale, claim, t0, top)
        masker.send(f"{label}.{i}", slots, (c0, c2, c3))
        r = masker.transcript.challenge_k(f"{label}.{i}", 1)[0]
        claim = next_claim(claim, r, c0, c2, c3)
        scale = k_mul(scale, eq_factor(z[i], r))
        pl, pr = kernels.gkr_fold(pl, n, 0, r), kernels.gkr_fold(pr, n, 0, r)
        ql, qr = kernels.gkr_fold(ql, n, 1, r), kernels.gkr_fold(qr, n, 1, r)
        n >>= 1
        if n > 1:
            eq = kernels.eq_halve(eq)
        point.append(r)
    return point, [_entry(pl, ZERO), _entry(pr, ZERO), _entry(ql, ONE), _entry(qr, ONE)]


def _entry(table: Array, tail: K) -> K:
    return (int(table[0, 0]), int(table[1, 0])) if table.shape[1] else tail


def _with_eq_factor(z: K, scale: K, claim: K, t0: K, top: K) -> tuple[K, K, K]:
    """Coefficients c0, c2, c3 of scale * eq(z,X) * t(X), where t(0) = t0, the X^2 coefficient is `top` and
    s(0) + s(1) = claim. z and scale are nonzero except with probability 2^-127; then the prover starts over."""
    low = k_sub(ONE, z)
    slope = k_sub(z, low)
    t1 = k_mul(k_sub(k_mul(claim, k_inv(scale)), k_mul(low, t0)), k_inv(z))
    linear = k_sub(k_sub(t1, t0), top)
    c0 = k_mul(scale, k_mul(low, t0))
    c2 = k_mul(scale, k_add(k_mul(low, top), k_mul(slope, linear)))
    return c0, c2, k_mul(scale, k_mul(slope, top))


def next_claim(claim: K, r: K, c0: K, c2: K, c3: K = ZERO) -> K:
    """s(r) for s with s(0) + s(1) = claim."""
    c1 = k_sub(k_sub(k_sub(k_sub(claim, c0), c0), c2), c3)
    return k_add(c0, k_mul(r, k_add(c1, k_mul(r, k_add(c2, k_mul(r, c3))))))
