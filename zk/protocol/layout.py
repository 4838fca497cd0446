"""Placement of tensors in a store tableau (PROTOCOL 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.codec import Writer
from zk.protocol.errors import LimitError
from zk.protocol.hashing import tagged
from zk.protocol.params import MAX_ROWS, log2_ceil

LAYOUT = b"\x16"


@dataclass(frozen=True)
class Placed:
    """A tensor at a flat offset that is a multiple of its padded size."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def log_size(self) -> int:
        return sum(log2_ceil(size) for size in self.shape)


@dataclass(frozen=True)
class Layout:
    """Tensors by decreasing padded size at consecutive offsets; `n_rows` message rows of l slots."""

    tensors: tuple[Placed, ...]
    n_rows: int

    def find(self, name: str) -> Placed:
        return next(item for item in self.tensors if item.name == name)

    def digest(self) -> bytes:
        """Digest of the ordered list (name, shape, offset); holds no role names."""
        writer = Writer().u32(len(self.tensors))
        for item in self.tensors:
            writer.name(item.name).u32(len(item.shape))
            for size in item.shape:
                writer.u64(size)
            writer.u64(item.offset)
        return tagged(LAYOUT, writer.bytes())


def layout_of(tensors: list[tuple[str, tuple[int, ...]]], slots_per_row: int) -> Layout:
    """Sort by decreasing padded size (ties: given order) and place consecutively."""
    placed, offset = [], 0
    sized = sorted(tensors, key=lambda item: -sum(log2_ceil(size) for size in item[1]))
    for name, shape in sized:
        item = Placed(name, shape, offset)
        placed.append(item)
        offset += 1 << item.log_size
    n_rows = -(-offset // slots_per_row)
    if n_rows > MAX_ROWS:
        raise LimitError(f"{n_rows} rows in one tableau, at most {MAX_ROWS}; use a larger profile or shorter segments")
    return Layout(tuple(placed), n_rows)
