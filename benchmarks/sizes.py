"""Proof size by the formula of zk/PROTOCOL.md section 17.2, evaluated on the schedule that a statement fixes."""

from __future__ import annotations

from math import comb

from zk.protocol.compiler import compile_schedule
from zk.protocol.hashing import SALT_BYTES
from zk.protocol.padlayout import pad_layout
from zk.protocol.programs.families import build_program
from zk.protocol.statement import Statement

HASH_BYTES, F_BYTES, K_BYTES = 32, 8, 16


def expected_bytes(statement: bytes) -> dict[str, float]:
    """Expected bytes of a proof by part; only the number of Merkle nodes is random (it depends on the columns drawn)."""
    st = Statement.decode(statement)
    schedule = compile_schedule(build_program(st), st.store_profile, st.pad_profile)
    pads = pad_layout(schedule)
    store, pad = schedule.profile, pads.profile
    n_rows = sum(tableau.layout.n_rows for tableau in schedule.tableaux) + 2
    pad_answers = K_BYTES * (pad.k + pad.n_linear + pad.n_quadratic)
    pad_openings = pad.t * (K_BYTES * pads.n_rows + SALT_BYTES) + HASH_BYTES * path_nodes(pad.n, pad.t)
    paths = store.t * SALT_BYTES + HASH_BYTES * path_nodes(store.n, store.t)
    return {
        "columns": float(F_BYTES * store.t * n_rows),
        "w": float(K_BYTES * store.k),
        "pad": pad_answers + pad_openings,
        "Merkle and salts": len(schedule.tableaux) * paths,
        "scalars and head": K_BYTES * schedule.n_scalars + 4 + 3 * HASH_BYTES,
    }


def path_nodes(n_leaves: int, n_opened: int) -> float:
    """Expected nodes of the joint Merkle path of `n_opened` distinct random leaves: siblings without an opened leaf."""
    total, below = 0.0, 1
    while below < n_leaves:
        sibling_free = comb(n_leaves - below, n_opened) / comb(n_leaves, n_opened)
        both_free = comb(n_leaves - 2 * below, n_opened) / comb(n_leaves, n_opened) if 2 * below < n_leaves else 0.0
        total += n_leaves / below * (sibling_free - both_free)
        below *= 2
    return total
