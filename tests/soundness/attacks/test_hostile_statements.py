"""Statements that make the verifier crash or work without bound. Whatever the bytes, only VerificationError may leave it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zk.protocol.errors import VerificationError
from zk.protocol.layout import layout_of
from zk.protocol.params import MAX_DATASET_ROWS, STORE_PROFILES, StoreProfile
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import Scales, TrainingSpec
from zk.protocol.record import CKPT, DATA, Record
from zk.protocol.registration import Registration, Segment
from zk.protocol.statement import SEGMENT, Statement
from zk.verifier.bundle import verify_bundle
from zk.verifier.verify import verify

LIMIT = 600 << 20
CHILD = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT}, {LIMIT}))
from zk.protocol.errors import VerificationError
from zk.verifier.verify import verify
try:
    verify(bytes.fromhex(sys.stdin.read()), b"", allow_toy=True)
except VerificationError as error:
    print(type(error.__cause__).__name__, error)
"""


def record(kind: int, shapes: list[tuple[str, tuple[int, ...]]], profile: StoreProfile) -> Record:
    """A made-up record that fits its role in everything but the data."""
    layout = layout_of(shapes, profile.l)
    return Record(profile.name, kind, bytes(32), layout.digest(), layout.n_rows, profile.n, bytes(32))


def segment_statement(rows: int, batch: int, segment_steps: int, total_steps: int, index: int, profile: str = "TOY4") -> bytes:
    """A SEGMENT statement of under a kilobyte; nothing it names was ever committed."""
    data = DatasetSpec(rows, 1, 8, 8, "value", 1, 8, 8)
    spec = TrainingSpec((1, 1), "squared_error", data, batch, 1, Scales(8, 12, 8, 8, 4, 8, 8, 8, 8))
    segment = Segment(Registration(bytes(32), bytes(32), spec, bytes(32), 0, segment_steps, total_steps), index, bytes(32), 0)
    store = STORE_PROFILES[profile]
    weights = record(CKPT, spec.weight_shapes(), store)
    roles = (("D", record(DATA, data.shapes(), store)), ("W_in", weights), ("W_out", weights))
    return Statement(SEGMENT, profile, "mlp-sgd", b"", roles, (), segment.encode()).encode()


def test_an_epoch_number_beyond_32_bits_is_refused() -> None:
    statement = segment_statement(rows=1, batch=1, segment_steps=4096, total_steps=1 << 40, index=1 << 21)
    with pytest.raises(VerificationError):
        verify(statement, b"", allow_toy=True)
    assert verify_bundle([("segment", statement, b"")], allow_toy=True).checks[0].ok is False


@pytest.mark.parametrize("rows", [1 << 22, MAX_DATASET_ROWS])
def test_a_small_statement_cannot_exhaust_memory(rows: int) -> None:
    """A huge dataset of one feature and a segment that straddles two epochs, without any proof."""
    per_epoch = rows // 32000
    index = per_epoch // 2  # steps per_epoch - 1 and per_epoch where the number of batches is odd
    statement = segment_statement(rows, 32000 if per_epoch % 2 else 31000, 2, 1 << 20, index, "S10")
    done = subprocess.run([sys.executable, "-c", CHILD], input=statement.hex(), capture_output=True, text=True, timeout=600)
    assert done.stdout.startswith("NoneType"), f"refused only when memory ran out: {done.stdout} {done.stderr[-300:]}"
