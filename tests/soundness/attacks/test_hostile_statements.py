"""Statements that make the verifier crash or work without bound. Whatever the bytes, only VerificationError may leave it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.soundness.attacks.datasets import TOY
from zk.protocol.errors import VerificationError
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import Scales, TrainingSpec
from zk.protocol.record import CKPT, DATA, Record
from zk.protocol.registration import Registration, Segment
from zk.protocol.statement import SEGMENT, Statement
from zk.verifier.bundle import verify_bundle
from zk.verifier.verify import verify

LIMIT = 600 << 20


def record(kind: int) -> Record:
    return Record(TOY.name, kind, bytes(32), bytes(32), 1, TOY.n, bytes(32))


def segment_statement(rows: int, batch: int, segment_steps: int, total_steps: int, index: int) -> bytes:
    """A SEGMENT statement of under a kilobyte; its records are made up."""
    data = DatasetSpec(rows, 1, 8, 8, "value", 1, 8, 8)
    spec = TrainingSpec((1, 1), "squared_error", data, batch, 1, Scales(8, 12, 8, 8, 4, 8, 8, 8, 8))
    segment = Segment(Registration(bytes(32), bytes(32), spec, bytes(32), 0, segment_steps, total_steps), index, bytes(32), 0)
    roles = (("D", record(DATA)), ("W_in", record(CKPT)), ("W_out", record(CKPT)))
    return Statement(SEGMENT, TOY.name, "mlp-sgd", b"", roles, (), segment.encode()).encode()


def test_an_epoch_number_beyond_32_bits_is_refused() -> None:
    statement = segment_statement(rows=1, batch=1, segment_steps=4096, total_steps=1 << 40, index=1 << 21)
    with pytest.raises(VerificationError):
        verify(statement, b"", allow_toy=True)
    assert verify_bundle([("segment", statement, b"")], allow_toy=True).checks[0].ok is False


def test_a_small_statement_cannot_exhaust_memory() -> None:
    """Four million rows in one-feature steps that straddle two epochs: the order alone must not exhaust 600 MB."""
    statement = segment_statement(rows=1 << 22, batch=32000, segment_steps=2, total_steps=1 << 20, index=65)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (%d, %d)); from zk.verifier.verify import verify\n"
        "from zk.protocol.errors import VerificationError\n"
        "try: verify(bytes.fromhex(sys.stdin.read()), b'', allow_toy=True)\n"
        "except VerificationError as error: print(type(error.__cause__).__name__)" % (LIMIT, LIMIT)
    )
    done = subprocess.run([sys.executable, "-c", code], input=statement.hex(), capture_output=True, text=True, timeout=600)
    assert done.stdout.strip() == "NoneType", f"refused only when memory ran out: {done.stdout} {done.stderr[-300:]}"
