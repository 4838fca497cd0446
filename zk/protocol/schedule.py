"""The schedule of a program: every message, challenge, claim and pad, as data (PROTOCOL 7.9, 14).

Prover and verifier walk the same `Schedule`, a function of the program alone (`zk.protocol.compiler`). A *slot* is the
position of a masked scalar in the proof; a slot is also the number of its pad.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zk.protocol.functional import BlockWeight, Functional
from zk.protocol.ir import Equation, Lookup, Program
from zk.protocol.layout import Layout
from zk.protocol.params import PadProfile, StoreProfile
from zk.protocol.tables import Table

LEAF_POINT = "leaf"
RAW_POINT = "raw"


@dataclass(frozen=True)
class Value:
    """sum of coef * slot minus the values of public claims."""

    slots: tuple[tuple[int, int], ...] = ()
    publics: tuple[tuple[Functional, str], ...] = ()


@dataclass(frozen=True)
class Lin:
    """A linear claim on store tableaux; `value` is a `Value` or the name of a leaf claim ("leaf.p", "leaf.q")."""

    parts: tuple[tuple[Functional, str], ...]
    value: Value | str
    raw: tuple[tuple[int, str], ...] = ()  # (coefficient, role): REFRESH only


@dataclass(frozen=True)
class Split:
    """A masked value u = <functional, product>."""

    slot: int
    product: str
    functional: Functional


@dataclass(frozen=True)
class End:
    """A masked operand value alpha = <functional, tensor> at the end of a level."""

    slot: int
    tensor: str
    functional: Functional


@dataclass(frozen=True)
class Operand:
    """One side of an instance: the claim on it and its slot, or slot -1 for a tensor the verifier evaluates."""

    tensor: str
    functional: Functional
    slot: int


@dataclass(frozen=True)
class Instance:
    """sum over bound x of C(x) A(x) B(x) = value, with C from `claim` on bound output dims and Ones on contracted dims."""

    product: str
    claim: Functional
    value: Value
    bound: tuple[str, ...]
    n_vars: int
    a: Operand
    b: Operand


@dataclass
class Level:
    number: int
    n_vars: int
    instances: list[Instance] = field(default_factory=list)
    rounds: list[tuple[int, int, int]] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)

    @property
    def point(self) -> str:
        return f"level.{self.number}"


@dataclass(frozen=True)
class Block:
    """A LogUp block of 2^log_size leaves: leading bits `index` of `n_bits`; a lookup column or a table."""

    log_size: int
    offset: int
    tag: int
    lookup: Lookup | None

    def weight(self, depth: int, second: bool = False) -> BlockWeight:
        return BlockWeight(depth - self.log_size, self.offset >> self.log_size, second)


@dataclass
class LookupSchedule:
    tables: list[Table]
    blocks: list[Block]
    depth: int
    used: int
    q0: int = -1
    inverse: int = -1
    layers: list[tuple[list[tuple[int, int, int]], tuple[int, int, int, int]]] = field(default_factory=list)


@dataclass
class Tableau:
    """One store tableau of a proof: its role, layout and position of its first message row in the stacked matrix."""

    role: str
    layout: Layout
    first_row: int
    log_rows: int
    n_vars: int


@dataclass
class Schedule:
    program: Program
    profile: StoreProfile
    pad_profile: PadProfile
    tableaux: list[Tableau]
    lookups: LookupSchedule | None = None
    spaces: dict[tuple[str, ...], int] = field(default_factory=dict)
    equations: list[Equation] = field(default_factory=list)
    terms: list[Split] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    lins: list[Lin] = field(default_factory=list)
    batch_rounds: list[tuple[int, int]] = field(default_factory=list)
    vr: int = -1
    n_scalars: int = 0
    products: list[tuple[int, int]] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        return sum(item.layout.n_rows for item in self.tableaux)

    @property
    def batch_vars(self) -> int:
        return max((item.n_vars for item in self.tableaux if item.layout.n_rows), default=0)

    def tableau(self, role: str) -> Tableau:
        return next(item for item in self.tableaux if item.role == role)


def space_label(dims: tuple[str, ...]) -> str:
    return "12.point." + (".".join(dims) or "scalar")
