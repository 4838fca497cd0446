"""Transcript and codec: what is absorbed, in which order, and that nothing but canonical bytes parses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import zk.protocol.preamble as preamble_module
import zk.prover.commitment as commitment
import zk.prover.prove as prover
from tests.soundness.harness import Lab, Proven
from tests.soundness.inventory import INVENTORY, STATEMENTS, labels_of, render
from tests.soundness.proof_map import map_proof
from tests.soundness.relations import rescale_case
from tests.soundness.statements import certificate, commit, histogram, proven, registration, rows_of_data, segment, with_digest
from zk.protocol.errors import ConstraintError, LimitError, MalformedError, MerkleError
from zk.protocol.field import K, P
from zk.protocol.params import MAX_PROOF_BYTES, MAX_STATEMENT_BYTES
from zk.protocol.record import DATA
from zk.protocol.registration import Segment
from zk.protocol.statement import Statement
from zk.protocol.transcript import Transcript
from zk.verifier.verify import verify


def test_N1_public_output_is_bound() -> None:
    fixture = proven("histogram")
    st = Statement.decode(fixture.statement)
    counts = st.public("counts")
    for false in ((counts[0] - 1, counts[1] + 1), (0, 0), (counts[1], counts[0])):
        changed = replace(st, publics=(("counts", false),))
        Proven(changed.encode(), with_digest(fixture.proof, changed)).refused(ConstraintError)


def test_N1_false_public_output_cannot_be_proven(lab: Lab) -> None:
    """Not only the old proof: a prover that believes the false histogram does not get past the verifier either."""
    from tests.soundness.harness import switch_off_self_checks

    switch_off_self_checks(lab.patch)
    st = replace(histogram().st, publics=(("counts", (0, 7)),))
    assert st != histogram().st
    histogram().prove().verify()
    histogram().prove(st).refused(ConstraintError)


def test_N2_record_of_another_dataset() -> None:
    other = {name: array.copy() for name, array in rows_of_data().items()}
    other["X"][0, 0] += 1
    record = commit(other, DATA).record
    fixture = proven("certificate")
    st = Statement.decode(fixture.statement)
    changed = replace(st, roles=(("D", record),))
    Proven(changed.encode(), with_digest(fixture.proof, changed)).refused(ConstraintError)


def test_N2_same_data_committed_again_is_another_record() -> None:
    record = commit(rows_of_data(), DATA, seed=b"other").record
    fixture = proven("certificate")
    changed = replace(Statement.decode(fixture.statement), roles=(("D", record),))
    Proven(changed.encode(), with_digest(fixture.proof, changed)).refused(ConstraintError)


# ---------------------------------------------------------------- N3: the inventory
def test_N3_inventory_is_the_committed_one() -> None:
    assert INVENTORY.read_text() == render(), "labels changed: run python -m tests.soundness.inventory and review the difference"


def dropped_absorbs() -> Iterator[tuple[str, str]]:
    """Every kind of absorb once, with the first statement that has it."""
    seen = set()
    for kind in STATEMENTS:
        for line in INVENTORY.read_text().split(f"[{kind}]\n")[1].split("\n\n")[0].splitlines():
            word = line.split()[1]
            name = ".".join(part for part in word.split(".") if not part.isdigit() or part == word.split(".")[0])
            if line.startswith("A ") and name not in seen:
                seen.add(name)
                yield kind, word


@pytest.mark.parametrize(("kind", "label"), dropped_absorbs())
def test_N3_dropping_any_absorb_changes_the_inventory(monkeypatch: pytest.MonkeyPatch, kind: str, label: str) -> None:
    """A prover and a verifier that both leave one absorb out agree with each other; the inventory does not."""
    honest = labels_of(kind)
    proven(kind)
    absorb = Transcript.absorb

    def forgetful(self: Transcript, name: str, number: int, data: bytes) -> None:
        if name != label:
            absorb(self, name, number, data)

    monkeypatch.setattr(Transcript, "absorb", forgetful)
    mutated = labels_of(kind)
    assert mutated != honest
    assert [line for line in honest if line != f"A {label}"] == mutated


def test_N3_every_prover_message_is_absorbed_before_the_next_draw() -> None:
    """Between two draws of a proof lies exactly what the prover sent in between, so no draw can be predicted."""
    for kind in STATEMENTS:
        labels = labels_of(kind)
        sent = [line.removeprefix("A ") for line in labels if line.startswith("A ")]
        fixture = proven(kind)
        messages = [label for label in map_proof(fixture.statement, fixture.proof).labels() if label[0].isdigit()]
        assert [label for label in sent if label[:2] >= "08" or label in ("04.root.seg", "05.root.pad")] == messages
        assert sent[:2] == ["01.params", "02.statement"] and sent.count("06.statement2") == 2


# ---------------------------------------------------------------- N5, N6: canonical bytes only
@pytest.mark.parametrize("label", ["21.vr", "23.w", "25.pad.ldt", "26.pad.lin", "27.pad.quad"])
@pytest.mark.parametrize("half", [0, 8])
def test_N5_non_canonical_element(label: str, half: int) -> None:
    fixture = proven("histogram")
    field = map_proof(fixture.statement, fixture.proof).of(label)[0]
    for value in (P, P + 1, 2**64 - 1):
        at = field.start + half
        proof = fixture.proof[:at] + value.to_bytes(8, "little") + fixture.proof[at + 8 :]
        Proven(fixture.statement, proof).refused(MalformedError)


def test_N5_value_plus_p_in_a_committed_column(lab: Lab) -> None:
    """A prover that hashes v + p instead of v into its columns: the path is right, the element is not."""
    case = rescale_case()
    lab.accepted(case)
    honest = commitment.hash_columns
    changed: list[int] = []

    def lifted(encoded: np.ndarray, salts: bytes, tag: bytes) -> commitment.Tree:
        encoded = encoded.copy()
        small = encoded < np.uint64(2**64 - P)
        encoded[small] += np.uint64(P)
        changed.append(int(small.sum()))
        return honest(encoded, salts, tag)

    lab.patch.setattr(commitment, "hash_columns", lifted)
    lab.patch.setattr(commitment, "expand_field", lambda seed, use, count: np.zeros(count, np.uint64))
    zero = case.changed(Y=case.witness["Y"] * 0, q__limb0=case.witness["q.limb0"] * 0)
    lab.prove(zero, cheat=True, counts=lambda counts: {name: array * 0 for name, array in counts.items()})
    assert changed[-1] > 0
    with lab.patch.context() as patch:
        patch.setattr("zk.verifier.verify.check_public_sum", lambda challenge, layout, linear: None)
        lab.prove(zero, cheat=True, counts=lambda counts: {k: v * 0 for k, v in counts.items()}).refused(MalformedError)


@pytest.mark.parametrize("kind", ["certificate", "refresh"])
def test_N6_lengths(kind: str) -> None:
    fixture = proven(kind)
    for proof in (fixture.proof + b"\0", fixture.proof[:-1], fixture.proof[:-32], b"", fixture.proof[:100], fixture.proof * 2):
        Proven(fixture.statement, proof).refused(MalformedError)
    for statement in (fixture.statement + b"\0", fixture.statement[:-1], b"", fixture.statement * 2):
        Proven(statement, fixture.proof).refused(MalformedError)


def test_N6_oversized_inputs_are_refused_unread() -> None:
    fixture = proven("certificate")
    Proven(fixture.statement, bytes(MAX_PROOF_BYTES + 1)).refused(MalformedError)
    Proven(bytes(MAX_STATEMENT_BYTES + 1), fixture.proof).refused(MalformedError)


def test_N7_every_draw_feeds_back() -> None:
    transcript = Transcript()
    before = transcript.state
    first, second = transcript.challenge_k("same", 1), transcript.challenge_k("same", 1)
    assert first != second and transcript.state != before
    again = Transcript()
    assert again.challenge_k("same", 2)[0] != first[0], "the number of elements is bound"
    assert Transcript().challenge_k("other", 1) != first, "the label is bound"


def test_N7_absorb_binds_label_kind_and_length() -> None:
    states = set()
    for label, kind, data in (("a", 2, b"bc"), ("ab", 2, b"c"), ("a", 1, b"bc"), ("a", 2, b"b"), ("a", 2, b"bc\0")):
        transcript = Transcript()
        transcript.absorb(label, kind, data)
        states.add(transcript.state)
    joined, split = Transcript(), Transcript()
    joined.absorb("a", 2, b"bc")
    split.absorb("a", 2, b"b")
    split.absorb("a", 2, b"c")
    assert len(states | {joined.state, split.state}) == 6


def test_N8_proof_replayed_for_another_segment_or_run() -> None:
    fixture = proven("segment")
    st = Statement.decode(fixture.statement)
    place = Segment.decode(st.run)
    for changed_run in (replace(place, index=1), replace(place, registration=replace(registration(), total_steps=9))):
        moved = replace(st.role("W_out"), context=changed_run.registration.run_id)
        changed = replace(st, run=changed_run.encode(), roles=(*st.roles[:-1], ("W_out", moved)))
        Proven(changed.encode(), fixture.proof).refused(MalformedError)
        Proven(changed.encode(), with_digest(fixture.proof, changed)).refused(ConstraintError)


def test_N8_statement_of_another_segment_has_another_digest() -> None:
    assert segment(0).st.digest() != segment(1).st.digest()


def test_N9_ballast_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    proven("certificate")
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "ballast", lambda self, label, head: self.absorb_bytes(label, head))
        light = certificate().prove()
        light.verify()  # both sides light agree: only the honest verifier's own ballast refuses
    light.refused(ConstraintError)


def test_N9_ballast_is_longer_than_any_accepted_program_can_hash() -> None:
    from zk.protocol.transcript import BALLAST_BYTES

    assert BALLAST_BYTES == 1 << 24
    lengths: list[int] = []

    class Measured(Transcript):
        def absorb(self, label: str, kind: int, data: bytes) -> None:
            lengths.append(len(data))
            super().absorb(label, kind, data)

    st = certificate().st
    preamble_module.preamble(Measured(), st, st.digest(), (bytes(16), bytes(16)), (bytes(32), bytes(32)))
    assert lengths[-2:] == [32, 1 << 24]


def test_N9_statement_absorbed_again_after_the_roots() -> None:
    labels = labels_of("certificate")
    assert labels.index("A 02.statement") < labels.index("A 04.root.seg") < labels.index("A 06.statement2")


def test_toy_profiles_are_refused_unless_the_code_allows_them() -> None:
    fixture = proven("certificate")
    with pytest.raises(LimitError):
        verify(fixture.statement, fixture.proof)


def test_challenge_drawn_before_its_message_is_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prover that draws the batching challenge before sending the opening head is out of step with the verifier."""
    proven("histogram")
    honest = prover._opening_head

    def early(session, masker, a: list[K], b: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
        masker.transcript.challenge_k("22.c", 1)
        return honest(session, masker, a, b)

    with monkeypatch.context() as patch:
        patch.setattr(prover, "_opening_head", early)
        with pytest.raises(prover.ProvingError, match="transcript differs"):
            histogram().prove()


def test_sections_of_two_proofs_do_not_mix() -> None:
    """Two honest proofs of one statement spliced anywhere are refused."""
    first, second = proven("histogram"), histogram().prove()
    second.verify()
    for cut in (68, 100, 500, 2000, len(first.proof) - 40):
        spliced = Proven(first.statement, first.proof[:cut] + second.proof[cut:])
        assert spliced.proof not in (first.proof, second.proof)
        with pytest.raises((ConstraintError, MerkleError, MalformedError)):
            spliced.verify()
