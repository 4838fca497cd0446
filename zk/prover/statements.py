"""Statements a provider proves, with their witnesses: certificates, segments, refreshes, audits (PROTOCOL 2, 18, 19)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zk.protocol.bounds import Interval, infer_bounds
from zk.protocol.codec import Writer
from zk.protocol.layout import layout_of
from zk.protocol.params import StoreProfile
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.families import build_program
from zk.protocol.programs.refresh import encode_shapes
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.programs.weights import AccuracyOutput
from zk.protocol.record import CKPT, DATA, NO_CONTEXT, Record
from zk.protocol.registration import Segment
from zk.protocol.statement import AUDIT, CERT, FROM_PREDECESSOR, REFRESH, SEGMENT, Auditor, Bound, Statement
from zk.prover.commitment import StoreTableau, commit_store
from zk.prover.execution import dataset as rows
from zk.prover.execution.inference import count_predictions, run_inference
from zk.prover.execution.training import run_training
from zk.prover.execution.weights import weight_limbs
from zk.prover.ledger import Ledger
from zk.prover.openings import refreshed
from zk.prover.prove import Progress, prove

Array = np.ndarray
Intervals = dict[str, Interval]  # by layout name


@dataclass(frozen=True)
class Proven:
    """A statement with its proof; `name` is the file name both are published under."""

    name: str
    statement: Statement
    proof: bytes


def commit_dataset(
    spec: DatasetSpec, profile: StoreProfile, features: Array, targets: Array, groups: Array | None = None
) -> StoreTableau:
    """Dataset tableau: X, Y, one-hot groups (from indices) if the spec has any, and squared norms.

    Raises `WindowError` or `ProvingError` naming the row that does not fit.
    """
    tensors = rows.dataset_tensors(spec, features, targets, groups)
    return commit_store(layout_of(spec.shapes(), profile.l), profile, tensors, DATA, NO_CONTEXT)


def commit_weights(spec: TrainingSpec, profile: StoreProfile, weights: Sequence[Array], context: bytes) -> StoreTableau:
    """Checkpoint tableau in `weight_shapes` order."""
    shapes = spec.weight_shapes()
    tensors = {name: values for (name, _), values in zip(shapes, weights, strict=True)}
    return commit_store(layout_of(shapes, profile.l), profile, tensors, CKPT, context)


def _bounds(role: str, intervals: Intervals, source: int) -> tuple[Bound, ...]:
    return tuple(Bound(f"{role}.{name}", lo, hi, source) for name, (lo, hi) in intervals.items())


def certify_dataset(spec: DatasetSpec, data: StoreTableau, ledger: Ledger, progress: Progress | None = None) -> Proven:
    """CERT: windows, one-hot rows, norms. Needed once per dataset record."""
    st = Statement(CERT, data.profile.name, "dataset-certificate", spec.encode(), (("D", data.record),))
    return Proven("certificate-dataset", st, prove(st, {}, {"D": data}, ledger, progress))


def certify_weights(spec: TrainingSpec, weights: StoreTableau, ledger: Ledger, progress: Progress | None = None) -> Proven:
    """CERT: every parameter in [-2^31, 2^31). Raises `WindowError` otherwise."""
    st = Statement(CERT, weights.profile.name, "weights-certificate", spec.encode(), (("W", weights.record),))
    values = [weights.tensors[name] for name, _ in spec.weight_shapes()]
    witness = weight_limbs(spec, values, 32)
    return Proven("certificate-weights", st, prove(st, witness, {"W": weights}, ledger, progress))


@dataclass(frozen=True)
class SegmentWork:
    """A segment that has been executed but not proven: its statement, witness, and opened commitments."""

    name: str
    statement: Statement
    witness: dict[str, Array]
    tableaux: dict[str, StoreTableau]
    bounds_out: Intervals

    @property
    def checkpoint(self) -> StoreTableau:
        return self.tableaux["W_out"]

    def prove(self, ledger: Ledger, progress: Progress | None = None) -> Proven:
        return Proven(self.name, self.statement, prove(self.statement, self.witness, self.tableaux, ledger, progress))


def execute_segment(
    segment: Segment,
    data: StoreTableau,
    start: StoreTableau | None,
    bounds_in: Intervals,
    checkpoint: StoreTableau | None = None,
) -> SegmentWork:
    """Run one segment in exact integers and form its statement.

    `start` opens the incoming weights, None where they are public. `checkpoint` is the outgoing tableau of an earlier,
    interrupted attempt; it must hold the same weights and is then reused, so that the result does not change. Raises
    `WindowError` naming tensor, step and sample before any proving starts.
    """
    registration = segment.registration
    spec = registration.spec
    initial = segment.initial()
    shapes = spec.weight_shapes()
    if initial is not None:
        weights = [np.array(v, dtype=np.int64).reshape(shape) for v, (_, shape) in zip(initial, shapes, strict=True)]
    else:
        assert start is not None
        weights = [start.tensors[name] for name, _ in shapes]
    first, _ = registration.steps_of(segment.index)
    done = run_training(spec, segment.order(), data.tensors["X"], data.tensors["Y"], weights, segment.range_bits, first)
    if checkpoint is None or not _holds(checkpoint, spec, done.weights):
        checkpoint = commit_weights(spec, data.profile, done.weights, registration.run_id)
    tableaux = {"D": data, "W_out": checkpoint} if initial is not None else {"D": data, "W_in": start, "W_out": checkpoint}
    roles = tuple((role, tableau.record) for role, tableau in tableaux.items() if tableau is not None)
    bounds: tuple[Bound, ...] = ()
    if initial is None and not segment.range_bits:
        bounds = _bounds("W_in", bounds_in, FROM_PREDECESSOR)
    st = Statement(SEGMENT, data.profile.name, "mlp-sgd", b"", roles, (), segment.encode(), bounds)
    bounds_out = outgoing_bounds(st, spec)
    opened = {role: tableau for role, tableau in tableaux.items() if tableau is not None}
    return SegmentWork(f"segment-{segment.index:04d}", st, done.tensors, opened, bounds_out)


def outgoing_bounds(st: Statement, spec: TrainingSpec) -> Intervals:
    """Intervals of W_out that a segment statement establishes, given what it relies on."""
    given = spec.data.bounds() | {bound.tensor: (bound.lo, bound.hi) for bound in st.bounds}
    known = infer_bounds(build_program(st), given)
    return {name: known[f"W_out.{name}"] for name, _ in spec.weight_shapes()}


def _holds(checkpoint: StoreTableau, spec: TrainingSpec, weights: Sequence[Array]) -> bool:
    names = [name for name, _ in spec.weight_shapes()]
    return all(np.array_equal(checkpoint.tensors[name], values) for name, values in zip(names, weights, strict=True))


def prove_refresh(
    name: str, old: StoreTableau, ledger: Ledger, new: StoreTableau | None = None, progress: Progress | None = None
) -> tuple[Proven, StoreTableau]:
    """REFRESH: a new commitment to the same message with a fresh hiding budget. `new` resumes an interrupted attempt."""
    new = refreshed(old) if new is None else new
    shapes = [(item.name, item.shape) for item in old.layout.tensors]
    roles = (("old", old.record), ("new", new.record))
    st = Statement(REFRESH, old.profile.name, "refresh", encode_shapes(shapes), roles)
    return Proven(name, st, prove(st, {}, {"old": old, "new": new}, ledger, progress)), new


@dataclass(frozen=True)
class AuditWork:
    """An audit answer before proving: statement, witness, opened commitments."""

    statement: Statement
    witness: dict[str, Array]
    tableaux: dict[str, StoreTableau]

    def prove(self, ledger: Ledger, name: str = "audit", progress: Progress | None = None) -> Proven:
        return Proven(name, self.statement, prove(self.statement, self.witness, self.tableaux, ledger, progress))


def label_histogram(spec: DatasetSpec, data: StoreTableau, auditor: Auditor) -> AuditWork:
    done = rows.label_histogram(spec, data.tensors["Y"])
    return _dataset_audit("label-histogram", spec.encode(), data, auditor, (("counts", done.output),), {})


def predicate_count(spec: DatasetSpec, data: StoreTableau, auditor: Auditor, feature: int, threshold: int) -> AuditWork:
    done = rows.predicate_count(spec, data.tensors["X"], data.tensors["Y"], feature, threshold)
    params = Writer().raw(spec.encode()).u32(feature).i64(threshold).bytes()
    publics = (("counts", done.output),)
    return _dataset_audit("predicate-count", params, data, auditor, publics, done.tensors)


def nearest_row(spec: DatasetSpec, data: StoreTableau, auditor: Auditor, query: Sequence[int]) -> AuditWork:
    done = rows.nearest_row(spec, data.tensors["X"], np.array(query, dtype=np.int64))
    publics = (("query", tuple(int(value) for value in query)), ("distance", done.output))
    return _dataset_audit("nearest-row", spec.encode(), data, auditor, publics, done.tensors)


def _dataset_audit(
    family: str,
    params: bytes,
    data: StoreTableau,
    auditor: Auditor,
    publics: tuple[tuple[str, tuple[int, ...]], ...],
    witness: dict[str, Array],
) -> AuditWork:
    st = Statement(AUDIT, data.profile.name, family, params, (("D", data.record),), publics, b"", (), auditor)
    return AuditWork(st, witness, {"D": data})


def accuracy(
    spec: TrainingSpec,
    weights: StoreTableau,
    bounds: Intervals,
    auditor: Auditor,
    features: Array,
    labels: Sequence[int],
    groups: Sequence[int],
    n_groups: int,
) -> AuditWork:
    """Accuracy per group on public integer features at scale s_x; `bounds` are the established intervals of the weights."""
    values = [weights.tensors[name] for name, _ in spec.weight_shapes()]
    witness, predictions = run_inference(spec, features, values)
    out = count_predictions(spec, predictions, np.asarray(labels), np.asarray(groups), n_groups)
    flat = tuple(int(value) for value in np.asarray(features).reshape(-1))
    publics = (
        ("features", flat),
        ("labels", tuple(int(label) for label in labels)),
        ("groups", tuple(int(group) for group in groups)),
        *_count_publics(out),
    )
    params = Writer().raw(spec.encode()).u32(len(features)).u32(n_groups).bytes()
    stated = _bounds("W", bounds, FROM_PREDECESSOR)
    st = Statement(AUDIT, weights.profile.name, "accuracy", params, (("W", weights.record),), publics, b"", stated, auditor)
    return AuditWork(st, witness, {"W": weights})


def committed_accuracy(
    spec: TrainingSpec,
    weights: StoreTableau,
    bounds: Intervals,
    auditor: Auditor,
    data_spec: DatasetSpec,
    data: StoreTableau,
) -> AuditWork:
    """Accuracy on all rows of a committed dataset, per committed group if it has any."""
    values = [weights.tensors[name] for name, _ in spec.weight_shapes()]
    witness, predictions = run_inference(spec, data.tensors["X"], values)
    n_rows = data_spec.rows
    groups = data.tensors["G"].argmax(axis=1) if data_spec.groups else np.zeros(n_rows, dtype=np.int64)
    labels = data.tensors["Y"].argmax(axis=1)
    out = count_predictions(spec, predictions, labels, groups, max(data_spec.groups, 1))
    params = Writer().raw(spec.encode()).raw(data_spec.encode()).bytes()
    stated = _bounds("W", bounds, FROM_PREDECESSOR)
    roles: tuple[tuple[str, Record], ...] = (("W", weights.record), ("D", data.record))
    publics = _count_publics(out)
    st = Statement(AUDIT, weights.profile.name, "committed-accuracy", params, roles, publics, b"", stated, auditor)
    return AuditWork(st, witness, {"W": weights, "D": data})


def _count_publics(out: AccuracyOutput) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return ("rows", out.rows), ("correct", out.correct), ("predicted", out.predicted)
