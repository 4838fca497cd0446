"""Seeded byte mutations of statements and proofs; each case is reproducible from its number alone."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from tests.soundness.harness import Proven
from tests.soundness.statements import with_digest
from zk.protocol.errors import VerificationError
from zk.protocol.statement import Statement
from zk.verifier.verify import verify

SMALL_BALLAST = 64
WEIGHTS = {"histogram": 40, "refresh": 30, "predicate": 15, "certificate": 12, "segment": 3}


@dataclass(frozen=True)
class Outcome:
    """What the verifier did with case `number`: the name of its error, "unchanged", or a finding that must not be."""

    number: int
    result: str
    finding: str = ""


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """One to three of: flip bits, set a byte, insert, delete, truncate, duplicate a slice, splice with `other`."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(max(1, len(data)))
        width = rng.choice((1, 1, 2, 4, 8, 16, 32, 200))
        kind = rng.randrange(8)
        if kind <= 1 and data:
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        elif kind == 2 and data:
            data = data[:at] + bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))] * width) + data[at + width :]
        elif kind == 3:
            data = data[:at] + rng.randbytes(width) + data[at:]
        elif kind == 4:
            data = data[:at] + data[at + width :]
        elif kind == 5:
            data = data[: rng.randrange(len(data) + 1)]
        elif kind == 6:
            data = data[: at + width] + data[at:]
        else:
            data = data[:at] + other[at:]
    return data


def run_case(number: int, fixtures: dict[str, tuple[Proven, Proven]]) -> Outcome:
    """Mutate one of the fixtures (two honest proofs a kind) and verify it."""
    rng = random.Random(number)
    kind = rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
    fixture, spare = fixtures[kind]
    statement, proof = fixture.statement, fixture.proof
    where = rng.random()
    if where < 0.45:
        foreign = fixtures[rng.choice(list(WEIGHTS))][0].statement
        statement = mutated(rng, statement, foreign)
        proof = aligned(statement, proof) if rng.random() < 0.6 else proof
    if where >= 0.4:
        proof = mutated(rng, proof, spare.proof)
    return judge(number, (statement, proof), {(fixture.statement, p.proof) for p in (fixture, spare)})


def aligned(statement: bytes, proof: bytes) -> bytes:
    """The proof with the digest of the mutated statement in its head, where that still parses."""
    try:
        return with_digest(proof, Statement.decode(statement))
    except VerificationError:
        return proof


def judge(number: int, given: tuple[bytes, bytes], honest: set[tuple[bytes, bytes]]) -> Outcome:
    try:
        verify(*given, allow_toy=True)
    except VerificationError as error:
        return Outcome(number, type(error).__name__)
    except BaseException as error:
        return Outcome(number, "crash", f"{type(error).__name__}: {error}")
    return Outcome(number, "unchanged" if given in honest else "accepted", "" if given in honest else "accepted")


def summary(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(outcome.result for outcome in outcomes)
