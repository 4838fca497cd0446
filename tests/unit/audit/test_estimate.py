"""The exact parts of an estimate are exact, and expectations are expectations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from audit.provider.estimate import NODE_BYTES, expected_path_nodes, expected_refreshes, proof_bytes, shape_of
from zk.protocol.compiler import compile_schedule
from zk.protocol.merkle import path_positions
from zk.protocol.params import STORE_PROFILES
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.families import build_program
from zk.prover.ledger import Ledger
from zk.prover.statements import certify_dataset, commit_dataset


@pytest.mark.parametrize("n_opened", [1, 3, 7, 8])
def test_expected_path_nodes_is_the_mean_over_all_subsets(n_opened: int) -> None:
    counts = [sum(map(len, path_positions(list(chosen), 3))) for chosen in combinations(range(8), n_opened)]
    assert expected_path_nodes(8, n_opened) == pytest.approx(np.mean(counts))


@pytest.mark.parametrize("profile", ["TOY4", "S10"])
def test_proof_bytes_are_exact_but_for_path_nodes(profile: str) -> None:
    spec = DatasetSpec(9, 3, 6, 2, "onehot", 2, 1, 0)
    rng = np.random.default_rng(1)
    labels = np.eye(2, dtype=np.int64)[rng.integers(0, 2, 9)]
    store = commit_dataset(spec, STORE_PROFILES[profile], rng.integers(-32, 32, (9, 3)), labels)
    proven = certify_dataset(spec, store, Ledger())
    schedule = compile_schedule(build_program(proven.statement), proven.statement.store_profile, proven.statement.pad_profile)
    pad, chosen = schedule.pad_profile, schedule.profile
    nodes = expected_path_nodes(chosen.n, chosen.t) * len(schedule.tableaux) + expected_path_nodes(pad.n, pad.t)
    fixed = proof_bytes(schedule) - round(NODE_BYTES * nodes)
    assert (len(proven.proof) - fixed) % NODE_BYTES == 0, "what is left is a whole number of digests"
    # Which columns are opened is drawn anew for each proof; eight standard deviations of what that does to the length.
    assert len(proven.proof) == pytest.approx(proof_bytes(schedule), rel=0.15 if profile == "TOY4" else 0.05)
    assert shape_of("x", proven.statement).statement_bytes == len(proven.statement.encode())


def test_refreshes_follow_the_ledger() -> None:
    """A ledger that is spent at random needs as many refreshes as expected, give or take the overlap of one."""
    profile, rng = STORE_PROFILES["S13"], np.random.default_rng(5)
    for n_openings in (1, 5, 8, 30):
        ledger, refreshes, record = Ledger(), 0, b"0"
        for _ in range(n_openings):
            if ledger.n_openings_left(record, profile) < 1:
                refreshes += 1
                record = str(refreshes).encode()
                ledger.spend([record], list(rng.choice(profile.n, profile.t, replace=False)), profile, is_refresh=True)
            ledger.spend([record], list(rng.choice(profile.n, profile.t, replace=False)), profile, is_refresh=False)
        assert expected_refreshes(profile, n_openings) == refreshes
