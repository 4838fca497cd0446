"""Proving one statement; mirrors the verifier's numbered page (PROTOCOL 14.2).

Order: multiplicities and window check, SEG commitment, pad tableau, preamble, lookups, equations, levels, batching,
opening head, pad answers, ledger, openings. Nothing leaves before the ledger is on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zk.protocol.claims.constraints import absorb_pad_answers, draw_pad_challenge
from zk.protocol.claims.replay import Replayed, replay
from zk.protocol.compiler import compile_schedule
from zk.protocol.errors import ProvingError
from zk.protocol.field import ONE, ZERO, K, W, k_add, k_mul
from zk.protocol.ir import SEG, Program
from zk.protocol.padlayout import PadLayout, pad_layout
from zk.protocol.preamble import fresh_tags, preamble
from zk.protocol.programs.families import build_program
from zk.protocol.proof import Proof, encode_opening
from zk.protocol.record import PAD_KIND, SEG_KIND
from zk.protocol.schedule import RAW_POINT, Schedule, space_label
from zk.protocol.statement import REFRESH, Statement
from zk.protocol.transcript import Transcript
from zk.prover.backend import kernels
from zk.prover.batch import prove_batch
from zk.prover.commitment import StoreTableau, commit_store
from zk.prover.contraction import Contractor
from zk.prover.functional import Vectors, to_k, to_list
from zk.prover.ledger import Ledger
from zk.prover.levels import prove_level, send_splits
from zk.prover.ligero import PadTableau, commit_pads, linear_answer, low_degree_answer, quadratic_answer
from zk.prover.lookup import count_multiplicities, prove_lookup
from zk.prover.masking import Masker
from zk.prover.randomness import fresh_seed

Array = np.ndarray
Progress = Callable[[str], None]


@dataclass
class _Session:
    """Everything one proof attempt needs; never reused."""

    st: Statement
    digest: bytes
    program: Program
    schedule: Schedule
    layout: PadLayout
    tableaux: dict[str, StoreTableau]
    seg: StoreTableau
    pads: PadTableau


def prove(
    st: Statement,
    witness: dict[str, Array],
    tableaux: dict[str, StoreTableau],
    ledger: Ledger,
    progress: Progress | None = None,
) -> bytes:
    """Proof bytes for `st`.

    `witness` holds int64 arrays of every tensor of role SEG except multiplicities; `tableaux` the opened commitments by
    role. Raises `WindowError`, `BudgetError` or another `ProvingError`; a failed attempt leaves no pads behind.
    """
    report = progress or (lambda stage: None)
    program = build_program(st)
    schedule = compile_schedule(program, st.store_profile, st.pad_profile)
    layout = pad_layout(schedule)
    _check_roles(st, schedule, tableaux)
    records = [record.digest() for _, record in st.roles]
    kept = ledger.kept(st.digest(), records, st.store_profile, is_refresh=st.kind == REFRESH)
    if kept is not None:
        return kept
    stored = _stored_values(program, witness, tableaux)
    report("windows")
    vectors = Vectors(program)
    contractor = Contractor(program, stored, vectors)
    multiplicities = count_multiplicities(program, contractor)
    stored |= multiplicities
    contractor.learn(multiplicities)
    report("commit")
    session = _commit(st, program, schedule, layout, stored, tableaux)
    transcript = Transcript()
    roots = (session.seg.tree.root, session.pads.tree.root)
    tags = fresh_tags(schedule, layout, session.digest)
    preamble(transcript, st, session.digest, tags, roots)
    masker = Masker(transcript, session.pads.pads)
    if st.kind == REFRESH:
        vectors.named[RAW_POINT] = transcript.challenge_k("12.point.raw", schedule.batch_vars)
    if schedule.lookups:
        report("lookups")
        prove_lookup(masker, schedule.lookups, vectors, contractor)
    report("equations")
    for dims, n_vars in schedule.spaces.items():
        vectors.named[space_label(dims)] = transcript.challenge_k(space_label(dims), n_vars)
    send_splits(masker, "13.terms", schedule.terms, vectors, contractor)
    for level in schedule.levels:
        report(f"level {level.number}")
        prove_level(masker, level, vectors, contractor)
    report("batch")
    a, b = prove_batch(masker, schedule, vectors, session.tableaux)
    report("open")
    w = _opening_head(session, masker, a, b)
    return _finish(session, masker, w, ledger)


def _check_roles(st: Statement, schedule: Schedule, tableaux: dict[str, StoreTableau]) -> None:
    for role, record in st.roles:
        if role not in tableaux or tableaux[role].record != record:
            raise ProvingError(f"the opening of role {role} does not belong to the record in the statement")
        if tableaux[role].layout != schedule.tableau(role).layout:
            raise ProvingError(f"the commitment in role {role} has another layout than the program")


def _stored_values(program: Program, witness: dict[str, Array], tableaux: dict[str, StoreTableau]) -> dict[str, Array]:
    stored = {}
    for role in program.roles:
        for item in program.stored(role):
            stored[item.name] = tableaux[role].tensors[item.layout_name]
    for item in program.stored(SEG):
        if item.name in witness:
            if witness[item.name].shape != program.shape(item.name):
                raise ProvingError(f"witness tensor {item.name} has shape {witness[item.name].shape}")
            stored[item.name] = witness[item.name]
    return stored


def _commit(
    st: Statement,
    program: Program,
    schedule: Schedule,
    layout: PadLayout,
    stored: dict[str, Array],
    tableaux: dict[str, StoreTableau],
) -> _Session:
    digest = st.digest()
    seg_place = schedule.tableau(SEG).layout
    values = {item.layout_name: stored[item.name] for item in program.stored(SEG)}
    seg = commit_store(seg_place, st.store_profile, values, SEG_KIND, digest, one_time=True)
    seed = fresh_seed(seg.tree.root, bytes([PAD_KIND]), digest)
    pads = commit_pads(layout, schedule, seed, fresh_tags(schedule, layout, digest)[1])
    return _Session(st, digest, program, schedule, layout, {**tableaux, SEG: seg}, seg, pads)


def _opening_head(session: _Session, masker: Masker, a: list[K], b: Array) -> Array:
    """Labels 20 to 23: v_r, then w = S + sum (r_i + c a_i) U_i."""
    schedule, profile = session.schedule, session.st.store_profile
    stores = [session.tableaux[item.role] for item in schedule.tableaux]
    r = masker.transcript.challenge_k("20.rows", len(a))
    head = _combined(stores, r)[:, : profile.l]
    v_r = kernels.k_sum(kernels.k_mul(head, b)) if schedule.batch_vars else ZERO
    masker.send("21.vr", [schedule.vr], [v_r])
    c = masker.transcript.challenge_k("22.c", 1)[0]
    w = _combined(stores, [k_add(x, k_mul(c, y)) for x, y in zip(r, a, strict=True)])
    masker.transcript.absorb_k("23.w", to_list(w))
    return w


def _combined(stores: list[StoreTableau], weights: list[K]) -> Array:
    """S + sum weights_i U_i over the message rows of all tableaux, K (2, k); S has its halves in the last rows of SEG."""
    out, at = np.zeros((2, stores[0].profile.k), dtype=np.uint64), 0
    for store in stores:
        chosen = weights[at : at + store.layout.n_rows] + ([ONE, W] if store.has_blinding else [])
        out = kernels.k_add(out, kernels.combine_rows(store.rows, to_k(chosen)))
        at += store.layout.n_rows
    return out


def _finish(session: _Session, masker: Masker, w: Array, ledger: Ledger) -> bytes:
    """Pad answers, ledger, openings."""
    schedule, layout, st = session.schedule, session.layout, session.st
    roots = (session.seg.tree.root, session.pads.tree.root)
    scalars, w_list = masker.scalars(), to_list(w)
    done = replay(st, session.digest, schedule, layout, roots, scalars, w_list)
    if done.transcript.state != masker.transcript.state:
        raise ProvingError("internal: the replayed transcript differs from the one proven")
    _check_constraints(session, done)
    challenge = draw_pad_challenge(done.transcript, done.pads, schedule, layout)
    ldt = low_degree_answer(session.pads, challenge.ldt)
    linear = linear_answer(session.pads, challenge.rows)
    quadratic = quadratic_answer(session.pads, challenge.quadratic)
    absorb_pad_answers(done.transcript, ldt, linear, quadratic)
    indices = done.transcript.challenge_indices("28.columns", st.store_profile.n, st.store_profile.t)
    pad_indices = done.transcript.challenge_indices("28.columns.pad", layout.profile.n, layout.profile.t)
    records = [record.digest() for _, record in st.roles]
    stores = [session.tableaux[item.role] for item in schedule.tableaux]
    tail = b"".join(encode_opening(store.tree.open(indices)) for store in stores)
    tail += encode_opening(session.pads.tree.open(pad_indices))
    proof = Proof(session.digest, *roots, scalars, w_list, ldt, linear, quadratic, tail).encode()
    refresh = st.kind == REFRESH
    return ledger.release(session.digest, proof, records, indices, st.store_profile, is_refresh=refresh)


def _check_constraints(session: _Session, done: Replayed) -> None:
    """A false constraint means the witness does not satisfy the program: refuse before anything is opened."""
    pads, n_scalars = session.pads, session.schedule.n_scalars
    for number, form in enumerate(done.pads.constraints):
        total = form.constant
        for pad, coefficient in form.pads.items():
            cell = session.layout.triples[pad - n_scalars][2] if pad >= n_scalars else session.layout.home[pad]
            value = (int(pads.slots[0, cell[0], cell[1]]), int(pads.slots[1, cell[0], cell[1]]))
            total = k_add(total, k_mul(coefficient, value))
        if total != (0, 0):
            raise ProvingError(f"the execution does not satisfy the statement (constraint {number} is false)")
