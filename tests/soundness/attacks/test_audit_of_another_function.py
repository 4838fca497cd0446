"""An audit of a run's final weights under other scales measures another function than the one that was trained.

The commitment binds integers, not scales: nothing but the registration says at which scales a checkpoint is to be read. An
AUDIT statement carries a TrainingSpec of its own, chosen by whoever forms it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.soundness.attacks.datasets import AUDITOR, Pair, certificate, commit_rows, proven, small_model
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.registration import SELF_MADE_CHAIN, Registration, Segment
from zk.prover.ledger import Ledger
from zk.prover.statements import accuracy, execute_segment
from zk.verifier.bundle import HOLDS, BundleVerdict, verify_bundle

ROWS = 6


def bundle(audited: TrainingSpec, trained: TrainingSpec) -> BundleVerdict:
    """One segment of training under `trained`, then an accuracy audit of its last checkpoint read under `audited`."""
    rng = np.random.default_rng(1)
    labels = np.eye(2, dtype=np.int64)[rng.integers(0, 2, ROWS)]
    data = commit_rows(rng.integers(-8, 8, (ROWS, 3)), labels)
    registration = Registration(data.record.digest(), None, trained, SELF_MADE_CHAIN, 1, 2, 2)
    work = execute_segment(Segment(registration, 0, bytes(32), 0), data, None, {})
    pairs: list[Pair] = [
        certificate("certificate", trained.data, data),
        proven("segment", work.statement, work.witness, work.tableaux),
    ]
    x = rng.integers(-8, 8, (4, 3))
    audit = accuracy(audited, work.checkpoint, work.bounds_out, AUDITOR, x, (0, 1, 0, 1), (0, 0, 0, 0), 1)
    done = audit.prove(Ledger())
    pairs.append(("audit", done.statement.encode(), done.proof))
    return verify_bundle(pairs, allow_toy=True)


def test_the_honest_audit_holds() -> None:
    spec = small_model(ROWS)
    verdict = bundle(spec, spec)
    assert verdict.verdict == HOLDS
    assert verdict.audits[0].origins["W"].startswith("final weights of run")


def test_an_audit_under_other_scales_is_not_about_the_trained_model() -> None:
    trained = small_model(ROWS)
    audited = replace(trained, scales=replace(trained.scales, e=trained.scales.e + 3, s_z=0))
    audited.check()
    verdict = bundle(audited, trained)
    claims = verdict.audits[0].origins["W"].startswith("final weights of run")
    assert verdict.verdict != HOLDS or not claims, "weights at scale s_w were read at scale s_w + 3, and the verdict holds"
