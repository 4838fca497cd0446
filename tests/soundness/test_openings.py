"""Store openings: the combined test, Merkle paths, records, refresh, and the column budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import zk.prover.commitment as commitment
import zk.prover.prove as prover
from tests.soundness.harness import TOY, Array, Lab, Proven, fill_padding, switch_off_self_checks, wrapped
from tests.soundness.linear_algebra import rank
from tests.soundness.proof_map import ProofMap, map_proof
from tests.soundness.relations import rescale_case
from tests.soundness.statements import (
    certificate,
    checkpoint,
    commit,
    dataset,
    histogram,
    instance,
    nearest,
    proven,
    refresh,
    registration,
    rows_of_data,
    segment,
    with_digest,
)
from zk.protocol.claims import replay as replay_module
from zk.protocol.claims.multilinear import eq_table
from zk.protocol.errors import BudgetError, ConstraintError, MalformedError, MerkleError, ProximityError, RecordError
from zk.protocol.field import ONE, ZERO, K, P, k_add, k_mul, k_sub
from zk.protocol.layout import Layout
from zk.protocol.params import STORE_PROFILES
from zk.protocol.programs.refresh import encode_shapes
from zk.protocol.record import CKPT, DATA, SEG_KIND, TABLE
from zk.protocol.statement import REFRESH, Statement
from zk.protocol.transcript import Transcript
from zk.prover.backend import kernels
from zk.prover.functional import to_list
from zk.prover.ledger import Ledger

PROFILE = STORE_PROFILES[TOY]


def cut(fixture: Proven) -> ProofMap:
    return map_proof(fixture.statement, fixture.proof)


def bytes_of(fixture: Proven, label: str, index: int = 0) -> bytes:
    field = cut(fixture).of(label)[index]
    return fixture.proof[field.start : field.stop]


def replaced(fixture: Proven, label: str, index: int, data: bytes) -> Proven:
    field = cut(fixture).of(label)[index]
    assert len(data) == field.stop - field.start and data != fixture.proof[field.start : field.stop]
    return Proven(fixture.statement, fixture.proof[: field.start] + data + fixture.proof[field.stop :])


# ---------------------------------------------------------------- N10, N11, N12: w, v_r, c
def with_w(patch: pytest.MonkeyPatch, change: Callable[[Array], None]) -> None:
    """A prover that commits to a changed w, consistently in its transcript."""
    honest = prover.to_list

    def altered(table: Array) -> list[K]:
        if table.shape == (2, PROFILE.k):
            table = table.copy()
            change(table)
        return honest(table)

    patch.setattr(prover, "to_list", altered)


@pytest.mark.parametrize("kind", [certificate, refresh, histogram])
def test_N10_random_part_of_w_changed(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """A coefficient beyond the message is free in the linear constraint; only the columns refuse it."""
    kind().prove().verify()

    def change(w: Array) -> None:
        w[0, PROFILE.l + 3] ^= np.uint64(1)

    with_w(monkeypatch, change)
    kind().prove().refused(ProximityError)


def test_N10_message_part_of_w_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    histogram().prove().verify()

    def change(w: Array) -> None:
        w[1, 2] ^= np.uint64(1)

    with_w(monkeypatch, change)
    switch_off_self_checks(monkeypatch)
    histogram().prove().refused(ConstraintError)


def test_N11_vr_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    histogram().prove().verify()
    switch_off_self_checks(monkeypatch)
    honest = prover.Masker.send

    def send(self: Any, label: str, slots: Any, values: Any) -> None:
        honest(self, label, slots, [k_add(values[0], ONE)] if label == "21.vr" else values)

    monkeypatch.setattr(prover.Masker, "send", send)
    histogram().prove().refused(ConstraintError)


def false_histogram() -> Statement:
    st = histogram().st
    return replace(st, publics=(("counts", (0, sum(st.public("counts")))),))


def forge_after_c(session: Any, masker: Any, a: list[K], b: Array) -> Array:
    """Draw c first, then choose v_r such that the linear constraint holds for the false claim V."""
    transcript = masker.transcript
    r = transcript.challenge_k("20.rows", len(a))
    c = transcript.challenge_k("22.c", 1)[0]
    stores = [session.tableaux[item.role] for item in session.schedule.tableaux]
    w = prover._combined(stores, [k_add(x, k_mul(c, y)) for x, y in zip(r, a, strict=True)])
    claimed = claimed_value(session, masker, a, b)
    inner = kernels.k_sum(kernels.k_mul(np.ascontiguousarray(w[:, : PROFILE.l]), b))
    masker.send("21.vr", [session.schedule.vr], [k_sub(inner, k_mul(c, claimed))])
    transcript.absorb_k("23.w", to_list(w))
    return w


def claimed_value(session: Any, masker: Any, a: list[K], b: Array) -> K:
    """The value V that the verifier derives for the (false) statement: its affine form, with the true pads put in."""
    captured: list[Any] = []
    honest = replay_module.replay_opening_head

    def spy(transcript: Any, pads: Any, schedule: Any, a_: Any, b_: Any, value: Any, w: Any) -> Any:
        captured.append(value)
        return honest(transcript, pads, schedule, a_, b_, value, w)

    replay_module.replay_opening_head = spy
    try:
        scalars = [value if value is not None else ZERO for value in masker.masked]
        roots = (session.seg.tree.root, session.pads.tree.root)
        replay_module.replay(session.st, session.digest, session.schedule, session.layout, roots, scalars, [ZERO] * PROFILE.k)
    finally:
        replay_module.replay_opening_head = honest
    out, n_scalars = captured[0].constant, session.schedule.n_scalars
    for pad, coefficient in captured[0].pads.items():
        cell = session.layout.triples[pad - n_scalars][2] if pad >= n_scalars else session.layout.home[pad]
        slot = session.pads.slots[:, cell[0], cell[1]]
        out = k_add(out, k_mul(coefficient, (int(slot[0]), int(slot[1]))))
    return out


def c_before_vr(transcript: Any, pads: Any, schedule: Any, a: list[K], b: list[K], value: Any, w: list[K]) -> list[K]:
    """The opening head of a protocol that draws c too early."""
    r = transcript.challenge_k("20.rows", len(a))
    c = transcript.challenge_k("22.c", 1)[0]
    transcript.absorb_k("21.vr", pads.masked([schedule.vr]))
    transcript.absorb_k("23.w", w)
    inner = ZERO
    for x, y in zip(w, b, strict=False):
        inner = k_add(inner, k_mul(x, y))
    pads.require_zero(pads.secret(schedule.vr).plus(value, c).shifted(k_sub(ZERO, inner)))
    return [k_add(x, k_mul(c, y)) for x, y in zip(r, a, strict=True)]


def test_N12_vr_chosen_after_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forgery is real: it convinces a verifier that draws c before v_r, and no other."""
    proven("histogram")
    switch_off_self_checks(monkeypatch)
    histogram().prove(false_histogram()).refused(ConstraintError)
    with monkeypatch.context() as patch:
        patch.setattr(replay_module, "replay_opening_head", c_before_vr)
        patch.setattr(prover, "_opening_head", forge_after_c)
        forged = histogram().prove(false_histogram())
        forged.verify()
    forged.refused(ConstraintError)


# ---------------------------------------------------------------- N13: columns, salts, paths
@pytest.mark.parametrize("role", ["D", "SEG", "pad"])
def test_N13_column_salt_and_node(role: str) -> None:
    fixture = proven("certificate")
    for part in ("salt", "column", "node"):
        label = f"open.{role}.{part}"
        for index in (0, len(cut(fixture).of(label)) - 1):
            data = bytes_of(fixture, label, index)
            replaced(fixture, label, index, bytes([data[0] ^ 0x80]) + data[1:]).refused(MerkleError)


@pytest.mark.parametrize("role", ["D", "SEG", "pad"])
def test_N13_columns_swapped_or_duplicated(role: str) -> None:
    fixture = proven("certificate")
    first, second = (bytes_of(fixture, f"open.{role}.column", i) for i in (0, 1))
    salts = [bytes_of(fixture, f"open.{role}.salt", i) for i in (0, 1)]
    swapped = replaced(replaced(fixture, f"open.{role}.column", 0, second), f"open.{role}.column", 1, first)
    both = replaced(replaced(swapped, f"open.{role}.salt", 0, salts[1]), f"open.{role}.salt", 1, salts[0])
    both.refused(MerkleError)
    swapped.refused(MerkleError)
    twice = replaced(replaced(fixture, f"open.{role}.column", 1, first), f"open.{role}.salt", 1, salts[0])
    twice.refused(MerkleError)


def test_N13_opening_of_another_tableau() -> None:
    """Old and new hold the same message in the same layout; their openings are still not interchangeable."""
    fixture = proven("refresh")
    fields = cut(fixture)
    old = (fields.of("open.old.salt")[0].start, fields.of("open.old.node")[-1].stop)
    new = (fields.of("open.new.salt")[0].start, fields.of("open.new.node")[-1].stop)
    assert old[1] == new[0] and old[1] - old[0] == new[1] - new[0]
    proof = fixture.proof
    Proven(fixture.statement, proof[: old[0]] + proof[slice(*new)] + proof[slice(*old)] + proof[new[1] :]).refused(MerkleError)


def test_N13_node_and_leaf_hashes_bind_their_place() -> None:
    from zk.protocol.hashing import leaf_digest, node_digest

    tag, salt, column, left, right = bytes(16), bytes(16), bytes(64), bytes(32), bytes(31) + b"\1"
    leaves = {leaf_digest(tag, 0, salt, column), leaf_digest(tag, 1, salt, column), leaf_digest(b"\1" + tag[1:], 0, salt, column)}
    leaves |= {leaf_digest(tag, 0, b"\1" + salt[1:], column), leaf_digest(tag, 0, salt, column + bytes(8))}
    nodes = {node_digest(0, 0, left, right), node_digest(1, 0, left, right), node_digest(0, 1, left, right)}
    assert len(leaves) == 5 and len(nodes | {node_digest(0, 0, right, left)}) == 4


# ---------------------------------------------------------------- N14, N15, N16: shapes
@pytest.mark.parametrize("part", ["rows", "blinding"])
def test_N14_row_of_too_high_degree(lab: Lab, part: str) -> None:
    """A committed row with one coefficient at X^k cannot be explained by any w of k coefficients."""
    case = rescale_case()
    lab.accepted(case)

    def encode(rows: Array, n: int) -> Array:
        wide = np.zeros((len(rows), PROFILE.k + 1), np.uint64)
        wide[:, : PROFILE.k] = rows
        wide[-1 if part == "blinding" else 0, PROFILE.k] = 1
        return kernels.encode(wide, n)

    stand_in = SimpleNamespace(**{name: getattr(kernels, name) for name in dir(kernels)})
    stand_in.encode = encode
    lab.patch.setattr(commitment, "kernels", stand_in)
    lab.prove(case).refused(ProximityError)


def test_N14_w_with_an_extra_coefficient() -> None:
    fixture = proven("certificate")
    stop = cut(fixture).of("23.w")[-1].stop
    longer = Proven(fixture.statement, fixture.proof[:stop] + bytes(16) + fixture.proof[stop:])
    with pytest.raises((ConstraintError, MalformedError, MerkleError)):
        longer.verify()


def test_N15_tableaux_swapped_in_role_order() -> None:
    fixture = proven("refresh")
    st = Statement.decode(fixture.statement)
    (old, first), (new, second) = st.roles
    reordered = replace(st, roles=((new, second), (old, first)))
    Proven(reordered.encode(), with_digest(fixture.proof, reordered)).refused(MalformedError)
    exchanged = replace(st, roles=((old, second), (new, first)))
    Proven(exchanged.encode(), with_digest(fixture.proof, exchanged)).refused(ConstraintError)


@pytest.mark.parametrize("step", [-1, 1])
def test_N16_record_with_another_number_of_rows(step: int) -> None:
    fixture = proven("certificate")
    st = Statement.decode(fixture.statement)
    record = st.role("D")
    changed = replace(st, roles=(("D", replace(record, n_rows=record.n_rows + step)),))
    Proven(changed.encode(), with_digest(fixture.proof, changed)).refused(RecordError)


def test_N16_openings_of_seg_left_out() -> None:
    fixture = proven("certificate")
    fields = cut(fixture)
    start, stop = fields.of("open.SEG.salt")[0].start, fields.of("open.SEG.node")[-1].stop
    with pytest.raises((MerkleError, MalformedError)):
        Proven(fixture.statement, fixture.proof[:start] + fixture.proof[stop:]).verify()


# ---------------------------------------------------------------- N17, N70: budget
def test_N17_prover_refuses_beyond_the_budget() -> None:
    """h - t columns in the union are the limit; the last t are kept for REFRESH."""
    ledger, tableau = Ledger(), dataset()
    record = tableau.record.digest()
    limit = PROFILE.h - PROFILE.t
    ledger.spend([record], list(range(limit)), PROFILE, is_refresh=False)
    before = ledger.opened(record)
    st, held = certificate().st, certificate()
    with pytest.raises(BudgetError):
        for _ in range(2):  # two draws of t columns cannot both lie inside the first ten
            prover.prove(st, dict(held.witness), held.tableaux, ledger)
    assert ledger.opened(record) == before
    ledger.spend([record], list(range(limit, PROFILE.h)), PROFILE, is_refresh=True)
    with pytest.raises(BudgetError):
        ledger.spend([record], [PROFILE.h], PROFILE, is_refresh=True)


def test_N17_union_counts_and_repeats_are_free() -> None:
    ledger = Ledger()
    for _ in range(50):
        ledger.spend([b"r"], [1, 2, 3, 4, 5, 6], PROFILE, is_refresh=False)
    assert ledger.opened(b"r") == {1, 2, 3, 4, 5, 6}
    with pytest.raises(BudgetError):
        ledger.spend([b"r"], [7, 8, 9, 10, 11], PROFILE, is_refresh=False)


def test_N17_one_refused_record_spends_nothing_of_the_others() -> None:
    ledger = Ledger()
    ledger.spend([b"a"], list(range(10)), PROFILE, is_refresh=False)
    with pytest.raises(BudgetError):
        ledger.spend([b"b", b"a"], [20, 21], PROFILE, is_refresh=False)
    assert ledger.opened(b"b") == frozenset()


def test_N70_ledger_is_on_disk_before_the_proof_is_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the ledger hands the proof out, the file already lists the opened columns of every record."""
    path, record = tmp_path / "ledger.json", dataset().record.digest()
    released: list[tuple[bytes, frozenset[int]]] = []
    honest = Ledger.release

    def release(self: Ledger, *args: Any, **kwargs: Any) -> bytes:
        assert Ledger(path).opened(record) == frozenset()
        proof = honest(self, *args, **kwargs)
        released.append((proof, Ledger(path).opened(record)))
        return proof

    monkeypatch.setattr(Ledger, "release", release)
    held = certificate()
    proof = prover.prove(held.st, dict(held.witness), held.tableaux, Ledger(path))
    columns = frozenset(map_proof(held.st.encode(), proof).columns)
    assert released == [(proof, columns)]


def test_N70_no_proof_leaves_when_the_ledger_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failed attempt returns nothing; the next one at the same statement opens no second set of columns."""
    path, record, held = tmp_path / "ledger.json", dataset().record.digest(), certificate()

    def full(*args: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_write", full)
        with pytest.raises(OSError):
            prover.prove(held.st, dict(held.witness), held.tableaux, Ledger(path))
    assert Ledger(path).opened(record) == frozenset()
    proofs = {prover.prove(held.st, dict(held.witness), held.tableaux, Ledger(path)) for _ in range(3)}
    assert len(proofs) == 1
    assert Ledger(path).opened(record) == frozenset(map_proof(held.st.encode(), proofs.pop()).columns)


def test_N70_verified_result_names_the_opened_columns() -> None:
    fixture = proven("refresh")
    columns = frozenset(cut(fixture).columns)
    assert fixture.verify().opened == {record.digest(): columns for _, record in refresh().st.roles}


def test_N70_profiles_do_not_mix() -> None:
    fixture = proven("certificate")
    st = Statement.decode(fixture.statement)
    foreign = replace(st, roles=(("D", dataset("S10").record),))
    Proven(foreign.encode(), with_digest(fixture.proof, foreign)).refused(RecordError)


# ---------------------------------------------------------------- N18, N76: refresh
def test_N18_refresh_covers_padded_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """The raw equality reads every slot: a new tableau that differs in one padded slot is refused."""
    proven("refresh")

    def one_slot(name: str, block: Array) -> Array:
        out = np.zeros_like(block)
        if name == "X":
            out[-1, -1] = 1
        return out

    with monkeypatch.context() as patch:
        fill_padding(patch, one_slot)
        different = commit(rows_of_data(), DATA, seed=b"padding")
    shapes = encode_shapes([(name, array.shape) for name, array in rows_of_data().items()])
    held = instance(REFRESH, TOY, "refresh", shapes, {"old": dataset(), "new": different}, {})
    switch_off_self_checks(monkeypatch)
    held.prove().refused(ConstraintError)


def test_N18_refresh_of_other_values(monkeypatch: pytest.MonkeyPatch) -> None:
    proven("refresh")
    other = {name: array.copy() for name, array in rows_of_data().items()}
    other["Y"][0] = other["Y"][0][::-1]
    shapes = encode_shapes([(name, array.shape) for name, array in other.items()])
    held = instance(REFRESH, TOY, "refresh", shapes, {"old": dataset(), "new": commit(other, DATA)}, {})
    switch_off_self_checks(monkeypatch)
    held.prove().refused(ConstraintError)


def vanishing_change(point: list[K], layout: Layout) -> Array:
    """A nonzero change of three entries of X that the functional eq(point) does not see."""
    weights = eq_table(point)
    e0, e1, e2 = (weights[layout.find("X").offset + 4 * row] for row in range(3))
    determinant = pow(e0[0] * e1[1] - e1[0] * e0[1], -1, P)
    first = (-e2[0] * e1[1] + e1[0] * e2[1]) * determinant
    second = (-e0[0] * e2[1] + e2[0] * e0[1]) * determinant
    out = np.zeros(rows_of_data()["X"].shape, dtype=object)
    out[:3, 0] = (first % P, second % P, 1)
    return out


def test_N76_refresh_point_drawn_before_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new tableau made for a point known beforehand convinces a verifier that uses that point, and no other."""
    proven("refresh")
    point = Transcript().challenge_k("12.point.raw", cut(proven("refresh")).schedule.batch_vars)
    draw = Transcript.challenge_k

    def early(self: Transcript, label: str, n: int) -> list[K]:
        drawn = draw(self, label, n)
        return point if label == "12.point.raw" else drawn

    other = rows_of_data()
    other["X"] = wrapped(other["X"] + vanishing_change(point, dataset().layout))
    shapes = encode_shapes([(name, array.shape) for name, array in other.items()])
    held = instance(REFRESH, TOY, "refresh", shapes, {"old": dataset(), "new": commit(other, DATA)}, {})
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "challenge_k", early)
        forged = held.prove()
        forged.verify()
    forged.refused(ProximityError)  # z enters the row weights of the opening, nothing else


def test_N76_refresh_keeps_kind_layout_and_context() -> None:
    st = refresh().st
    wrong = {
        "kind": commit(rows_of_data(), CKPT),
        "context": commit(rows_of_data(), DATA, bytes(31) + b"\1"),
        "layout": commit({name.replace("Y", "Z"): array for name, array in rows_of_data().items()}, DATA),
        "itself": dataset(),
    }
    for tableau in wrong.values():
        changed = replace(st, roles=(st.roles[0], ("new", tableau.record)))
        Proven(changed.encode(), with_digest(proven("refresh").proof, changed)).refused(RecordError)


# ---------------------------------------------------------------- N61: SEG and its blinding row
@pytest.mark.parametrize("kind", ["refresh", "histogram", "certificate", "segment"])
def test_N61_every_proof_opens_a_seg_with_a_blinding_row(kind: str) -> None:
    fixture = proven(kind)
    found = cut(fixture)
    column = found.of("open.SEG.column")[0]
    rows = found.schedule.tableau("SEG").layout.n_rows
    assert column.stop - column.start == 8 * (rows + 2)


@pytest.mark.parametrize("kind", [refresh, histogram])
def test_N61_seg_without_blinding_rows_is_refused(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """S = 0 in the answer but not in the columns, and columns without the two rows of S."""
    kind().prove().verify()
    short = commitment.Tree.open

    def without_s(self: Any, indices: list[int]) -> Any:
        opening = short(self, indices)
        if self.encoded.shape[1] == 2:  # SEG of a program that stores nothing holds the rows of S alone
            opening.columns = [b""] * len(indices)
        return opening

    with monkeypatch.context() as patch:
        patch.setattr(commitment.Tree, "open", without_s)
        proof = kind().prove()
    with pytest.raises((MalformedError, MerkleError)):
        proof.verify()
    honest = prover._opening_head

    def unmasked(session: Any, masker: Any, a: list[K], b: Array) -> Array:
        session.seg.rows = session.seg.rows.copy()
        session.seg.rows[-2:] = 0
        return honest(session, masker, a, b)

    monkeypatch.setattr(prover, "_opening_head", unmasked)
    kind().prove().refused(ProximityError)


def test_N61_answers_of_two_proofs_differ_outside_the_span_of_the_rows() -> None:
    """Over one record, w1 - w2 without fresh S would be a combination of its rows; with S it is not."""
    held = histogram()
    rows = held.tableaux["D"].rows
    answers = []
    for _ in range(2):
        proof = held.prove()
        answers.append(map_proof(proof.statement, proof.proof).parsed.w)
    difference = [k_sub(x, y) for x, y in zip(*answers, strict=True)]
    base = [[int(v) for v in row] for row in rows]
    assert rank(base) == len(base)
    for part in (0, 1):
        assert rank([*base, [value[part] for value in difference]]) == len(base) + 1


# ---------------------------------------------------------------- N66: records
def test_N66_wrong_kind_and_context() -> None:
    fixture = proven("certificate")
    st = Statement.decode(fixture.statement)
    record = st.role("D")
    for change in (
        {"kind": CKPT},
        {"kind": TABLE},
        {"kind": SEG_KIND},
        {"context": registration().run_id},
        {"context": st.digest()},
    ):
        changed = replace(st, roles=(("D", replace(record, **change)),))
        Proven(changed.encode(), with_digest(fixture.proof, changed)).refused(RecordError)


def test_N66_tag_of_a_leaf_follows_from_the_record() -> None:
    """The tag depends on kind, layout and context and on nothing else: not on the role or the statement."""
    record = dataset().record
    tags = {
        replace(record, **change).tag16 for change in ({}, {"kind": CKPT}, {"layout": bytes(32)}, {"context": bytes(31) + b"\1"})
    }
    assert len(tags) == 4
    assert replace(record, profile="S10", n_rows=9, root=bytes(32)).tag16 == record.tag16


def test_N66_w_out_of_another_run_is_refused_as_w_in() -> None:
    """A checkpoint belongs to its run; the next segment of the same run accepts it."""
    held = segment(1)
    held.prove().verify()
    foreign = replace(held.st.role("W_in"), context=bytes(31) + b"\1")
    changed = replace(held.st, roles=tuple((n, foreign if n == "W_in" else r) for n, r in held.st.roles))
    Proven(changed.encode(), with_digest(proven("segment").proof, changed)).refused(RecordError)
    assert held.st.role("W_in") == checkpoint(0).record


def test_N66_checkpoint_where_a_dataset_belongs() -> None:
    fixture = proven("certificate")
    st = Statement.decode(fixture.statement)
    changed = replace(st, roles=(("D", checkpoint(0).record),))
    Proven(changed.encode(), with_digest(fixture.proof, changed)).refused(RecordError)


def test_record_root_is_a_root_of_field_columns() -> None:
    """The opened columns of the fixture are those of the committed tableau, at the drawn places."""
    held = nearest()
    proof = held.prove()
    proof.verify()
    found = map_proof(proof.statement, proof.proof)
    encoded = held.tableaux["D"].tree.encoded
    for index, field in zip(found.columns, found.of("open.D.column"), strict=True):
        values = np.frombuffer(proof.proof[field.start : field.stop], dtype="<u8")
        assert (values == encoded[index]).all() and int(values.max()) < P
