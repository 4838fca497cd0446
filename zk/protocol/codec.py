"""Canonical byte encodings (PROTOCOL section 3): fixed-width little endian, no varints, no maps, no floats.

`Reader` raises `MalformedError` on every deviation; the caller must finish with `Reader.end`.
"""

from __future__ import annotations

import struct
from itertools import chain

from zk.protocol.errors import LimitError, MalformedError
from zk.protocol.field import K, P

MAX_NAME_BYTES = 96


class Writer:
    """Appends canonical fields to a byte string."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def raw(self, data: bytes) -> Writer:
        self._parts.append(data)
        return self

    def unsigned(self, value: int, n_bytes: int) -> Writer:
        return self.raw(value.to_bytes(n_bytes, "little"))

    def u8(self, value: int) -> Writer:
        return self.unsigned(value, 1)

    def u32(self, value: int) -> Writer:
        return self.unsigned(value, 4)

    def u64(self, value: int) -> Writer:
        return self.unsigned(value, 8)

    def i64(self, value: int) -> Writer:
        return self.raw(value.to_bytes(8, "little", signed=True))

    def name(self, text: str) -> Writer:
        data = text.encode("ascii")
        return self.u32(len(data)).raw(data)

    def blob(self, data: bytes) -> Writer:
        return self.u32(len(data)).raw(data)

    def bytes(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """Reads canonical fields; `what` names the object in error messages."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    def raw(self, n_bytes: int) -> bytes:
        if n_bytes > len(self._data) - self._at:
            raise MalformedError(f"{self._what}: ends early, {n_bytes} bytes wanted at offset {self._at}")
        out = self._data[self._at : self._at + n_bytes]
        self._at += n_bytes
        return out

    def unsigned(self, n_bytes: int) -> int:
        return int.from_bytes(self.raw(n_bytes), "little")

    def u8(self) -> int:
        return self.unsigned(1)

    def u32(self) -> int:
        return self.unsigned(4)

    def u64(self) -> int:
        return self.unsigned(8)

    def i64(self) -> int:
        return int.from_bytes(self.raw(8), "little", signed=True)

    def count(self, limit: int, what: str) -> int:
        """A u32 that counts things, bounded by a named limit before it is used."""
        value = self.u32()
        if value > limit:
            raise LimitError(f"{self._what}: {value} {what}, at most {limit} allowed")
        return value

    def name(self) -> str:
        data = self.raw(self.count(MAX_NAME_BYTES, "bytes in a name"))
        if any(byte < 0x21 or byte > 0x7E for byte in data):
            raise MalformedError(f"{self._what}: a name holds bytes that are not printable ASCII")
        return data.decode("ascii")

    def blob(self, limit: int, what: str) -> bytes:
        return self.raw(self.count(limit, f"bytes of {what}"))

    def end(self) -> None:
        if self._at != len(self._data):
            raise MalformedError(f"{self._what}: {len(self._data) - self._at} trailing bytes")


def encode_f(values: list[int]) -> bytes:
    """F elements, 8 bytes each. Every value must be canonical."""
    return struct.pack(f"<{len(values)}Q", *values)


def encode_k(values: list[K]) -> bytes:
    """K elements, 16 bytes each, low coordinate first."""
    return struct.pack(f"<{2 * len(values)}Q", *chain.from_iterable(values))


def decode_f(data: bytes, what: str) -> list[int]:
    """Canonical F elements; a value >= p raises `MalformedError`. `data` must be a multiple of 8 bytes."""
    values = list(struct.unpack(f"<{len(data) // 8}Q", data))
    if values and max(values) >= P:
        raise MalformedError(f"{what}: a field element is not canonical")
    return values


def decode_k(data: bytes, what: str) -> list[K]:
    flat = decode_f(data, what)
    return list(zip(flat[0::2], flat[1::2], strict=True))
