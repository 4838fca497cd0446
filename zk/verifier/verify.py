"""Verification of one proof, page one. The checks, in order (PROTOCOL 14.1); each block below carries its number.

 0  parse the statement; build the program it names; derive the schedule, which fixes every length
 1  static bounds, commitment records; intervals from elsewhere must come from this verifier's own earlier results
 2  parse the proof: canonical elements, nothing left over
 3  transcript preamble: parameters, statement, records, roots, statement again, ballast
 4  lookups: LogUp-GKR gives two linear claims
 5  equations: one linear claim each
 6  levels of bilinear sums: one constraint each
 7  batching of all linear claims into one row claim
 8  opening head: one constraint
 9  pad tableau: the public sum of all constraints
10  opened columns: Merkle paths and the four polynomial identities
11  result: what is now established, the error budget, and what it is conditional on

`verify` raises a `VerificationError` for everything else, whatever bytes it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zk.protocol.bounds import Interval, infer_bounds
from zk.protocol.claims.constraints import absorb_pad_answers, draw_pad_challenge
from zk.protocol.claims.replay import replay
from zk.protocol.codec import Reader
from zk.protocol.compiler import compile_schedule
from zk.protocol.errors import LimitError, MalformedError, ProgramError, VerificationError
from zk.protocol.ir import SEG, Program
from zk.protocol.padlayout import PadLayout, pad_layout
from zk.protocol.programs.families import build_program, check_role, required_dataset
from zk.protocol.proof import Proof, decode_proof
from zk.protocol.schedule import Schedule
from zk.protocol.security import TARGET_BITS, ErrorBudget, error_budget
from zk.protocol.statement import Statement
from zk.verifier.commitment import Committed, check_columns, read_columns
from zk.verifier.ligero import check_pad_columns, check_public_sum

Certificates = Mapping[tuple[bytes, str], Interval]  # (record digest, layout name) -> interval


@dataclass(frozen=True)
class Condition:
    """What this proof relies on and does not show itself: an interval of a committed tensor, or (with `spec`) that the
    dataset is certified under exactly this spec."""

    record: bytes
    tensor: str
    interval: Interval
    spec: bytes = b""


@dataclass(frozen=True)
class Verified:
    """What one accepted proof establishes.

    `intervals` holds what this proof itself shows; it may serve later calls as certificates once `conditions` are met.
    """

    statement: Statement
    digest: bytes
    budget: ErrorBudget
    opened: dict[bytes, frozenset[int]]
    intervals: dict[tuple[bytes, str], Interval]
    conditions: tuple[Condition, ...]
    certified: tuple[bytes, bytes] | None = None  # (dataset record, spec) of a dataset certificate


def verify(statement: bytes, proof: bytes, certificates: Certificates | None = None, *, allow_toy: bool = False) -> Verified:
    """Check `proof` against `statement`; return what is established or raise `VerificationError`.

    The caller must still check that the statement is the one it wants (program, publics, auditor nonce, run) and that
    every `Condition` of the result is met; `zk.verifier.bundle` does both for a run.
    """
    try:
        return _verify(statement, proof, dict(certificates or {}), allow_toy)
    except VerificationError:
        raise
    except Exception as error:  # whatever hostile bytes provoke, callers see one family
        raise MalformedError(f"refused: {type(error).__name__} while checking") from error


def _verify(statement: bytes, proof: bytes, certificates: Certificates, allow_toy: bool) -> Verified:
    # 0 statement, program, schedule
    st = Statement.decode(statement)
    if st.store_profile.is_toy and not allow_toy:
        raise LimitError(f"profile {st.profile} is for tests only")
    program = build_program(st)
    schedule = compile_schedule(program, st.store_profile, st.pad_profile)
    pads = pad_layout(schedule)
    # 1 bounds and records
    given = given_bounds(st, program)
    known = infer_bounds(program, given)
    conditions = _conditions(st, certificates)
    for tableau in schedule.tableaux:
        if tableau.role != SEG:
            check_role(st, tableau.role, tableau.layout.digest(), tableau.layout.n_rows)
    budget = error_budget(schedule)
    if budget.bits < TARGET_BITS and not allow_toy:
        raise LimitError(f"this statement is proven to {budget.bits:.1f} bits only, {TARGET_BITS} are required")
    # 2 proof
    parsed = decode_proof(proof, schedule, pads)
    digest = st.digest()
    if parsed.statement != digest:
        raise MalformedError("the proof is about another statement")
    # 3 to 10
    opened = _replay(st, schedule, pads, parsed, digest)
    # 11 result
    stated = set(given)
    intervals = {
        (st.role(role).digest(), item.layout_name): known[item.name]
        for role, _ in st.roles
        for item in program.stored(role)
        if item.name in known and item.name not in stated
    }
    certified = (st.role("D").digest(), st.params) if st.family == "dataset-certificate" else None
    return Verified(st, digest, budget, opened, intervals, conditions, certified)


def given_bounds(st: Statement, program: Program) -> dict[str, Interval]:
    """Intervals of pre-existing tensors: of a dataset from its required spec, of weights as stated.

    Their truth is the subject of `Condition`.
    """
    spec = required_dataset(st)
    out: dict[str, Interval] = spec.bounds() if spec is not None else {}
    names = {item.name for role, _ in st.roles if role not in ("D", "W_out") for item in program.stored(role)}
    for bound in st.bounds:
        if bound.tensor not in names or bound.tensor in out or bound.lo > bound.hi:
            raise ProgramError(f"bound on {bound.tensor} does not fit the program")
        out[bound.tensor] = (bound.lo, bound.hi)
    return out


def _conditions(st: Statement, certificates: Certificates) -> tuple[Condition, ...]:
    missing = []
    spec = required_dataset(st)
    if spec is not None:
        missing.append(Condition(st.role("D").digest(), "", (0, 0), spec.encode()))
    for bound in st.bounds:
        role, _, name = bound.tensor.partition(".")
        record = st.role(role).digest()
        certified = certificates.get((record, name))
        if certified is None:
            missing.append(Condition(record, name, (bound.lo, bound.hi)))
        elif not (bound.lo <= certified[0] and certified[1] <= bound.hi):
            raise ProgramError(f"{bound.tensor} is certified in {certified}, stated in {(bound.lo, bound.hi)}")
    return tuple(missing)


def _replay(st: Statement, schedule: Schedule, layout: PadLayout, proof: Proof, digest: bytes) -> dict[bytes, frozenset[int]]:
    # 3 to 8 transcript, claims, constraints
    done = replay(st, digest, schedule, layout, (proof.seg_root, proof.pad_root), proof.scalars, proof.w)
    transcript, weights, (seg_tag, pad_tag) = done.transcript, done.row_weights, done.tags
    # 9 pad tableau
    challenge = draw_pad_challenge(transcript, done.pads, schedule, layout)
    absorb_pad_answers(transcript, proof.ldt, proof.linear, proof.quadratic)
    check_public_sum(challenge, layout, proof.linear)
    # 10 columns
    indices = transcript.challenge_indices("28.columns", schedule.profile.n, schedule.profile.t)
    pad_indices = transcript.challenge_indices("28.columns.pad", layout.profile.n, layout.profile.t)
    reader = Reader(proof.tail, "openings")
    seg = schedule.tableau(SEG).layout.n_rows + 2
    stores = [Committed(role, record.tag16, record.root, record.n_rows) for role, record in st.roles]
    stores.append(Committed(SEG, seg_tag, proof.seg_root, seg))
    openings = [read_columns(reader, item, indices, schedule.profile.n) for item in stores]
    pad_store = Committed("pad", pad_tag, proof.pad_root, 2 * layout.n_rows)
    pad_opening = read_columns(reader, pad_store, pad_indices, layout.profile.n)
    reader.end()
    check_columns(schedule, openings, indices, proof.w, weights)
    check_pad_columns(layout, challenge, proof, pad_opening, pad_indices)
    return {record.digest(): frozenset(indices) for _, record in st.roles}
