"""A valid segment of a run with as many segments as can be registered must not make the bundle verifier list them all."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from tests.soundness.attacks.datasets import TOY, Pair, certificate, commit_rows, proven, small_model
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.registration import MAX_SEGMENTS, SELF_MADE_CHAIN, Registration, Segment
from zk.prover.statements import execute_segment

LIMIT = 1 << 30
CHILD = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (%d, %d))
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
from zk.verifier.bundle import verify_bundle
pairs = [(name, bytes.fromhex(a), bytes.fromhex(b)) for name, a, b in json.load(sys.stdin)]
print(verify_bundle(pairs, allow_toy=True).verdict)
"""


def first_segment(total_steps: int) -> list[Pair]:
    rows = 6
    spec: TrainingSpec = small_model(rows)
    rng = np.random.default_rng(1)
    labels = np.eye(2, dtype=np.int64)[rng.integers(0, 2, rows)]
    data = commit_rows(rng.integers(-8, 8, (rows, 3)), labels)
    registration = Registration(data.record.digest(), None, spec, SELF_MADE_CHAIN, 1, 1, total_steps)
    work = execute_segment(Segment(registration, 0, bytes(32), 0), data, None, {})
    return [certificate("certificate", spec.data, data), proven("segment", work.statement, work.witness, work.tableaux)]


def test_the_number_of_missing_segments_is_counted_not_listed() -> None:
    assert TOY.is_toy
    pairs = [(name, a.hex(), b.hex()) for name, a, b in first_segment(MAX_SEGMENTS)]
    done = subprocess.run(
        [sys.executable, "-c", CHILD % (LIMIT, LIMIT)], input=json.dumps(pairs), capture_output=True, text=True, timeout=600
    )
    assert done.stdout.strip() == "inconclusive", f"exit {done.returncode}: {done.stderr[-300:]}"
