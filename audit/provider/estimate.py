"""`assay estimate`: time, memory and proof size of a run before it starts, from the compiled schedules.

Sizes are exact except for Merkle path nodes, whose number depends on the drawn columns and is given as its expectation.
Times and memory are unit costs, fitted once to runs measured on a 2-core x86-64 machine, times counts from the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

from audit.provider.training import Progress, plan_run, silent
from zk.frontend.quantise import TrainingPlan
from zk.protocol.compiler import compile_schedule
from zk.protocol.hashing import SALT_BYTES
from zk.protocol.ir import SEG
from zk.protocol.layout import layout_of
from zk.protocol.padlayout import pad_layout
from zk.protocol.params import StoreProfile
from zk.protocol.programs.families import build_program
from zk.protocol.programs.refresh import encode_shapes
from zk.protocol.record import CKPT, DATA, NO_CONTEXT, Record
from zk.protocol.registration import SELF_MADE_CHAIN, Registration, Segment
from zk.protocol.schedule import Schedule
from zk.protocol.statement import CERT, FROM_PREDECESSOR, REFRESH, SEGMENT, Bound, Statement

MAGIC_AND_DIGESTS = 4 + 3 * 32
NODE_BYTES = 32

# Fitted to 20 statements of 5 runs (10,000 to 4,500,000 slots, profiles S10 to S14); CPU seconds, bytes of memory.
SECONDS_PER_CODEWORD, SECONDS_PER_LEAF, SECONDS_PER_COLUMN, SECONDS_PER_PROOF = 7.5e-8, 1.0e-7, 1.0e-6, 0.15
VERIFY_PER_SLOT, VERIFY_PER_SCALAR, VERIFY_PER_COLUMN, VERIFY_PER_PROOF = 2.7e-9, 1.5e-4, 3.8e-6, 0.12
BYTES_PER_CODEWORD, BYTES_PER_LEAF, BYTES_OF_PROCESS = 23.3, 29.1, 2.7e8


@dataclass(frozen=True)
class Shape:
    """Counts of one statement that decide its cost."""

    name: str
    proof_bytes: int
    statement_bytes: int
    n_rows: int
    n_new_rows: int
    n_slots: int
    n_columns: int
    n_leaves: int
    n_scalars: int

    @property
    def n_codeword(self) -> int:
        """Field elements of the codewords this proof commits."""
        return self.n_new_rows * self.n_columns

    @property
    def seconds_proving(self) -> float:
        """CPU seconds to execute and prove."""
        rows, leaves = SECONDS_PER_CODEWORD * self.n_codeword, SECONDS_PER_LEAF * self.n_leaves
        return rows + leaves + SECONDS_PER_COLUMN * self.n_columns + SECONDS_PER_PROOF

    @property
    def seconds_verifying(self) -> float:
        """CPU seconds in plain Python."""
        work = VERIFY_PER_SLOT * self.n_slots + VERIFY_PER_SCALAR * self.n_scalars
        return work + VERIFY_PER_COLUMN * self.n_columns + VERIFY_PER_PROOF

    @property
    def memory_bytes(self) -> int:
        """Peak of a process that proves this statement."""
        return int(BYTES_OF_PROCESS + BYTES_PER_CODEWORD * self.n_codeword + BYTES_PER_LEAF * self.n_leaves)


def expected_path_nodes(n_columns: int, n_opened: int) -> float:
    """Expected digests in one octopus path for `n_opened` distinct uniform columns of `n_columns`, a power of two.

    A node at height h is sent if its subtree of 2^h leaves holds no opened column and its sibling's does.
    """

    def missed(n_leaves: int) -> float:
        return comb(n_columns - n_leaves, n_opened) / comb(n_columns, n_opened)

    total, width = 0.0, 1
    while width < n_columns:
        total += n_columns / width * (missed(width) - missed(2 * width))
        width *= 2
    return total


def proof_bytes(schedule: Schedule) -> int:
    """Length of a proof of this schedule: exact but for the path nodes, which count with their expectation."""
    pads, profile, pad = pad_layout(schedule), schedule.profile, schedule.pad_profile
    scalars = schedule.n_scalars + profile.k + pad.k + pad.n_linear + pad.n_quadratic
    fixed = MAGIC_AND_DIGESTS + 16 * scalars
    nodes = expected_path_nodes(profile.n, profile.t) * len(schedule.tableaux) + expected_path_nodes(pad.n, pad.t)
    values = sum(item.layout.n_rows + (2 if item.role == SEG else 0) for item in schedule.tableaux)
    columns = profile.t * (SALT_BYTES * len(schedule.tableaux) + 8 * values) + pad.t * (SALT_BYTES + 16 * pads.n_rows)
    return fixed + columns + round(NODE_BYTES * nodes)


def shape_of(name: str, st: Statement) -> Shape:
    """Compile a statement and count. The records may be placeholders: only their sizes matter."""
    program = build_program(st)
    schedule = compile_schedule(program, st.store_profile, st.pad_profile)
    seg, new = schedule.tableau(SEG).layout.n_rows + 2, ("W_out", "new")
    fresh = sum(item.layout.n_rows for item in schedule.tableaux if item.role in new)
    return Shape(
        name=name,
        proof_bytes=proof_bytes(schedule),
        statement_bytes=len(st.encode()),
        n_rows=schedule.n_rows,
        n_new_rows=seg + fresh,
        n_slots=schedule.n_rows * schedule.profile.l,
        n_columns=schedule.profile.n,
        n_leaves=1 << schedule.lookups.depth if schedule.lookups else 0,
        n_scalars=schedule.n_scalars,
    )


@dataclass(frozen=True)
class Estimate:
    """What a run will take. `shapes` are (count, shape) of its kinds of statements; seconds are CPU seconds."""

    profile: str
    n_steps: int
    n_segments: int
    segment_steps: int
    n_refreshes: int
    shapes: tuple[tuple[int, Shape], ...]

    @property
    def proof_bytes(self) -> int:
        """Proofs and statements together, as published."""
        return sum(count * (shape.proof_bytes + shape.statement_bytes) for count, shape in self.shapes)

    @property
    def seconds_proving(self) -> float:
        return sum(count * shape.seconds_proving for count, shape in self.shapes)

    @property
    def seconds_verifying(self) -> float:
        return sum(count * shape.seconds_verifying for count, shape in self.shapes)

    @property
    def memory_bytes(self) -> int:
        """Peak of the proving process."""
        return max(shape.memory_bytes for _, shape in self.shapes)

    def to_json(self) -> dict[str, Any]:
        keys = ("n_leaves", "n_slots", "n_rows", "n_scalars", "proof_bytes", "statement_bytes")
        return {
            "profile": self.profile,
            "steps": self.n_steps,
            "segments": self.n_segments,
            "segment_steps": self.segment_steps,
            "refreshes": self.n_refreshes,
            "proof_bytes": self.proof_bytes,
            "seconds_proving": round(self.seconds_proving, 2),
            "seconds_verifying": round(self.seconds_verifying, 2),
            "memory_bytes": self.memory_bytes,
            "statements": [{"name": s.name, "count": n} | {key: getattr(s, key) for key in keys} for n, s in self.shapes],
        }


def estimate_run(config_text: str, base: Path, progress: Progress = silent) -> Estimate:
    """Plan the run (the dry run included) and compile every kind of statement it will prove. Writes nothing."""
    plan, profile = plan_run(config_text, base, progress)
    progress(0.5, "compiling the schedules")
    registration = Registration(bytes(32), None, plan.spec, SELF_MADE_CHAIN, 1, plan.segment_steps, plan.total_steps)
    segments = _segment_shapes(plan, registration, profile)
    n_refreshes = expected_refreshes(profile, 1 + registration.n_segments)
    data = (("D", _record(profile, DATA, plan.spec.data.shapes())),)
    certificate = Statement(CERT, profile.name, "dataset-certificate", plan.spec.data.encode(), data)
    shapes = [(1, shape_of("certificate", certificate)), *segments]
    if n_refreshes:
        records = (
            _record(profile, DATA, plan.spec.data.shapes()),
            _record(profile, DATA, plan.spec.data.shapes(), bytes([1] * 32)),
        )
        params = encode_shapes(plan.spec.data.shapes())
        refresh = Statement(REFRESH, profile.name, "refresh", params, (("old", records[0]), ("new", records[1])))
        shapes.append((n_refreshes, shape_of("refresh", refresh)))
    return Estimate(profile.name, plan.total_steps, registration.n_segments, plan.segment_steps, n_refreshes, tuple(shapes))


def expected_refreshes(profile: StoreProfile, n_openings: int) -> int:
    """REFRESH proofs of a commitment that is opened `n_openings` times, for the expected overlap of opened columns."""
    refreshes, opened = 0, 0.0
    for _ in range(n_openings):
        if profile.h - profile.t - opened < profile.t:
            refreshes += 1
            opened = float(profile.t)  # the refresh opens the new commitment as well
        opened += profile.t * (1 - opened / profile.n)
    return refreshes


def _segment_shapes(plan: TrainingPlan, registration: Registration, profile: StoreProfile) -> list[tuple[int, Shape]]:
    """Segments that differ in steps, initial weights or range checks, with their numbers."""
    kinds: dict[tuple[int, bool, int], list[int]] = {}
    for index, planned in enumerate(plan.segments):
        kinds.setdefault((planned.n_steps, index == 0, planned.range_bits), []).append(index)
    out = []
    for (n_steps, is_first, range_bits), members in kinds.items():
        segment = Segment(registration, members[0], bytes(32), range_bits)
        roles = [("D", _record(profile, DATA, plan.spec.data.shapes()))]
        weights = _record(profile, CKPT, plan.spec.weight_shapes())
        roles += [("W_out", weights)] if is_first else [("W_in", weights), ("W_out", weights)]
        names = [f"W_in.{name}" for name, _ in plan.spec.weight_shapes()]
        bounds = () if is_first or range_bits else tuple(Bound(name, 0, 0, FROM_PREDECESSOR) for name in names)
        st = Statement(SEGMENT, profile.name, "mlp-sgd", b"", tuple(roles), (), segment.encode(), bounds)
        label = f"segment of {n_steps} steps" + (", first" if is_first else "") + (", range-checked" if range_bits else "")
        out.append((len(members), shape_of(label, st)))
    return out


def _record(profile: StoreProfile, kind: int, shapes: list[tuple[str, tuple[int, ...]]], root: bytes = bytes(32)) -> Record:
    """A placeholder with the sizes and the layout of the true record."""
    layout = layout_of(shapes, profile.l)
    return Record(profile.name, kind, NO_CONTEXT, layout.digest(), layout.n_rows, profile.n, root)
