"""Every field of a proof by name and position, derived from its statement: what the tamper manifest walks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from zk.protocol.claims.constraints import absorb_pad_answers, draw_pad_challenge
from zk.protocol.claims.replay import replay
from zk.protocol.compiler import compile_schedule
from zk.protocol.ir import SEG
from zk.protocol.merkle import path_positions
from zk.protocol.padlayout import PadLayout, pad_layout
from zk.protocol.programs.families import build_program
from zk.protocol.proof import Proof, decode_proof
from zk.protocol.schedule import Schedule
from zk.protocol.statement import Statement


@dataclass(frozen=True)
class Field:
    """Bytes start .. stop-1 of a proof; `label` is the transcript label or the name of section 14.3."""

    label: str
    start: int
    stop: int


@dataclass(frozen=True)
class ProofMap:
    fields: tuple[Field, ...]
    columns: list[int]
    pad_columns: list[int]
    schedule: Schedule
    layout: PadLayout
    parsed: Proof

    def labels(self) -> list[str]:
        return list(dict.fromkeys(field.label for field in self.fields))

    def of(self, label: str) -> list[Field]:
        return [field for field in self.fields if field.label == label]


def scalar_labels(schedule: Schedule) -> list[str]:
    """The transcript label under which each masked scalar is absorbed, by slot."""
    out: dict[int, str] = {}
    if schedule.lookups:
        out |= dict.fromkeys((schedule.lookups.q0, schedule.lookups.inverse), "08.gkr.root")
        for j, (rounds, ends) in enumerate(schedule.lookups.layers):
            for i, slots in enumerate(rounds):
                out |= dict.fromkeys(slots, f"10.gkr.{j}.{i}")
            out |= dict.fromkeys(ends, f"11.gkr.ends.{j}")
    out |= {split.slot: "13.terms" for split in schedule.terms}
    for level in schedule.levels:
        for i, slots in enumerate(level.rounds):
            out |= dict.fromkeys(slots, f"16.level.{level.number}.{i}")
        out |= {end.slot: f"17.ends.{level.number}" for end in level.ends}
        out |= {split.slot: f"14.claims.{level.number + 1}" for split in level.splits}
    for i, slots in enumerate(schedule.batch_rounds):
        out |= dict.fromkeys(slots, f"19.batch.{i}")
    out[schedule.vr] = "21.vr"
    return [out[slot] for slot in range(schedule.n_scalars)]


def replayed(statement: bytes, proof: bytes, log: list[str] | None = None) -> ProofMap:
    """Parse and replay the transcript of a proof without checking it; `log` receives the labels. No fields yet."""
    st = Statement.decode(statement)
    schedule = compile_schedule(build_program(st), st.store_profile, st.pad_profile)
    layout = pad_layout(schedule)
    parsed = decode_proof(proof, schedule, layout)
    roots = (parsed.seg_root, parsed.pad_root)
    done = replay(st, st.digest(), schedule, layout, roots, parsed.scalars, parsed.w, log)
    draw_pad_challenge(done.transcript, done.pads, schedule, layout)
    absorb_pad_answers(done.transcript, parsed.ldt, parsed.linear, parsed.quadratic)
    columns = done.transcript.challenge_indices("28.columns", schedule.profile.n, schedule.profile.t)
    pad_columns = done.transcript.challenge_indices("28.columns.pad", layout.profile.n, layout.profile.t)
    return ProofMap((), columns, pad_columns, schedule, layout, parsed)


@lru_cache(maxsize=64)
def map_proof(statement: bytes, proof: bytes) -> ProofMap:
    """Positions of everything in an honest proof."""
    st, found = Statement.decode(statement), replayed(statement, proof)
    schedule, layout, parsed = found.schedule, found.layout, found.parsed
    columns, pad_columns = found.columns, found.pad_columns
    fields: list[Field] = []
    at = 0

    def add(label: str, size: int, count: int = 1) -> None:
        nonlocal at
        for _ in range(count):
            fields.append(Field(label, at, at + size))
            at += size

    add("magic", 4)
    add("statement", 32)
    add("04.root.seg", 32)
    add("05.root.pad", 32)
    for label in scalar_labels(schedule):
        add(label, 16)
    add("23.w", 16, len(parsed.w))
    add("25.pad.ldt", 16, len(parsed.ldt))
    add("26.pad.lin", 16, len(parsed.linear))
    add("27.pad.quad", 16, len(parsed.quadratic))
    stores = [(role, record.n_rows, columns, schedule.profile.n) for role, record in st.roles]
    stores.append((SEG, schedule.tableau(SEG).layout.n_rows + 2, columns, schedule.profile.n))
    stores.append(("pad", 2 * layout.n_rows, pad_columns, layout.profile.n))
    for role, n_values, opened, n_columns in stores:
        for _ in opened:
            add(f"open.{role}.salt", 16)
            add(f"open.{role}.column", 8 * n_values)
        add(f"open.{role}.node", 32, sum(map(len, path_positions(opened, n_columns.bit_length() - 1))))
    assert at == len(proof), (at, len(proof))
    return replace(found, fields=tuple(fields))
