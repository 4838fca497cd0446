"""The closed list of program families: how a statement becomes a program, and what its roles must be (PROTOCOL 2, 7, 19)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zk.protocol.codec import Reader
from zk.protocol.errors import MalformedError, ProgramError, RecordError
from zk.protocol.ir import Program
from zk.protocol.layout import layout_of
from zk.protocol.programs.dataset import (
    DatasetSpec,
    build_dataset_certificate,
    build_label_histogram,
    build_nearest_row,
    build_predicate_count,
)
from zk.protocol.programs.refresh import build_refresh, read_shapes
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.programs.training import build_training
from zk.protocol.programs.weights import AccuracyOutput, Evaluation, build_accuracy, build_weights_certificate
from zk.protocol.record import CKPT, DATA, KIND_NAMES, NO_CONTEXT
from zk.protocol.registration import Segment
from zk.protocol.statement import AUDIT, CERT, REFRESH, SEGMENT, Statement

MAX_EVALUATION_ROWS = 1 << 20
ROLE_KINDS = {"D": DATA, "W": CKPT, "W_in": CKPT, "W_out": CKPT}


@dataclass(frozen=True)
class Family:
    """`publics` are the exact public names; `build` raises a `VerificationError` for anything it does not accept.

    `dataset` gives the spec under which the family reads role D: the dataset must be certified under that very spec,
    because windows alone do not say that labels are one-hot.
    """

    kind: int
    publics: tuple[str, ...]
    build: Callable[[Statement, Reader], Program]
    dataset: Callable[[Statement, Reader], DatasetSpec] | None = None


def _dataset_certificate(st: Statement, reader: Reader) -> Program:
    return build_dataset_certificate(DatasetSpec.read(reader))


def _weights_certificate(st: Statement, reader: Reader) -> Program:
    return build_weights_certificate(TrainingSpec.read(reader))


def _training(st: Statement, reader: Reader) -> Program:
    segment = Segment.decode(st.run)
    return build_training(segment.registration.spec, segment.order(), segment.initial(), segment.range_bits)


def _refresh(st: Statement, reader: Reader) -> Program:
    return build_refresh(read_shapes(reader))


def _label_histogram(st: Statement, reader: Reader) -> Program:
    return build_label_histogram(DatasetSpec.read(reader), st.public("counts"))


def _predicate_count(st: Statement, reader: Reader) -> Program:
    spec = DatasetSpec.read(reader)
    return build_predicate_count(spec, reader.u32(), reader.i64(), st.public("counts"))


def _nearest_row(st: Statement, reader: Reader) -> Program:
    distance = st.public("distance")
    if len(distance) != 1:
        raise MalformedError("distance must be one integer")
    return build_nearest_row(DatasetSpec.read(reader), st.public("query"), distance[0])


def _accuracy_output(st: Statement) -> AccuracyOutput:
    return AccuracyOutput(st.public("rows"), st.public("correct"), st.public("predicted"))


def _accuracy(st: Statement, reader: Reader) -> Program:
    spec = TrainingSpec.read(reader)
    n_rows, n_groups = reader.count(MAX_EVALUATION_ROWS, "rows"), reader.count(256, "groups")
    features, labels, groups = (st.public(name) for name in ("features", "labels", "groups"))
    if len(labels) != n_rows or len(groups) != n_rows:
        raise ProgramError(f"{len(labels)} labels and {len(groups)} groups for {n_rows} rows")
    return build_accuracy(spec, Evaluation(n_rows, n_groups, features, labels, groups), _accuracy_output(st))


def _committed_accuracy(st: Statement, reader: Reader) -> Program:
    spec, data = TrainingSpec.read(reader), DatasetSpec.read(reader)
    if data.features != spec.layers[0] or data.n_targets != spec.layers[-1] or data.targets != "onehot":
        raise ProgramError("the committed dataset does not fit the model")
    if data.x_scale != spec.scales.s_x:
        raise ProgramError("the committed dataset has another scale than the model")
    evaluation = Evaluation(data.rows, max(data.groups, 1), dataset=data)
    return build_accuracy(spec, evaluation, _accuracy_output(st))


def _run_dataset(st: Statement, reader: Reader) -> DatasetSpec:
    return Segment.decode(st.run).registration.spec.data


def _leading_dataset(st: Statement, reader: Reader) -> DatasetSpec:
    return DatasetSpec.read(reader)


def _second_dataset(st: Statement, reader: Reader) -> DatasetSpec:
    TrainingSpec.read(reader)
    return DatasetSpec.read(reader)


COUNTS = ("rows", "correct", "predicted")
FAMILIES: dict[str, Family] = {
    "dataset-certificate": Family(CERT, (), _dataset_certificate),
    "weights-certificate": Family(CERT, (), _weights_certificate),
    "mlp-sgd": Family(SEGMENT, (), _training, _run_dataset),
    "refresh": Family(REFRESH, (), _refresh),
    "label-histogram": Family(AUDIT, ("counts",), _label_histogram, _leading_dataset),
    "predicate-count": Family(AUDIT, ("counts",), _predicate_count, _leading_dataset),
    "nearest-row": Family(AUDIT, ("query", "distance"), _nearest_row, _leading_dataset),
    "accuracy": Family(AUDIT, ("features", "labels", "groups", *COUNTS), _accuracy),
    "committed-accuracy": Family(AUDIT, COUNTS, _committed_accuracy, _second_dataset),
}


def build_program(st: Statement) -> Program:
    """The program a statement names. Raises a `VerificationError` subclass; the result has passed every local limit."""
    family = FAMILIES.get(st.family)
    if family is None or family.kind != st.kind:
        raise MalformedError(f"unknown program family {st.family} for statement kind {st.kind}")
    if tuple(name for name, _ in st.publics) != family.publics:
        raise MalformedError(f"family {st.family} has the public values {family.publics}")
    if bool(st.run) != (st.kind == SEGMENT) or (st.kind == AUDIT) != (st.auditor is not None):
        raise MalformedError(f"family {st.family}: run and auditor fields do not fit the statement kind")
    _check_dataset_rows(st)
    reader = Reader(st.params, f"parameters of {st.family}")
    program = family.build(st, reader)
    reader.end()
    if [name for name, _ in st.roles] != program.roles:
        raise MalformedError(f"family {st.family} has the roles {program.roles}")
    return program


def required_dataset(st: Statement) -> DatasetSpec | None:
    """The spec under which role D must be certified, or None where the family has no such role or certifies it."""
    family = FAMILIES.get(st.family)
    if family is None or family.dataset is None:
        return None
    return family.dataset(st, Reader(st.params, f"parameters of {st.family}"))


def _check_dataset_rows(st: Statement) -> None:
    """Compare role D with its spec before anything proportional to the number of rows is computed."""
    spec = required_dataset(st)
    if spec is None:
        return
    layout = layout_of(spec.shapes(), st.store_profile.l)
    if "D" not in dict(st.roles):
        raise MalformedError(f"family {st.family} needs the role D")
    check_role(st, "D", layout.digest(), layout.n_rows)


def check_role(st: Statement, role: str, layout: bytes, n_rows: int) -> None:
    """Record body of `role` against what the program requires (4.2). Raises `RecordError`."""
    record = st.role(role)
    profile = st.store_profile
    if (record.profile, record.n_columns, record.n_rows) != (st.profile, profile.n, n_rows):
        raise RecordError(f"record of {role} is {record.profile} with {record.n_rows} rows, expected {st.profile}, {n_rows}")
    if record.layout != layout:
        raise RecordError(f"record of {role} has another layout than the program")
    wanted = ROLE_KINDS.get(role)
    if wanted is None and record.kind not in (DATA, CKPT):
        raise RecordError(f"record of {role} has kind {KIND_NAMES[record.kind]}")
    if wanted is not None and record.kind != wanted:
        raise RecordError(f"record of {role} has kind {KIND_NAMES[record.kind]}, expected {KIND_NAMES[wanted]}")
    _check_context(st, role, record.context)


def _check_context(st: Statement, role: str, context: bytes) -> None:
    if st.kind == REFRESH:
        old, new = st.role("old"), st.role("new")
        if role == "new" and (context != NO_CONTEXT or old.kind != new.kind or old.root == new.root):
            raise RecordError("a refreshed record keeps its kind, has context zero and a root of its own")
        return
    if role == "D" and context != NO_CONTEXT:
        raise RecordError("a dataset record has context zero")
    if st.kind == SEGMENT:
        run_id = Segment.decode(st.run).registration.run_id
        allowed = (run_id,) if role == "W_out" else (run_id, NO_CONTEXT)
        if context not in allowed:
            raise RecordError(f"record of {role} belongs to another run")
