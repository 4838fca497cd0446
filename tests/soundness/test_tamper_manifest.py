"""Tamper manifest: every field of a proof and of a statement has a case that changes it and names the refusal.

A field without a case fails `test_every_..._has_a_case`, so a new field cannot be added unguarded.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.soundness.harness import Proven
from tests.soundness.proof_map import Field, map_proof
from tests.soundness.statements import KINDS, SPEC, certificate, histogram, proven, segment, with_digest
from zk.protocol.codec import Reader
from zk.protocol.errors import (
    ConstraintError,
    LimitError,
    MalformedError,
    MerkleError,
    ProgramError,
    RecordError,
    VerificationError,
)
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import Scales, TrainingSpec
from zk.protocol.proof import Proof
from zk.protocol.record import TABLE, Record
from zk.protocol.registration import Registration, Segment
from zk.protocol.statement import AUDIT, Auditor, Bound, Statement

Error = type[VerificationError]

# Transcript label (numbers dropped) or name of section 14.3 -> refusal when one bit of it changes.
PROOF_FIELDS: dict[str, Error] = {
    "magic": MalformedError,
    "statement": MalformedError,
    "04.root.seg": ConstraintError,
    "05.root.pad": ConstraintError,
    "08.gkr.root": ConstraintError,
    "10.gkr": ConstraintError,
    "11.gkr.ends": ConstraintError,
    "13.terms": ConstraintError,
    "14.claims": ConstraintError,
    "16.level": ConstraintError,
    "17.ends": ConstraintError,
    "19.batch": ConstraintError,
    "21.vr": ConstraintError,
    "23.w": ConstraintError,
    "25.pad.ldt": MerkleError,
    "26.pad.lin": MerkleError,
    "27.pad.quad": MerkleError,
    "open.salt": MerkleError,
    "open.column": MerkleError,
    "open.node": MerkleError,
}
# What of the dataclass `Proof` each of them is.
PROOF_PARTS = {
    "statement": ["statement"],
    "seg_root": ["04.root.seg"],
    "pad_root": ["05.root.pad"],
    "scalars": ["08.gkr.root", "10.gkr", "11.gkr.ends", "13.terms", "14.claims", "16.level", "17.ends", "19.batch", "21.vr"],
    "w": ["23.w"],
    "ldt": ["25.pad.ldt"],
    "linear": ["26.pad.lin"],
    "quadratic": ["27.pad.quad"],
    "tail": ["open.salt", "open.column", "open.node"],
}


def general(label: str) -> str:
    """Label without round, layer and role: `10.gkr.3.1` -> `10.gkr`, `open.W_in.salt` -> `open.salt`."""
    if label.startswith("open."):
        return "open." + label.rsplit(".", 1)[1]
    return re.sub(r"(\.\d+)+$", "", label)


def flipped(data: bytes, field: Field, at: int = 0) -> bytes:
    """One low bit of byte `at` of the field changed; the low byte of an element keeps it canonical."""
    position = field.start + at
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def expected(field: Field, index: int) -> Error:
    """Coefficients of q_lin at multiples of l enter the public sum; all others only move the opened columns."""
    if field.label == "26.pad.lin" and index % 16 == 0:
        return ConstraintError
    return PROOF_FIELDS[general(field.label)]


def test_every_proof_field_has_a_case() -> None:
    assert {field.name for field in dataclasses.fields(Proof)} == set(PROOF_PARTS)
    assert {name for names in PROOF_PARTS.values() for name in names} | {"magic"} == set(PROOF_FIELDS)
    seen: set[str] = set()
    for kind in KINDS:
        fixture = proven(kind)
        seen |= {general(field.label) for field in map_proof(fixture.statement, fixture.proof).fields}
    assert seen == set(PROOF_FIELDS)


def sampled(fields: list[Field]) -> list[tuple[int, Field]]:
    """First, middle and last field of a label."""
    numbered = list(enumerate(fields))
    return [numbered[i] for i in sorted({0, len(fields) // 2, len(fields) - 1})]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"predicate"}))
def test_N4_every_label_of_a_proof_is_bound(kind: str) -> None:
    fixture = proven(kind)
    found = map_proof(fixture.statement, fixture.proof)
    few = kind in ("segment", "certificate")  # one field a label where there are many labels
    for label in found.labels():
        fields = found.of(label)
        chosen = [(len(fields) // 2, fields[len(fields) // 2])] if few else sampled(fields)
        for index, field in chosen:
            Proven(fixture.statement, flipped(fixture.proof, field)).refused(expected(field, index))


def test_N4_every_byte_position_of_an_element_is_bound() -> None:
    """Both coordinates of a K element, low byte first."""
    fixture = proven("histogram")
    for field in (
        map_proof(fixture.statement, fixture.proof).of("21.vr") + map_proof(fixture.statement, fixture.proof).of("23.w")[:1]
    ):
        for at in (0, 3, 8, 11):
            Proven(fixture.statement, flipped(fixture.proof, field, at)).refused(ConstraintError)


# ---------------------------------------------------------------- statements
Mutation = Callable[[Statement], Statement]
Case = tuple[str, Mutation, Error]


def training(change: Callable[[Segment], Segment], follow: bool = True) -> Mutation:
    """Change the segment field; with `follow` the W_out record is moved into the changed run, so that only the
    transcript can object."""

    def apply(st: Statement) -> Statement:
        place = change(Segment.decode(st.run))
        roles = st.roles
        if follow:
            moved = replace(st.role("W_out"), context=place.registration.run_id)
            roles = tuple((name, moved if name == "W_out" else record) for name, record in roles)
        return replace(st, run=place.encode(), roles=roles)

    return apply


def registered(follow: bool = True, **fields: Any) -> Mutation:
    return training(lambda place: replace(place, registration=replace(place.registration, **fields)), follow)


def specified(**fields: Any) -> Mutation:
    return registered(spec=replace(SPEC, **fields))


def scaled(**fields: Any) -> Mutation:
    return specified(scales=replace(SPEC.scales, **fields))


def shaped(**fields: Any) -> Mutation:
    def apply(st: Statement) -> Statement:
        spec = DatasetSpec.read(Reader(st.params, "params"))
        return replace(st, params=replace(spec, **fields).encode())

    return apply


def recorded(**fields: Any) -> Mutation:
    return lambda st: replace(st, roles=((st.roles[0][0], replace(st.roles[0][1], **fields)), *st.roles[1:]))


def bounded(**fields: Any) -> Mutation:
    return lambda st: replace(st, bounds=(replace(st.bounds[0], **fields), *st.bounds[1:]))


def asked(**fields: Any) -> Mutation:
    assert histogram().st.auditor is not None
    return lambda st: replace(st, auditor=replace(histogram().st.auditor, **fields))


def counted(*counts: int) -> Mutation:
    return lambda st: replace(st, publics=(("counts", counts),))


# (class, field) -> (fixture, mutation, refusal)
STATEMENT_CASES: dict[tuple[type, str], list[Case]] = {
    (Statement, "kind"): [("certificate", lambda st: replace(st, kind=AUDIT), MalformedError)],
    (Statement, "profile"): [("certificate", lambda st: replace(st, profile="S10"), RecordError)],
    (Statement, "family"): [
        ("certificate", lambda st: replace(st, family="refresh"), MalformedError),
        ("certificate", lambda st: replace(st, family="weights-certificate"), MalformedError),
        ("certificate", lambda st: replace(st, family="unheard-of"), MalformedError),
    ],
    (Statement, "params"): [
        ("certificate", lambda st: replace(st, params=st.params + b"\0"), MalformedError),
        ("certificate", lambda st: replace(st, params=st.params[:-1]), MalformedError),
    ],
    (Statement, "roles"): [
        ("refresh", lambda st: replace(st, roles=st.roles[::-1]), MalformedError),
        ("segment", lambda st: replace(st, roles=st.roles[:-1]), MalformedError),
        ("segment", lambda st: replace(st, roles=(*st.roles, ("X", st.roles[0][1]))), MalformedError),
    ],
    (Statement, "publics"): [
        (
            "histogram",
            counted(0, 7),
            ConstraintError,
        ),
        ("histogram", counted(7), ProgramError),
        ("histogram", lambda st: replace(st, publics=()), MalformedError),
    ],
    (Statement, "run"): [
        ("segment", lambda st: replace(st, run=b""), MalformedError),
        ("segment", lambda st: replace(st, run=st.run + b"\0"), MalformedError),
        ("certificate", lambda st: replace(st, run=segment().st.run), MalformedError),
    ],
    (Statement, "bounds"): [("segment", lambda st: replace(st, bounds=st.bounds[1:]), ProgramError)],
    (Statement, "auditor"): [
        ("histogram", lambda st: replace(st, auditor=None), MalformedError),
        ("certificate", lambda st: replace(st, auditor=histogram().st.auditor), MalformedError),
    ],
    (Record, "profile"): [("certificate", recorded(profile="S10"), RecordError)],
    (Record, "kind"): [("certificate", recorded(kind=TABLE), RecordError)],
    (Record, "context"): [("certificate", recorded(context=bytes(31) + b"\1"), RecordError)],
    (Record, "layout"): [("certificate", recorded(layout=bytes(32)), RecordError)],
    (Record, "n_rows"): [("certificate", recorded(n_rows=certificate().st.roles[0][1].n_rows + 1), RecordError)],
    (Record, "n_columns"): [("certificate", recorded(n_columns=256), RecordError)],
    (Record, "root"): [("certificate", recorded(root=bytes(32)), ConstraintError)],
    (Bound, "tensor"): [
        ("segment", bounded(tensor="D.X"), ProgramError),
        ("segment", bounded(tensor="nothing"), ProgramError),
    ],
    (Bound, "lo"): [
        ("segment", bounded(lo=-(1 << 20) - 1), ConstraintError),
        ("segment", bounded(lo=(1 << 20) + 1), ProgramError),
    ],
    (Bound, "hi"): [("segment", bounded(hi=1 << 21), ConstraintError)],
    (Bound, "source"): [("segment", bounded(source=2), ConstraintError), ("segment", bounded(source=3), MalformedError)],
    (Auditor, "name"): [("histogram", asked(name="someone"), ConstraintError)],
    (Auditor, "nonce"): [("histogram", asked(nonce=bytes(32)), ConstraintError)],
    (Segment, "registration"): [("segment", registered(total_steps=7), ConstraintError)],
    (Segment, "index"): [("segment", training(lambda place: replace(place, index=1)), ConstraintError)],
    (Segment, "randomness"): [("segment", training(lambda place: replace(place, randomness=bytes(32))), ConstraintError)],
    (Segment, "range_bits"): [
        ("segment", training(lambda place: replace(place, range_bits=32)), ConstraintError),
        ("segment", training(lambda place: replace(place, range_bits=33)), ProgramError),
    ],
    (Registration, "dataset"): [
        ("segment", registered(dataset=bytes(32)), ConstraintError),
        ("segment", registered(follow=False, dataset=bytes(32)), RecordError),
    ],
    (Registration, "initial"): [
        ("segment", registered(initial=bytes(32)), ConstraintError),
        ("segment", registered(initial=None), MalformedError),
    ],
    (Registration, "spec"): [("segment", specified(rate=SPEC.rate + 1), ConstraintError)],
    (Registration, "beacon_chain"): [("segment", registered(beacon_chain=bytes(32)), ConstraintError)],
    (Registration, "beacon_round"): [("segment", registered(beacon_round=2), ConstraintError)],
    (Registration, "segment_steps"): [("segment", registered(segment_steps=4), ConstraintError)],
    (Registration, "total_steps"): [
        ("segment", registered(total_steps=7), ConstraintError),
        ("segment", registered(follow=False, total_steps=7), RecordError),
    ],
    (TrainingSpec, "layers"): [("segment", specified(layers=(3, 4, 2)), RecordError)],
    (TrainingSpec, "loss"): [("segment", specified(loss="squared_error"), ProgramError)],
    (TrainingSpec, "data"): [("segment", specified(data=replace(SPEC.data, rows=8)), RecordError)],
    (TrainingSpec, "batch"): [("segment", specified(batch=3), ConstraintError)],
    (TrainingSpec, "rate"): [("segment", specified(rate=3), ConstraintError), ("segment", specified(rate=0), ProgramError)],
    (TrainingSpec, "scales"): [("segment", scaled(w_d=17), ProgramError)],
    (Scales, "s_x"): [("segment", scaled(s_x=4), ProgramError)],
    (Scales, "s_d"): [("segment", scaled(s_d=4), ConstraintError)],
    (Scales, "e"): [("segment", scaled(e=3), ConstraintError)],
    (Scales, "s_z"): [("segment", scaled(s_z=3), ConstraintError)],
    (Scales, "s_e"): [("segment", scaled(s_e=4), ConstraintError)],
    (Scales, "a"): [("segment", scaled(a=7), ConstraintError)],
    (Scales, "q"): [("segment", scaled(q=6), ConstraintError)],
    (Scales, "w_d"): [("segment", scaled(w_d=6), ConstraintError)],
    (Scales, "w_m"): [("segment", scaled(w_m=5), ConstraintError)],
    (DatasetSpec, "rows"): [("certificate", shaped(rows=8), RecordError), ("certificate", shaped(rows=1 << 23), ProgramError)],
    (DatasetSpec, "features"): [("certificate", shaped(features=4), RecordError)],
    (DatasetSpec, "x_bits"): [
        ("certificate", shaped(x_bits=5), ConstraintError),
        ("certificate", shaped(x_bits=0), ProgramError),
    ],
    (DatasetSpec, "x_scale"): [("certificate", shaped(x_scale=4), ConstraintError)],
    (DatasetSpec, "targets"): [("certificate", shaped(targets="value"), ConstraintError)],
    (DatasetSpec, "n_targets"): [("certificate", shaped(n_targets=3), RecordError)],
    (DatasetSpec, "y_bits"): [("certificate", shaped(y_bits=2), ConstraintError)],
    (DatasetSpec, "y_scale"): [("certificate", shaped(y_scale=1), ConstraintError)],
    (DatasetSpec, "groups"): [("certificate", shaped(groups=1), RecordError)],
}
CLASSES = (Statement, Record, Bound, Auditor, Segment, Registration, TrainingSpec, Scales, DatasetSpec)


def test_every_statement_field_has_a_case() -> None:
    wanted = {(cls, field.name) for cls in CLASSES for field in dataclasses.fields(cls)}
    assert wanted == set(STATEMENT_CASES)


@pytest.mark.parametrize(("owner", "name"), sorted(STATEMENT_CASES, key=str), ids=lambda item: getattr(item, "__name__", item))
def test_N1_every_statement_field_is_bound(owner: type, name: str) -> None:
    """The proof of the honest statement refutes every other statement, even with the digest in its head replaced."""
    for kind, mutate, error in STATEMENT_CASES[owner, name]:
        fixture = proven(kind)
        st = Statement.decode(fixture.statement)
        changed = mutate(st)
        assert changed != st
        Proven(changed.encode(), with_digest(fixture.proof, changed)).refused(error)
        with pytest.raises(VerificationError):
            Proven(changed.encode(), fixture.proof).verify()


def test_N1_limits_come_before_everything() -> None:
    st = certificate().st
    changed = replace(st, params=replace(DatasetSpec.read(Reader(st.params, "")), rows=1 << 20, features=1 << 16).encode())
    Proven(changed.encode(), proven("certificate").proof).refused(LimitError)
