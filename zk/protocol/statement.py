"""Statements: the canonical bytes that a proof is about (PROTOCOL section 2)."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.codec import Reader, Writer
from zk.protocol.errors import MalformedError
from zk.protocol.hashing import STATEMENT, tagged
from zk.protocol.params import (
    MAX_PUBLIC_ENTRIES,
    MAX_ROLES,
    MAX_STATEMENT_BYTES,
    MAX_TENSORS,
    PAD_OF_STORE,
    PAD_PROFILES,
    PROTOCOL_VERSION,
    STORE_PROFILES,
    PadProfile,
    StoreProfile,
)
from zk.protocol.record import Record

CERT, SEGMENT, GATHER, REFRESH, AUDIT = 1, 2, 3, 4, 5
KIND_NAMES = {CERT: "CERT", SEGMENT: "SEGMENT", REFRESH: "REFRESH", AUDIT: "AUDIT"}
FROM_CERTIFICATE, FROM_PREDECESSOR = 1, 2
SOURCES = (FROM_CERTIFICATE, FROM_PREDECESSOR)
MAX_PARAM_BYTES = 1 << 20
MAGIC = b"ZKS1"


@dataclass(frozen=True)
class Bound:
    """Stated interval of a pre-existing tensor and where it comes from; never trusted, always checked by the verifier."""

    tensor: str
    lo: int
    hi: int
    source: int


@dataclass(frozen=True)
class Auditor:
    """Who asked, and the fresh 32 bytes that tie a proof to one request."""

    name: str
    nonce: bytes


@dataclass(frozen=True)
class Statement:
    """Everything public about one proof. `family` and `params` (and `run` for segments) determine the program."""

    kind: int
    profile: str
    family: str
    params: bytes
    roles: tuple[tuple[str, Record], ...]
    publics: tuple[tuple[str, tuple[int, ...]], ...] = ()
    run: bytes = b""
    bounds: tuple[Bound, ...] = ()
    auditor: Auditor | None = None

    @property
    def store_profile(self) -> StoreProfile:
        return STORE_PROFILES[self.profile]

    @property
    def pad_profile(self) -> PadProfile:
        return PAD_PROFILES[PAD_OF_STORE[self.profile]]

    def role(self, name: str) -> Record:
        return dict(self.roles)[name]

    def public(self, name: str) -> tuple[int, ...]:
        for known, values in self.publics:
            if known == name:
                return values
        raise MalformedError(f"statement of family {self.family} lacks the public value {name}")

    def digest(self) -> bytes:
        return tagged(STATEMENT, self.encode())

    def encode(self) -> bytes:
        writer = Writer().raw(MAGIC).name(PROTOCOL_VERSION).u8(self.kind).name(self.profile).name(self.family)
        writer.blob(self.params).u32(len(self.roles))
        for role, record in self.roles:
            writer.name(role).raw(record.encode())
        writer.u32(len(self.publics))
        for name, values in self.publics:
            writer.name(name).u32(len(values))
            for value in values:
                writer.i64(value)
        writer.blob(self.run).u32(len(self.bounds))
        for bound in self.bounds:
            writer.name(bound.tensor).i64(bound.lo).i64(bound.hi).u8(bound.source)
        if self.auditor is None:
            return writer.u8(0).bytes()
        return writer.u8(1).name(self.auditor.name).raw(self.auditor.nonce).bytes()

    @staticmethod
    def decode(data: bytes) -> Statement:
        """Parse; raises `MalformedError` or `LimitError` for anything but the canonical encoding."""
        if len(data) > MAX_STATEMENT_BYTES:
            raise MalformedError(f"statement of {len(data)} bytes, at most {MAX_STATEMENT_BYTES}")
        reader = Reader(data, "statement")
        if reader.raw(4) != MAGIC or reader.name() != PROTOCOL_VERSION:
            raise MalformedError(f"not a {PROTOCOL_VERSION} statement")
        kind, profile, family = reader.u8(), reader.name(), reader.name()
        if kind not in KIND_NAMES or profile not in STORE_PROFILES:
            raise MalformedError(f"unknown statement kind {kind} or profile {profile}")
        params = reader.blob(MAX_PARAM_BYTES, "parameters")
        roles = tuple((reader.name(), Record.read(reader)) for _ in range(reader.count(MAX_ROLES, "roles")))
        publics = tuple(_read_public(reader) for _ in range(reader.count(MAX_ROLES, "public values")))
        run = reader.blob(MAX_PARAM_BYTES, "run")
        bounds = tuple(
            Bound(reader.name(), reader.i64(), reader.i64(), reader.u8()) for _ in range(reader.count(MAX_TENSORS, "bounds"))
        )
        auditor = _read_auditor(reader)
        reader.end()
        if any(bound.source not in SOURCES for bound in bounds):
            raise MalformedError("statement: unknown source of a bound")
        if len(dict(roles)) != len(roles) or len(dict(publics)) != len(publics):
            raise MalformedError("statement names a role or a public value twice")
        return Statement(kind, profile, family, params, roles, publics, run, bounds, auditor)


def _read_public(reader: Reader) -> tuple[str, tuple[int, ...]]:
    name = reader.name()
    n_values = reader.count(MAX_PUBLIC_ENTRIES, "public entries")
    data = reader.raw(8 * n_values)
    return name, tuple(int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(0, len(data), 8))


def _read_auditor(reader: Reader) -> Auditor | None:
    flag = reader.u8()
    if flag > 1:
        raise MalformedError("statement: unknown auditor field")
    return Auditor(reader.name(), reader.raw(32)) if flag else None
