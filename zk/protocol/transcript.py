"""Fiat-Shamir transcript (PROTOCOL section 3 and 14): every absorb binds label, kind and length; every draw feeds back."""

from __future__ import annotations

import hashlib
import struct

from zk.protocol.codec import encode_f, encode_k
from zk.protocol.field import K, P

KIND_F = 1
KIND_BYTES = 2
KIND_K = 3
BALLAST_BYTES = 1 << 24  # KRS25 guard: no accepted program can hash this much


class Transcript:
    """State S of 32 bytes. `log` (optional) records every label, for the committed inventory."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.state = hashlib.sha256(b"zkaudit/v1/transcript").digest()
        self._log = log

    def absorb(self, label: str, kind: int, data: bytes) -> None:
        if self._log is not None:
            self._log.append("A " + label)
        name = label.encode("ascii")
        head = b"\x01" + self.state + struct.pack("<H", len(name)) + name + struct.pack("<BQ", kind, len(data))
        state = hashlib.sha256(head)
        state.update(data)
        self.state = state.digest()

    def absorb_bytes(self, label: str, data: bytes) -> None:
        self.absorb(label, KIND_BYTES, data)

    def absorb_f(self, label: str, values: list[int]) -> None:
        self.absorb(label, KIND_F, encode_f(values))

    def absorb_k(self, label: str, values: list[K]) -> None:
        self.absorb(label, KIND_K, encode_k(values))

    def ballast(self, label: str, head: bytes) -> None:
        """Absorb `head` and then BALLAST_BYTES zero bytes under one label."""
        self.absorb(label, KIND_BYTES, head)
        self.absorb(label, KIND_BYTES, bytes(BALLAST_BYTES))

    def key(self, label: str, n: int) -> bytes:
        if self._log is not None:
            self._log.append("C " + label)
        name = label.encode("ascii")
        key = hashlib.sha256(b"\x02" + self.state + struct.pack("<H", len(name)) + name + struct.pack("<Q", n)).digest()
        self.state = hashlib.sha256(b"\x04" + self.state + key).digest()
        return key

    def challenge_k(self, label: str, n: int) -> list[K]:
        """n uniform elements of K."""
        key = self.key(label, n)
        words: list[int] = []
        counter = 0
        while len(words) < 2 * n:
            block = hashlib.sha256(b"\x03" + key + struct.pack("<Q", counter)).digest()
            words += [word for word in struct.unpack("<4Q", block) if word < P]
            counter += 1
        return list(zip(words[0 : 2 * n : 2], words[1 : 2 * n : 2], strict=True))

    def challenge_indices(self, label: str, bound: int, n: int) -> list[int]:
        """n distinct indices below `bound` (a power of two), sorted."""
        key = self.key(label, n)
        chosen: set[int] = set()
        counter = 0
        while len(chosen) < n:
            block = hashlib.sha256(b"\x03" + key + struct.pack("<Q", counter)).digest()
            for word in struct.unpack("<8I", block):
                if len(chosen) < n:
                    chosen.add(word & (bound - 1))
            counter += 1
        return sorted(chosen)
