"""Commitment records (PROTOCOL 4.2): what a published root is a root of. Nothing in a record depends on its later role."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.codec import Reader, Writer
from zk.protocol.errors import MalformedError
from zk.protocol.hashing import RECORD, TAG, tagged

DATA, CKPT, ROWS, TABLE, SEG_KIND, PAD_KIND = 1, 2, 3, 4, 5, 6
KIND_NAMES = {DATA: "data", CKPT: "ckpt", ROWS: "rows", TABLE: "table", SEG_KIND: "seg", PAD_KIND: "pad"}
NO_CONTEXT = bytes(32)


def tag16(kind: int, layout: bytes, context: bytes) -> bytes:
    """The 16 bytes that every leaf of a tableau is bound to."""
    return tagged(TAG, bytes([kind]), layout, context)[:16]


@dataclass(frozen=True)
class Record:
    """Body of a commitment record; its digest is the commitment."""

    profile: str
    kind: int
    context: bytes
    layout: bytes
    n_rows: int
    n_columns: int
    root: bytes

    def encode(self) -> bytes:
        writer = Writer().name(self.profile).u8(self.kind).raw(self.context).raw(self.layout)
        return writer.u32(self.n_rows).u32(self.n_columns).raw(self.root).bytes()

    def digest(self) -> bytes:
        return tagged(RECORD, self.encode())

    @property
    def tag16(self) -> bytes:
        return tag16(self.kind, self.layout, self.context)

    @staticmethod
    def read(reader: Reader) -> Record:
        profile, kind = reader.name(), reader.u8()
        if kind not in KIND_NAMES:
            raise MalformedError(f"unknown commitment kind {kind}")
        return Record(profile, kind, reader.raw(32), reader.raw(32), reader.u32(), reader.u32(), reader.raw(32))

    @staticmethod
    def decode(data: bytes) -> Record:
        reader = Reader(data, "commitment record")
        record = Record.read(reader)
        reader.end()
        return record
