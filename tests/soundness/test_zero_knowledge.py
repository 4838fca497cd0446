"""Zero knowledge: simulated proofs verify under a programmed oracle; what a proof shows does not depend on the witness."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

import zk.protocol.claims.replay as replay_module
import zk.protocol.transcript as transcript_module
import zk.prover.prove as prover
from tests.soundness.harness import Array, Case, Lab, Proven
from tests.soundness.linear_algebra import rank
from tests.soundness.proof_map import map_proof
from tests.soundness.relations import ints
from tests.soundness.simulator import FrozenOracle, simulate
from tests.soundness.statements import KINDS, histogram
from tests.soundness.test_lookups import window_case
from zk.protocol.errors import VerificationError
from zk.protocol.field import P
from zk.protocol.params import PAD_PROFILES, STORE_PROFILES
from zk.verifier.commitment import domain_points

QUICK, FULL = 80, 10_000
ALPHA = 1e-9  # of a single test; a correct implementation fails one run in a million
MODULI = (2, 7, 16)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Prover and verifier both draw from the frozen oracle, with a short ballast."""
    monkeypatch.setattr(replay_module, "Transcript", FrozenOracle)
    monkeypatch.setattr(prover, "Transcript", FrozenOracle)
    monkeypatch.setattr(transcript_module, "BALLAST_BYTES", 64)
    return monkeypatch


# ---------------------------------------------------------------- N58: the simulator
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_N58_simulated_proof_verifies_under_the_programmed_oracle(frozen: pytest.MonkeyPatch, kind: str) -> None:
    st = KINDS[kind]().st
    simulated = Proven(*simulate(st, random.Random(kind)))
    simulated.verify()
    honest = KINDS[kind]().prove()
    honest.verify()
    fixed = len(honest.proof) - len(map_proof(honest.statement, honest.proof).parsed.tail)
    assert len(simulated.proof) == len(honest.proof), "same columns, hence the same length"
    assert simulated.proof[:4] == honest.proof[:4] and fixed > 0


def test_N58_simulator_needs_no_true_statement(frozen: pytest.MonkeyPatch) -> None:
    """It proves a false histogram just as well: nothing in a proof tells, beyond the unpredictability of the oracle."""
    false = replace(histogram().st, publics=(("counts", (7, 0)),))
    assert false != histogram().st
    Proven(*simulate(false, random.Random(1))).verify()


@pytest.mark.parametrize("kind", ["histogram", "refresh", "certificate"])
def test_N58_simulated_proof_is_refused_under_the_real_oracle(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(replay_module, "Transcript", FrozenOracle)
        simulated = Proven(*simulate(KINDS[kind]().st, random.Random(2)))
    with pytest.raises(VerificationError):
        simulated.verify()


def test_N58_simulated_tiny_program(frozen: pytest.MonkeyPatch) -> None:
    """A statement without any commitment but SEG and the pads, with lookups."""
    lab = Lab(frozen)
    st = statement_of(lab, window_case())
    Proven(*simulate(st, random.Random(3))).verify()


def statement_of(lab: Lab, case: Case) -> Any:
    from zk.protocol.statement import Statement

    return Statement.decode(lab.accepted(case).statement)


# ---------------------------------------------------------------- N57: distributions
Views = dict[str, list[list[int]]]  # class of values -> one list of field elements a proof


def view_of(proof: Proven) -> dict[str, list[int]]:
    """Everything a reader of the proof sees, by class, as field elements."""
    found = map_proof(proof.statement, proof.proof)
    parsed = found.parsed
    groups = {"scalars": parsed.scalars, "w": parsed.w, "ldt": parsed.ldt, "linear": parsed.linear, "quadratic": parsed.quadratic}
    out = {name: [part for value in values for part in value] for name, values in groups.items()}
    for role in ("SEG", "pad"):
        fields = found.of(f"open.{role}.column")
        data = b"".join(proof.proof[field.start : field.stop] for field in fields)
        out[role] = [int(value) for value in np.frombuffer(data, dtype="<u8")]
    return out


WITNESSES = (ints(0, 3, 7, 5, 2), ints(0, 0, 0, 0, 0))


def collect(lab: Lab, witness: Array, count: int) -> Views:
    """Views of `count` proofs of one witness."""
    case = window_case().changed(x=witness, y=witness)
    out: Views = {}
    for _ in range(count):
        for name, values in view_of(lab.prove(case)).items():
            out.setdefault(name, []).append(values)
    return out


def smallest_p(first: Views, second: Views) -> float:
    """Smallest p-value of first against second: every position modulo small numbers, every class as a whole."""
    values = []
    for name, rows in first.items():
        a, b = np.array(rows, dtype=object), np.array(second[name], dtype=object)
        for modulus in MODULI:
            values.append(homogeneity((a % modulus).astype(np.int64), (b % modulus).astype(np.int64), modulus))
        values.append(float(stats.ks_2samp((a / P).astype(float).ravel(), (b / P).astype(float).ravel()).pvalue))
    return min(values)


def homogeneity(left: Array, right: Array, modulus: int) -> float:
    """Smallest chi-square p-value over columns of two equally large samples of residues."""
    counts = [np.array([(side == value).sum(axis=0) for value in range(modulus)]) for side in (left, right)]
    total = counts[0] + counts[1]
    statistic = np.where(total > 0, (counts[0] - counts[1]) ** 2 / np.maximum(total, 1), 0.0).sum(axis=0)
    return float(stats.chi2.sf(statistic, np.maximum((total > 0).sum(axis=0) - 1, 1)).min())


def uniformity(views: Views) -> float:
    """Smallest Kolmogorov-Smirnov p-value against the uniform law, position by position."""
    out = 1.0
    for rows in views.values():
        table = (np.array(rows, dtype=object) / P).astype(float)
        out = min(out, *(float(stats.kstest(table[:, i], "uniform").pvalue) for i in range(table.shape[1])))
    return out


def require_indistinguishable(lab: Lab, count: int) -> None:
    first, second = (collect(lab, witness, count) for witness in WITNESSES)
    found = smallest_p(first, second)
    assert found > ALPHA, f"two witnesses can be told apart (p = {found:.2e})"
    for views in (first, second):
        assert uniformity(views) > ALPHA


def test_N57_two_witnesses_look_alike(frozen: pytest.MonkeyPatch) -> None:
    require_indistinguishable(Lab(frozen), QUICK)


@pytest.mark.guarantee
@pytest.mark.timeout(3600)
def test_N57_two_witnesses_look_alike_ten_thousand_proofs(frozen: pytest.MonkeyPatch) -> None:
    require_indistinguishable(Lab(frozen), FULL // 2)


def leaky_pads(patch: pytest.MonkeyPatch) -> None:
    """Masks that are bytes instead of field elements."""
    honest = prover.Masker.__init__

    def init(self: Any, transcript: Any, pads: Any) -> None:
        honest(self, transcript, [(a % 256, 0) for a, _ in pads])

    patch.setattr(prover.Masker, "__init__", init)


def leaky_rows(patch: pytest.MonkeyPatch) -> None:
    """Random coefficients of rows left out."""
    import zk.prover.commitment as commitment

    patch.setattr(commitment, "expand_field", lambda seed, use, count: np.zeros(count, np.uint64))


@pytest.mark.parametrize("leak", [leaky_pads, leaky_rows])
def test_N57_the_test_sees_a_leak(frozen: pytest.MonkeyPatch, leak: Callable[[pytest.MonkeyPatch], None]) -> None:
    """With weak masks or without row randomness the same statistics reject at once."""
    lab = Lab(frozen)
    leak(frozen)
    case = window_case()
    views: Views = {}
    from tests.soundness.harness import switch_off_self_checks

    switch_off_self_checks(frozen)
    for _ in range(20):
        for name, values in view_of(lab.prove(case)).items():
            views.setdefault(name, []).append(values)
    assert uniformity(views) < ALPHA


def test_N57_simulated_and_honest_proofs_look_alike(frozen: pytest.MonkeyPatch) -> None:
    """The simulator's values against the prover's, same statement, same oracle."""
    lab, rng = Lab(frozen), random.Random(9)
    honest = collect(lab, WITNESSES[0], QUICK // 2)
    st, simulated = statement_of(lab, window_case()), {}
    for _ in range(QUICK // 2):
        for name, values in view_of(Proven(*simulate(st, rng))).items():
            simulated.setdefault(name, []).append(values)
    found = smallest_p(honest, simulated)
    assert found > ALPHA and uniformity(simulated) > ALPHA


# ---------------------------------------------------------------- ranks: hiding of the opened columns
@pytest.mark.parametrize("name", ["TOY4", "S10"])
def test_opened_columns_of_a_row_are_uniform(name: str) -> None:
    """X^l R(X) with h1 random coefficients takes any values at t opened points: rank t, for one-time and other rows."""
    profile = STORE_PROFILES[name]
    points = domain_points(random.Random(1).sample(range(profile.n), profile.t), profile.n)
    width = min(profile.h1, profile.h, profile.t + 2)
    assert rank([[pow(x, profile.l + j, P) for j in range(width)] for x in points]) == profile.t


def test_opening_budget_of_every_profile() -> None:
    """One-time tableaux hide t columns, long-lived ones at least two openings, the pad tableau t' columns."""
    for profile in STORE_PROFILES.values():
        assert profile.h1 >= profile.t and profile.h >= 2 * profile.t
    for pad in PAD_PROFILES.values():
        assert pad.h >= pad.t
    assert {name: STORE_PROFILES[name].h // STORE_PROFILES[name].t for name in ("S10", "S13", "S14", "S15")} == {
        "S10": 6,
        "S13": 6,
        "S14": 12,
        "S15": 25,
    }


def test_pad_rows_are_uniform_at_the_opened_points() -> None:
    """(X^l' - 1) R(X): rank t' on the code domain, which avoids the message points."""
    pad = PAD_PROFILES["TOYP"]
    points = domain_points(list(range(pad.t)), pad.n, shift=7)
    assert all(pow(x, pad.l, P) != 1 for x in domain_points(list(range(pad.n)), pad.n, shift=7))
    rows = [[(pow(x, pad.l, P) - 1) * pow(x, j, P) % P for j in range(pad.h)] for x in points]
    assert rank(rows) == pad.t
