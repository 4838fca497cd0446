"""Pad tableau: products, copies, the three answers, blinding; each attack is one the prover could mount before any draw."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import zk.prover.commitment as commitment
import zk.prover.ligero as ligero
import zk.prover.prove as prover
from tests.soundness.harness import Array, Lab, Proven, switch_off_self_checks
from tests.soundness.linear_algebra import SMALL_PRIME, large_rank
from tests.soundness.proof_map import map_proof
from tests.soundness.relations import argmax_case, rescale_case
from tests.soundness.statements import certificate, histogram, proven
from zk.protocol.errors import ConstraintError, MalformedError, MerkleError, ProximityError, VerificationError
from zk.protocol.field import ONE, ZERO, K, k_add
from zk.protocol.padlayout import N_BLINDING_ROWS
from zk.protocol.params import PAD_PROFILES
from zk.prover.ligero import PadTableau

Fill = Callable[[Array, Any, Any], None]


def with_slots(patch: pytest.MonkeyPatch, change: Fill) -> None:
    """A prover that fills the message slots honestly, then changes them before it commits."""
    honest = ligero._fill_products

    def fill(slots: Array, layout: Any, schedule: Any) -> None:
        honest(slots, layout, schedule)
        change(slots, layout, schedule)

    patch.setattr(ligero, "_fill_products", fill)


def forge_inverse(patch: pytest.MonkeyPatch) -> None:
    """Send 1/Q0 as zero, whatever Q0 is."""
    honest = prover.Masker.send

    def send(self: Any, label: str, slots: Any, values: Any) -> None:
        honest(self, label, slots, (values[0], ZERO) if label == "08.gkr.root" else values)

    patch.setattr(prover.Masker, "send", send)


def test_N19_bad_product_triple(lab: Lab) -> None:
    """Q0 * 0 = 1 holds as a linear constraint when the product pad is X Y + 1: only the quadratic test refuses it."""
    case = rescale_case()
    lab.accepted(case)

    def bad_triple(slots: Array, layout: Any, schedule: Any) -> None:
        k = schedule.products.index((schedule.lookups.q0, schedule.lookups.inverse))
        row, at = layout.triples[k][2]
        slots[:, row, at] = np.array(k_add((int(slots[0, row, at]), int(slots[1, row, at])), ONE), dtype=np.uint64)

    forge_inverse(lab.patch)
    lab.prove(case, cheat=True).refused(ConstraintError)
    with_slots(lab.patch, bad_triple)
    lab.prove(case, cheat=True).refused(ProximityError)


def test_N19_unused_triple_must_still_be_a_product(lab: Lab) -> None:
    """Slots beyond the last product belong to no constraint; the quadratic test covers them all the same."""
    case = argmax_case()
    layout = map_proof(*_bytes(lab.accepted(case))).layout
    assert len(layout.triples) % layout.profile.l, "the fixture needs a free triple"

    def spare(slots: Array, layout: Any, schedule: Any) -> None:
        slots[0, layout.n_rows - 1, layout.profile.l - 1] ^= np.uint64(1)

    with_slots(lab.patch, spare)
    lab.prove(case).refused(ProximityError)


def test_N20_broken_copy_constraint(lab: Lab) -> None:
    """With pad_y = 0 a wrong copy of pad_x leaves every product and constraint true but the copy itself."""
    case = rescale_case()
    lab.accepted(case)
    broken: list[int] = []

    def change(slots: Array, layout: Any, schedule: Any) -> None:
        copied = dict(layout.copies)
        k = next(k for k, (x, _, _) in enumerate(layout.triples) if x in copied)
        zero = schedule.products[k][1]
        for pair, cells in zip(schedule.products, layout.triples, strict=True):
            for slot, cell in zip(pair, cells[:2], strict=True):
                if slot == zero:
                    slots[:, cell[0], cell[1]] = slots[:, cells[2][0], cells[2][1]] = 0
        x = layout.triples[k][0]
        if broken:
            slots[0, x[0], x[1]] ^= np.uint64(1)
        broken.append(k)

    with_slots(lab.patch, change)
    lab.prove(case).verify()  # a zero pad alone is no violation
    assert broken
    lab.prove(case).refused(ConstraintError)


# ---------------------------------------------------------------- N21: answers
def with_answer(patch: pytest.MonkeyPatch, name: str, change: Callable[[list[K]], list[K]]) -> None:
    honest = getattr(prover, name)
    patch.setattr(prover, name, lambda *args: change(honest(*args)))


def bumped(at: int) -> Callable[[list[K]], list[K]]:
    return lambda values: [k_add(v, ONE) if i == at else v for i, v in enumerate(values)]


@pytest.mark.parametrize(("name", "at"), [("low_degree_answer", 5), ("linear_answer", 5), ("quadratic_answer", 5)])
def test_N21_wrong_polynomial(monkeypatch: pytest.MonkeyPatch, name: str, at: int) -> None:
    """One coefficient off, away from the public sum: right sum, wrong polynomial."""
    proven("certificate")
    with_answer(monkeypatch, name, bumped(at))
    certificate().prove().refused(ProximityError)


def test_N21_linear_answer_with_the_wrong_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    proven("certificate")
    with_answer(monkeypatch, "linear_answer", bumped(PAD_PROFILES["TOYP"].l))
    certificate().prove().refused(ConstraintError)


@pytest.mark.parametrize("label", ["25.pad.ldt", "26.pad.lin", "27.pad.quad"])
def test_N62_answer_with_one_more_coefficient(label: str) -> None:
    """q_lin of 1185 or g of 832 coefficients has no place in a proof."""
    fixture = proven("certificate")
    stop = map_proof(*_bytes(fixture)).of(label)[-1].stop
    for extra in (bytes(16), b"\1" + bytes(15)):
        with pytest.raises(VerificationError):
            Proven(fixture.statement, fixture.proof[:stop] + extra + fixture.proof[stop:]).verify()
    with pytest.raises((ConstraintError, MalformedError, MerkleError)):
        Proven(fixture.statement, fixture.proof[: stop - 16] + fixture.proof[stop:]).verify()


def _bytes(fixture: Proven) -> tuple[bytes, bytes]:
    return fixture.statement, fixture.proof


# ---------------------------------------------------------------- N22, N62: blinding rows
def test_N22_linear_blinding_with_nonzero_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate().prove().verify()
    monkeypatch.setattr(ligero, "_fix_linear_blinding", lambda coefficients, width: None)
    certificate().prove().refused(ConstraintError)


def test_N22_false_constraint_hidden_in_the_blinding_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum of B_lin is fixed before theta is drawn, so it cannot cancel a false constraint."""
    from dataclasses import replace

    histogram().prove().verify()
    switch_off_self_checks(monkeypatch)
    honest = ligero._fix_linear_blinding

    def shifted(coefficients: Array, width: int) -> None:
        honest(coefficients, width)
        coefficients[0, 1, 0] = (int(coefficients[0, 1, 0]) + 12345) % (2**64 - 2**32 + 1)

    monkeypatch.setattr(ligero, "_fix_linear_blinding", shifted)
    false = replace(histogram().st, publics=(("counts", (0, sum(histogram().st.public("counts")))),))
    histogram().prove(false).refused(ConstraintError)


@pytest.mark.parametrize("row", [0, 1, 2, 3, 4])
def test_N62_committed_blinding_row_differs_from_the_answer(monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    """B_ldt, L0, L1, G0, G1: the committed row is shifted by a constant codeword that the answers leave out."""
    proven("certificate")
    honest = ligero.hash_columns

    def shifted(encoded: Array, salts: bytes, tag: bytes) -> Any:
        if encoded.shape[1] > 2 * N_BLINDING_ROWS:
            encoded = encoded.copy()
            encoded[:, 2 * row] = (encoded[:, 2 * row].astype(object) + 1) % (2**64 - 2**32 + 1)
        return honest(encoded, salts, tag)

    monkeypatch.setattr(ligero, "hash_columns", shifted)
    certificate().prove().refused(ProximityError)


def test_N62_blinding_rows_left_out_of_the_code_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prover whose w' sums only the rows after the blinding ones, as the Longfellow text does."""
    proven("certificate")
    honest = prover.low_degree_answer

    def partial(tableau: PadTableau, weights: list[K]) -> list[K]:
        return honest(tableau, [ZERO] * (N_BLINDING_ROWS - 1) + weights[N_BLINDING_ROWS - 1 :])

    monkeypatch.setattr(prover, "low_degree_answer", partial)
    certificate().prove().refused(ProximityError)


def test_N62_every_row_has_a_weight_in_the_code_test() -> None:
    """r' covers all rows but B_ldt itself: L0, L1, G0, G1 included."""
    from zk.protocol.claims.constraints import draw_pad_challenge
    from zk.protocol.claims.replay import replay

    st, fixture = certificate().st, proven("certificate")
    found = map_proof(*_bytes(fixture))
    roots = (found.parsed.seg_root, found.parsed.pad_root)
    done = replay(st, st.digest(), found.schedule, found.layout, roots, found.parsed.scalars, found.parsed.w)
    challenge = draw_pad_challenge(done.transcript, done.pads, found.schedule, found.layout)
    assert len(challenge.ldt) == found.layout.n_rows - 1 and len(challenge.quadratic) == found.layout.n_groups


def blinding_map(length: int, shift: int, total: int, opened: int, n: int, constrained: int) -> Array:
    """Matrix of (low, high) -> (low + X^shift high, high at `opened` points of a coset), modulo a 31-bit prime.

    With `constrained` > 0 the first input is dropped (it is determined by the sum over <omega_constrained>).
    """
    generator = pow(31, (SMALL_PRIME - 1) // n, SMALL_PRIME)
    points = [31 * pow(generator, 5 * j + 1, SMALL_PRIME) % SMALL_PRIME for j in range(opened)]
    out = np.zeros((2 * length, total + opened), dtype=np.int64)
    for i in range(length):
        out[i, i] = 1
        out[length + i, shift + i] = 1
        out[length + i, total:] = [pow(x, i, SMALL_PRIME) for x in points]
    if constrained:  # the sum condition makes coefficient 0 of the low half minus the other ones at multiples
        for i in range(2 * length):
            if i and (i if i < length else i - length) % constrained == 0:
                out[i, 0] = (out[i, 0] - 1) % SMALL_PRIME
        out = out[1:]
    return out


@pytest.mark.parametrize("name", ["P", "TOYP"])
def test_N62_blinding_halves_stay_uniform_at_the_opened_points(name: str) -> None:
    """(L0,L1) -> (B_lin, L1 on Q') has rank 1183 + 128 = 1311, (G0,G1) -> (B_quad, G1 on Q') rank 831 + 128 = 959."""
    profile = PAD_PROFILES[name]
    linear = blinding_map(profile.k, profile.l, profile.n_linear, profile.t, profile.n, profile.l)
    quadratic = blinding_map(profile.k, profile.quadratic_shift, profile.n_quadratic, profile.t, profile.n, 0)
    assert large_rank(linear) == profile.n_linear - 1 + profile.t
    assert large_rank(quadratic) == profile.n_quadratic + profile.t
    if name == "P":
        assert (profile.n_linear, profile.n_quadratic) == (1184, 831)
        assert (large_rank(linear), large_rank(quadratic)) == (1311, 959)


def test_N62_disjoint_halves_would_leak() -> None:
    """The map itself can tell: with halves that do not overlap by t' coefficients the rank falls short."""
    profile = PAD_PROFILES["TOYP"]
    disjoint = blinding_map(profile.k, profile.k, 2 * profile.k, profile.t, profile.n, 0)
    assert large_rank(disjoint) < 2 * profile.k + profile.t


# ---------------------------------------------------------------- N59: blinding over K
def test_N59_blinding_is_over_the_extension_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every K-row has a second coordinate of its own: not constant, not a copy of the first."""
    held: list[Any] = []
    honest = prover._commit

    def spy(*args: Any) -> Any:
        held.append(honest(*args))
        return held[-1]

    monkeypatch.setattr(prover, "_commit", spy)
    certificate().prove().verify()
    session = held[0]
    rows = [session.seg.rows[-2:], *(session.pads.coefficients[:, row] for row in range(session.layout.n_rows))]
    for low, high in rows:
        assert len(set(high.tolist())) > len(high) // 2 and (low != high).all()
    pads = session.pads.pads
    assert len(set(pads)) == len(pads) and all(pad[1] for pad in pads)


def test_N59_answers_are_over_the_extension_field() -> None:
    parsed = map_proof(*_bytes(proven("certificate"))).parsed
    for values in (parsed.scalars, parsed.w, parsed.ldt, parsed.linear, parsed.quadratic):
        assert len({value[1] for value in values}) == len(values)


# ---------------------------------------------------------------- N23: pads and seeds are used once
def masked_of(fixture: Proven) -> list[K]:
    return map_proof(*_bytes(fixture)).parsed.scalars


def reused_pads(first: Proven, second: Proven) -> list[int]:
    """Slots whose masked values agree in two proofs: with fresh pads that happens with probability 2^-128 a slot."""
    return [i for i, (a, b) in enumerate(zip(masked_of(first), masked_of(second), strict=True)) if a == b]


def test_N23_detector_finds_reused_pads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two proofs with one pad seed: the first message (Q0, 1/Q0 absent here) repeats; honest proofs share nothing."""
    assert reused_pads(proven("histogram"), histogram().prove()) == []
    with monkeypatch.context() as patch:
        patch.setattr(prover, "fresh_seed", lambda *bound: bytes(32))
        patch.setattr(commitment, "fresh_seed", lambda *bound: bytes(32))
        first, second = histogram().prove(), histogram().prove()
    assert len(reused_pads(first, second)) == len(masked_of(first))


def test_N23_a_stuck_generator_does_not_reuse_pads(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the system's randomness repeats, another witness under the same statement gets other seeds and pads."""
    drawn: list[tuple[bytes, ...]] = []
    seeds: list[bytes] = []
    for module in (prover, commitment):
        honest = module.fresh_seed

        def spy(*bound: bytes, honest: Any = honest) -> bytes:
            drawn.append(bound)
            seeds.append(honest(*bound))
            return seeds[-1]

        monkeypatch.setattr(module, "fresh_seed", spy)
    monkeypatch.setattr(os, "urandom", bytes)
    case = rescale_case()
    other = case.changed(Y=case.witness["Y"] + 1, q__limb0=case.witness["q.limb0"] - 16)
    first, second = lab.prove(case, cheat=True), lab.prove(other, cheat=True)
    assert first.statement == second.statement
    assert reused_pads(first, second) == [] and len(set(seeds)) == len(seeds) == 4
    assert {len(bound) for bound in drawn} == {3}


def test_N23_every_attempt_draws_new_seeds(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed attempt leaves nothing behind: the next one commits to another SEG and other pads."""
    seeds: list[bytes] = []
    for module in (prover, commitment):
        honest = module.fresh_seed
        monkeypatch.setattr(module, "fresh_seed", lambda *bound, honest=honest: seeds.append(honest(*bound)) or seeds[-1])
    case = rescale_case()
    false = case.changed(Y=case.witness["Y"] - 1, q__limb0=case.witness["q.limb0"])
    with pytest.raises(prover.ProvingError):
        lab.prove(false)
    roots = set()
    for _ in range(2):
        parsed = map_proof(*_bytes(lab.prove(case))).parsed
        roots |= {parsed.seg_root, parsed.pad_root}
    assert len(roots) == 4 and len(set(seeds)) == len(seeds) == 6
