"""Training segments: a run that differs in one weight, rate, row, label, step or order is refused; chains must fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.soundness.harness import Array, Lab, Proven, switch_off_self_checks
from tests.soundness.statements import (
    BEACON,
    SPEC,
    STEPS,
    Instance,
    certificate,
    checkpoint,
    commit_weights,
    dataset,
    executed,
    instance,
    proven,
    registration,
    rows_of_data,
    segment,
    weights_of,
)
from zk.protocol.errors import ConstraintError, ProgramError, RecordError
from zk.protocol.field import P
from zk.protocol.functional import Kernel
from zk.protocol.order import epoch_permutation
from zk.protocol.programs.weights import WEIGHT_BITS
from zk.protocol.record import NO_CONTEXT
from zk.protocol.registration import Segment
from zk.protocol.statement import SEGMENT, Statement
from zk.prover.execution.training import Execution, run_training
from zk.prover.execution.weights import weight_limbs
from zk.verifier.bundle import verify_bundle

PLACE = Segment(registration(), 0, BEACON, 0)


def claimed(run: Execution, weights: list[Array] | None = None) -> Instance:
    """The honest statement with the witness and final weights of another execution."""
    final = commit_weights(weights or run.weights, registration().run_id)
    roles = {"D": dataset(), "W_in": checkpoint(-1), "W_out": final}
    held = segment().st
    return instance(SEGMENT, held.profile, "mlp-sgd", b"", roles, dict(run.tensors), run=held.run, bounds=held.bounds)


def rerun(**change: Any) -> Execution:
    """The integer run with one input changed."""
    data = rows_of_data()
    inputs = {
        "spec": SPEC,
        "order": PLACE.order(),
        "X": data["X"],
        "Y": data["Y"],
        "weights": weights_of(checkpoint(-1)),
    } | change
    return run_training(inputs["spec"], inputs["order"], inputs["X"], inputs["Y"], inputs["weights"])


def refuted(patch: pytest.MonkeyPatch, held: Instance) -> None:
    switch_off_self_checks(patch)
    held.prove().refused(ConstraintError)


def exchanged_rows() -> tuple[tuple[int, ...], ...]:
    """The first batch uses a row that belongs to the second."""
    order = [list(rows) for rows in PLACE.order()]
    order[0][0], order[1][0] = order[1][0], order[0][0]
    assert order != [list(rows) for rows in PLACE.order()]
    return tuple(tuple(rows) for rows in order)


def flipped_label() -> Array:
    y = rows_of_data()["Y"].copy()
    row = PLACE.order()[1][0]
    y[row] = y[row][::-1]
    return y


def changed_feature() -> Array:
    x = rows_of_data()["X"].copy()
    x[PLACE.order()[0][1], 0] += 1
    return x


def skipped_step() -> Execution:
    """Step 1 is computed on the weights after step 0, but its own update is lost."""
    run, data, weights = rerun(), rows_of_data(), weights_of(checkpoint(-1))
    for step in (0, 2):
        rows = PLACE.order()[step]
        weights = run_training(SPEC, (rows,), data["X"], data["Y"], weights).weights
    return Execution(run.tensors, weights, run.observed)


def test_N46_honest_rerun_verifies() -> None:
    claimed(rerun()).prove().verify()


@pytest.mark.parametrize("tensor", range(4))
@pytest.mark.parametrize("step", [1, -1])
def test_N46_one_final_weight_off_by_one(monkeypatch: pytest.MonkeyPatch, tensor: int, step: int) -> None:
    proven("segment")
    weights = [array.copy() for array in executed(0).weights]
    weights[tensor].reshape(-1)[-1] += step
    refuted(monkeypatch, claimed(executed(0), weights))


@pytest.mark.parametrize(
    "change",
    [
        lambda: rerun(spec=replace(SPEC, rate=SPEC.rate + 1)),
        lambda: rerun(order=exchanged_rows()),
        lambda: rerun(order=PLACE.order()[::-1]),
        lambda: rerun(Y=flipped_label()),
        lambda: rerun(X=changed_feature()),
        skipped_step,
    ],
    ids=["learning rate", "row exchanged", "steps reversed", "label exchanged", "feature changed", "step skipped"],
)
def test_N46_another_run_than_the_stated_one(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """A complete and consistent execution of something else."""
    proven("segment")
    other = change()
    assert any((a != b).any() for a, b in zip(other.weights, executed(0).weights, strict=True))
    refuted(monkeypatch, claimed(other))


def test_N46_starting_weights_other_than_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    proven("segment")
    weights = [array.copy() for array in weights_of(checkpoint(-1))]
    weights[0][0, 0] += 1
    refuted(monkeypatch, claimed(rerun(weights=weights)))


def test_N46_time_kernel_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step t uses W_t, in which its own gradient has no part: K^T of all ones is (T-1, ..., 1, 0) times the rate."""
    kernel = Kernel("t", (3, 3, 3))
    assert kernel.transpose([(1, 0)] * 3) == [(6, 0), (3, 0), (0, 0)]
    honest = Kernel.transpose

    def inclusive(self: Kernel, values: Any) -> Any:
        shifted = honest(self, values)
        own = [(w * v[0] % P, w * v[1] % P) for w, v in zip(self.weights, values, strict=True)]
        return [((a[0] + b[0]) % P, (a[1] + b[1]) % P) for a, b in zip(shifted, own, strict=True)]

    proof = proven("segment")
    with monkeypatch.context() as patch:
        patch.setattr(Kernel, "transpose", inclusive)
        proof.refused(ConstraintError)


@pytest.mark.parametrize(
    "name", ["L1.A", "L1.S", "L1.Q", "out.d", "out.E", "out.p", "out.r", "out.m", "L1.fwd.limb0", "L2.fwd.limb0"]
)
def test_N46_one_stored_value_changed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every stored tensor of the execution is pinned: one entry off by one is refused."""
    proven("segment")
    values = executed(0).tensors[name].copy()
    values.reshape(-1)[1] += 1 if name != "L1.S" or values.reshape(-1)[1] == 0 else -1
    run = executed(0)
    refuted(monkeypatch, claimed(Execution({**run.tensors, name: values}, run.weights, run.observed)))


# ---------------------------------------------------------------- N48, N77: order
def test_N48_order_of_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    proven("segment")
    other = Segment(registration(), 0, bytes(32), 0).order()
    assert other != PLACE.order()
    refuted(monkeypatch, claimed(rerun(order=other)))


def test_N48_repeated_rows_are_no_permutation(monkeypatch: pytest.MonkeyPatch) -> None:
    proven("segment")
    refuted(monkeypatch, claimed(rerun(order=((5, 5),) * STEPS)))
    for rows in (1, 2, 7, 64, 101):
        for epoch in (0, 1):
            assert sorted(epoch_permutation(bytes(32), epoch, rows)) == list(range(rows))
    assert epoch_permutation(bytes(32), 0, 101) != epoch_permutation(bytes(32), 1, 101)


def test_N77_seed_and_order_are_recomputed() -> None:
    """A statement has no field for them, and every input of the seed moves the order."""
    st = Statement.decode(proven("segment").statement)
    assert PLACE.registration.seed(BEACON) not in st.encode()
    seeds = {PLACE.registration.seed(BEACON), PLACE.registration.seed(bytes(32))}
    for change in ({"dataset": bytes(32)}, {"initial": bytes(32)}, {"beacon_round": 2}, {"beacon_chain": bytes(32)}):
        seeds.add(replace(PLACE.registration, **change).seed(BEACON))
    seeds.add(replace(PLACE.registration, spec=replace(SPEC, rate=2)).seed(BEACON))
    assert len(seeds) == 7


# ---------------------------------------------------------------- N49: range check of the incoming weights
def ranged(weights: list[Array], limbs: dict[str, Array] | None = None) -> Instance:
    """Segment 0 that range-checks W_in inside; the statement states no bound for it."""
    held = segment().st
    place = replace(PLACE, range_bits=WEIGHT_BITS)
    start = commit_weights(weights, NO_CONTEXT)
    run = rerun()
    tensors = {**run.tensors, **(limbs or weight_limbs(SPEC, weights))}
    roles = {"D": dataset(), "W_in": start, "W_out": checkpoint(0)}
    return instance(SEGMENT, held.profile, "mlp-sgd", b"", roles, tensors, run=place.encode(), bounds=())


def test_N49_wrapped_incoming_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """w + p / 2^s: limbs of the honest weight do not add up to it, and no others lie in their windows."""
    honest = weights_of(checkpoint(-1))
    limbs = weight_limbs(SPEC, honest)
    verified = ranged(honest).prove().verify()
    assert not any(condition.tensor.startswith("weight") for condition in verified.conditions)
    wrapped = [array.copy() for array in honest]
    wrapped[0][0, 0] += P // 256 // 2
    switch_off_self_checks(monkeypatch)
    ranged(wrapped, limbs).prove().refused(ConstraintError)


def test_N49_incoming_weights_without_any_bound_are_refused() -> None:
    st = Statement.decode(proven("segment").statement)
    Proven(replace(st, bounds=()).encode(), proven("segment").proof).refused(ProgramError)


def test_N49_bounds_that_would_let_the_forward_pass_wrap() -> None:
    st = Statement.decode(proven("segment").statement)
    wide = tuple(replace(bound, lo=-(1 << 62), hi=1 << 62) for bound in st.bounds)
    Proven(replace(st, bounds=wide).encode(), proven("segment").proof).refused(ProgramError)


def test_N69_committed_initial_weights_leave_a_condition() -> None:
    """Without a range certificate of W_0 the result says so."""
    found = proven("segment").verify()
    record = checkpoint(-1).record.digest()
    assert {condition.tensor for condition in found.conditions if condition.record == record} == {
        "weight1",
        "bias1",
        "weight2",
        "bias2",
    }


# ---------------------------------------------------------------- N47, N66, N72: chains
def pairs(*items: tuple[str, Instance]) -> list[tuple[str, bytes, bytes]]:
    out = []
    for name, held in items:
        proof = held.prove()
        out.append((name, proof.statement, proof.proof))
    return out


def refuted_checks(found: Any) -> list[str]:
    return [check.id for check in found.checks if check.ok is False]


def test_N72_segments_in_any_order() -> None:
    chain = pairs(("data", certificate()), ("first", segment(0)), ("second", segment(1)))
    verdicts = {verify_bundle(order, allow_toy=True).verdict for order in (chain, chain[::-1], [chain[1], chain[0], chain[2]])}
    assert len(verdicts) == 1 and "refuted" not in verdicts


def detached(start: list[Array]) -> Instance:
    """Segment 1 honestly trained from weights that are not those in which segment 0 ended."""
    place = Segment(registration(), 1, BEACON, 0)
    data = rows_of_data()
    run = run_training(SPEC, place.order(), data["X"], data["Y"], start)
    roles = {
        "D": dataset(),
        "W_in": commit_weights(start, registration().run_id),
        "W_out": commit_weights(run.weights, registration().run_id),
    }
    return instance(SEGMENT, "TOY4", "mlp-sgd", b"", roles, dict(run.tensors), run=place.encode(), bounds=segment(1).st.bounds)


def test_N47_segment_starts_elsewhere() -> None:
    """Both proofs hold; together they are no run."""
    start = [array.copy() for array in executed(0).weights]
    start[1][0] += 1
    other = detached(start)
    other.prove().verify()
    found = verify_bundle(pairs(("data", certificate()), ("first", segment(0)), ("second", other)), allow_toy=True)
    assert found.verdict == "refuted" and refuted_checks(found)


def test_N47_missing_segment_is_inconclusive() -> None:
    found = verify_bundle(pairs(("data", certificate()), ("second", segment(1))), allow_toy=True)
    assert found.verdict == "inconclusive"


def test_N72_stated_bound_below_the_predecessor() -> None:
    """Segment 1 states bounds that the end of segment 0 does not have."""
    held = segment(1)
    narrow = tuple(replace(bound, lo=-300, hi=300) for bound in held.st.bounds)
    tight = Instance(replace(held.st, bounds=narrow), held.witness, held.tableaux)
    found = verify_bundle(pairs(("data", certificate()), ("first", segment(0)), ("second", tight)), allow_toy=True)
    assert found.verdict != "holds" and any(check.ok is not True for check in found.checks if "bound" in check.id)


def test_N66_w_out_as_w_in_of_another_run(lab: Lab) -> None:
    """The record of a run's checkpoint names that run."""
    held = segment(1)
    foreign = commit_weights(executed(0).weights, bytes(31) + b"\1")
    roles = tuple((name, foreign.record if name == "W_in" else record) for name, record in held.st.roles)
    tableaux = {**held.tableaux, "W_in": foreign}
    Instance(replace(held.st, roles=roles), held.witness, tableaux).prove().refused(RecordError)
    assert np.array_equal(foreign.tensors["weight1"], held.tableaux["W_in"].tensors["weight1"])
