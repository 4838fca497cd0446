"""Program family `refresh`: two tableaux of one layout hold the same raw message (PROTOCOL 4.5)."""

from __future__ import annotations

from zk.protocol.codec import Reader, Writer
from zk.protocol.ir import Builder, Program
from zk.protocol.params import MAX_DIMS, MAX_TENSORS

Shapes = list[tuple[str, tuple[int, ...]]]


def encode_shapes(shapes: Shapes) -> bytes:
    writer = Writer().u32(len(shapes))
    for name, shape in shapes:
        writer.name(name).u32(len(shape))
        for size in shape:
            writer.u64(size)
    return writer.bytes()


def read_shapes(reader: Reader) -> Shapes:
    out: Shapes = []
    for _ in range(reader.count(MAX_TENSORS, "tensors")):
        name = reader.name()
        out.append((name, tuple(reader.u64() for _ in range(reader.count(MAX_DIMS, "dimensions")))))
    return out


def build_refresh(shapes: Shapes) -> Program:
    """Roles old and new; the raw equality covers every slot, padding included."""
    b = Builder(["old", "new"])
    for role in ("old", "new"):
        for name, shape in shapes:
            dims = tuple(b.dim(f"{name}.{i}", size) for i, size in enumerate(shape))
            b.stored(f"{role}.{name}", role, *dims)
    b.raw_equality("old", "new")
    return b.finish()
