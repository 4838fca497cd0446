"""Proof bytes (PROTOCOL 14.3): fixed part in transcript order, then openings; no length fields."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.codec import Reader, Writer, decode_f, decode_k, encode_k
from zk.protocol.errors import MalformedError
from zk.protocol.field import K
from zk.protocol.hashing import SALT_BYTES
from zk.protocol.padlayout import PadLayout
from zk.protocol.params import MAX_PROOF_BYTES
from zk.protocol.schedule import Schedule

MAGIC = b"ZKA1"


@dataclass
class Opening:
    """Opened columns of one tableau: sorted indices, a salt and the raw column bytes each, and path nodes bottom up."""

    salts: list[bytes]
    columns: list[bytes]
    nodes: list[bytes]


@dataclass
class Proof:
    """The fixed part of a proof. `tail` holds the openings, whose node counts depend on the drawn columns."""

    statement: bytes
    seg_root: bytes
    pad_root: bytes
    scalars: list[K]
    w: list[K]
    ldt: list[K]
    linear: list[K]
    quadratic: list[K]
    tail: bytes

    def encode(self) -> bytes:
        writer = Writer().raw(MAGIC).raw(self.statement).raw(self.seg_root).raw(self.pad_root)
        for values in (self.scalars, self.w, self.ldt, self.linear, self.quadratic):
            writer.raw(encode_k(values))
        return writer.raw(self.tail).bytes()


def decode_proof(data: bytes, schedule: Schedule, pads: PadLayout) -> Proof:
    """Parse the fixed part; every length is derived from the schedule. Raises `MalformedError`."""
    if len(data) > MAX_PROOF_BYTES:
        raise MalformedError(f"proof of {len(data)} bytes, at most {MAX_PROOF_BYTES}")
    reader = Reader(data, "proof")
    if reader.raw(4) != MAGIC:
        raise MalformedError("not a proof file (wrong magic)")
    statement, seg_root, pad_root = reader.raw(32), reader.raw(32), reader.raw(32)
    pad = schedule.pad_profile
    parts = []
    for name, count in (
        ("masked scalars", schedule.n_scalars),
        ("w", schedule.profile.k),
        ("w'", pad.k),
        ("q_lin", pad.n_linear),
        ("g", pad.n_quadratic),
    ):
        parts.append(decode_k(reader.raw(16 * count), f"proof, {name}"))
    at = 4 + 96 + 16 * sum(len(part) for part in parts)
    return Proof(statement, seg_root, pad_root, parts[0], parts[1], parts[2], parts[3], parts[4], data[at:])


def encode_opening(opening: Opening) -> bytes:
    parts = [salt + column for salt, column in zip(opening.salts, opening.columns, strict=True)]
    return b"".join(parts + opening.nodes)


def read_opening(reader: Reader, n_opened: int, n_values: int, n_nodes: int) -> Opening:
    """One opening of `n_opened` columns with `n_values` field elements each and exactly `n_nodes` path nodes."""
    salts, columns = [], []
    for _ in range(n_opened):
        salts.append(reader.raw(SALT_BYTES))
        columns.append(reader.raw(8 * n_values))
    return Opening(salts, columns, [reader.raw(32) for _ in range(n_nodes)])


def column_values(column: bytes) -> list[int]:
    """Canonical field elements of a column."""
    return decode_f(column, "opened column")
