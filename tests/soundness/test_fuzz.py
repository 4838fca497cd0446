"""N60: random byte mutations of statements and proofs. Only VerificationError may come out, and nothing is accepted."""

from __future__ import annotations

import multiprocessing
from functools import partial

import pytest

import zk.protocol.transcript as transcript
from tests.soundness.fuzzing import SMALL_BALLAST, WEIGHTS, Outcome, run_case, summary
from tests.soundness.harness import Proven
from tests.soundness.statements import KINDS

QUICK, FULL, WORKERS = 1_500, 100_000, 2
FIRST_OF_THE_FULL_RUN = 1_000_000


@pytest.fixture
def fixtures(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Proven, Proven]]:
    """Two honest proofs a kind, proven and verified with a small ballast so that a case takes milliseconds."""
    monkeypatch.setattr(transcript, "BALLAST_BYTES", SMALL_BALLAST)
    out = {kind: (KINDS[kind]().prove(), KINDS[kind]().prove()) for kind in WEIGHTS}
    for pair in out.values():
        for proven in pair:
            proven.verify()
    return out


def require_clean(outcomes: list[Outcome], expected: int) -> None:
    findings = [outcome for outcome in outcomes if outcome.finding]
    assert not findings, findings[:5]
    assert len(outcomes) == expected
    seen = summary(outcomes)
    assert seen["unchanged"] < expected // 20
    assert {"MalformedError", "ConstraintError", "MerkleError", "RecordError", "ProgramError"} <= set(seen), seen


def test_N60_mutations(fixtures: dict[str, tuple[Proven, Proven]]) -> None:
    require_clean([run_case(number, fixtures) for number in range(QUICK)], QUICK)


@pytest.mark.guarantee
@pytest.mark.timeout(3600)
def test_N60_hundred_thousand_mutations(fixtures: dict[str, tuple[Proven, Proven]]) -> None:
    numbers = range(FIRST_OF_THE_FULL_RUN, FIRST_OF_THE_FULL_RUN + FULL)
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        outcomes = list(pool.imap_unordered(partial(run_case, fixtures=fixtures), numbers, chunksize=250))
    require_clean(outcomes, FULL)
    print(dict(summary(outcomes)))
