"""Audits and certificates: false counts, labels, groups, distances, and proofs made for somebody else's question."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.soundness.harness import TOY, Array, Proven, switch_off_self_checks
from tests.soundness.statements import (
    CLASSES,
    DATASET,
    FEATURES,
    Instance,
    commit,
    histogram,
    instance,
    nearest,
    predicate,
    proven,
    rows_of_data,
    with_digest,
)
from zk.protocol.errors import ConstraintError, MalformedError, ProgramError
from zk.protocol.functional import SumDim
from zk.protocol.ir import SEG, Builder, term
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.record import DATA
from zk.protocol.statement import CERT, Statement

GROUPED = DatasetSpec(7, FEATURES, 6, 3, "onehot", CLASSES, 1, 0, groups=2)


def with_groups(groups: Array) -> Instance:
    data = rows_of_data()
    tensors = {"X": data["X"], "Y": data["Y"], "G": groups, "norm2": data["norm2"]}
    return instance(CERT, TOY, "dataset-certificate", GROUPED.encode(), {"D": commit(tensors, DATA)}, {})


def with_data(**change: Array) -> Instance:
    return instance(CERT, TOY, "dataset-certificate", DATASET.encode(), {"D": commit({**rows_of_data(), **change}, DATA)}, {})


def refuted(patch: pytest.MonkeyPatch, held: Instance, st: Statement | None = None) -> None:
    switch_off_self_checks(patch)
    held.prove(st).refused(ConstraintError)


def changed(values: Array, at: tuple[int, ...], to: int) -> Array:
    out = values.copy()
    out[at] = to
    return out


ONE_HOT = np.eye(2, dtype=np.int64)[[0, 1, 1, 0, 1, 0, 0]]


def test_N55_group_one_hot_with_two_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with_groups(ONE_HOT).prove().verify()
    refuted(monkeypatch, with_groups(changed(ONE_HOT, (3,), 1)))


@pytest.mark.parametrize("row", [(0, 0), (2, -1), (1, 1)])
def test_N55_label_that_is_not_one_hot(monkeypatch: pytest.MonkeyPatch, row: tuple[int, int]) -> None:
    """No one, a negative one, two ones."""
    proven("certificate")
    y = rows_of_data()["Y"].copy()
    y[2] = row
    refuted(monkeypatch, with_data(Y=y))


@pytest.mark.parametrize("value", [32, -33, 1 << 40])
def test_certificate_of_a_feature_outside_its_window(monkeypatch: pytest.MonkeyPatch, value: int) -> None:
    proven("certificate")
    x = changed(rows_of_data()["X"], (3, 1), value)
    refuted(monkeypatch, with_data(X=x, norm2=(x.astype(object) ** 2).sum(axis=1) % (2**64 - 2**32 + 1) % 2**62))


def test_certificate_of_a_false_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    proven("certificate")
    refuted(monkeypatch, with_data(norm2=rows_of_data()["norm2"] + np.eye(7, dtype=np.int64)[4]))


@pytest.mark.parametrize("counts", [(0, 7), (8, -1), (3, 3)])
def test_N28_false_histogram(monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int]) -> None:
    proven("histogram")
    assert counts != histogram().st.public("counts")
    refuted(monkeypatch, histogram(), replace(histogram().st, publics=(("counts", counts),)))


def test_N28_false_predicate_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is false, or the bit behind it is."""
    held = predicate()
    proven("predicate")
    counts = held.st.public("counts")
    off = replace(held.st, publics=(("counts", (counts[0] + 1, counts[1])),))
    refuted(monkeypatch, held, off)
    data, row = rows_of_data(), int(np.argmax(held.witness["pred.bit"]))
    bit = changed(held.witness["pred.bit"], (row,), 0)
    fewer = tuple(int(v) for v in (bit[:, None] * data["Y"]).sum(axis=0))
    x = int(data["X"][row, 1]) + 5
    limb = changed(held.witness["pred.A.limb0"], (row,), -x - 1)
    lying = Instance(replace(held.st, publics=(("counts", fewer),)), {"pred.bit": bit, "pred.A.limb0": limb}, held.tableaux)
    lying.prove().refused(ConstraintError)


@pytest.mark.parametrize("step", [1, -1])
def test_nearest_row_distance_off_by_one(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    held = nearest()
    held.prove().verify()
    (query, values), (name, (best,)) = held.st.publics
    st = replace(held.st, publics=((query, values), (name, (best + step,))))
    limb = "nearest.limb0"
    shifted = Instance(st, {**held.witness, limb: held.witness[limb] - step}, held.tableaux)
    refuted(monkeypatch, shifted)


def test_nearest_row_second_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distance of another row: the nearest one then has a negative excess."""
    held = nearest()
    held.prove().verify()
    (query, values), (name, _) = held.st.publics
    distances = ((rows_of_data()["X"] - np.array(values)) ** 2).sum(axis=1)
    second = int(np.argsort(distances)[1])
    witness = {
        **held.witness,
        "nearest.e": np.eye(7, dtype=np.int64)[second],
        "nearest.limb0": distances - int(distances[second]),
    }
    st = replace(held.st, publics=((query, values), (name, (int(distances[second]),))))
    refuted(monkeypatch, Instance(st, witness, held.tableaux))


def test_N52_evidence_for_another_request() -> None:
    """Another auditor, nonce, family or feature: the same proof does not answer it."""
    fixture = proven("predicate")
    st = Statement.decode(fixture.statement)
    assert st.auditor is not None
    other_feature = st.params[: len(DATASET.encode())] + (2).to_bytes(4, "little") + st.params[-8:]
    for changed_st in (
        replace(st, auditor=replace(st.auditor, nonce=bytes(32))),
        replace(st, auditor=replace(st.auditor, name="another")),
        replace(st, params=other_feature),
        replace(st, params=st.params[:-8] + (-4).to_bytes(8, "little", signed=True)),
    ):
        assert changed_st != st
        Proven(changed_st.encode(), fixture.proof).refused(MalformedError)
        Proven(changed_st.encode(), with_digest(fixture.proof, changed_st)).refused(ConstraintError)


def test_N52_same_outputs_of_another_program() -> None:
    """A predicate that holds for every row counts what the histogram counts, and is still another statement."""
    st = histogram().st
    params = DATASET.encode() + (0).to_bytes(4, "little") + (-64).to_bytes(8, "little", signed=True)
    other = replace(st, family="predicate-count", params=params)
    assert other.publics == st.publics and other.digest() != st.digest()
    Proven(other.encode(), proven("histogram").proof).refused(MalformedError)


def test_N56_vector_longer_than_its_dimension() -> None:
    for length in (2, 3, 4):
        b = Builder([])
        n, c = b.dim("n", 2), b.dim("c", 3)
        b.stored("x", SEG, n, c)
        if length == 3:
            b.equation((n,), term("x", 1, SumDim(c, (1,) * length)))
        else:
            with pytest.raises(ProgramError):
                b.equation((n,), term("x", 1, SumDim(c, (1,) * length)))


def test_N56_query_longer_than_the_features() -> None:
    st = nearest().st
    (_, values), distance = st.publics
    Proven(replace(st, publics=(("query", (*values, 0)), distance)).encode(), b"").refused(ProgramError)
