"""Program families over a committed dataset: certificate, label histogram, predicate count, nearest row (PROTOCOL 12.1, 19)."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.bounds import Interval
from zk.protocol.codec import Reader, Writer
from zk.protocol.errors import MalformedError, ProgramError
from zk.protocol.functional import Select, SumDim, Term
from zk.protocol.ir import Builder, Program, one, term
from zk.protocol.params import MAX_DATASET_ROWS, MAX_WIDTH
from zk.protocol.relations.binary import one_hot
from zk.protocol.relations.compare import at_least
from zk.protocol.relations.rescale import declare_limbs, signed_window

TARGETS = ("onehot", "value")
MAX_GROUPS = 256


@dataclass(frozen=True)
class DatasetSpec:
    """Shape and windows of a dataset tableau.

    Tensors: X[rows, features] in signed `x_bits` at scale `x_scale`; Y[rows, n_targets], one-hot or signed `y_bits`
    integers at scale `y_scale`; G[rows, groups] one-hot when groups > 0; norm2[rows] = sum of squares of X.
    """

    rows: int
    features: int
    x_bits: int
    x_scale: int
    targets: str
    n_targets: int
    y_bits: int
    y_scale: int
    groups: int = 0

    def check(self) -> None:
        if not 1 <= self.rows <= MAX_DATASET_ROWS or not 1 <= self.features <= MAX_WIDTH:
            raise ProgramError(f"dataset of {self.rows} rows and {self.features} features is outside the limits")
        if self.targets not in TARGETS or not 1 <= self.n_targets <= MAX_WIDTH or not 0 <= self.groups <= MAX_GROUPS:
            raise ProgramError(f"dataset with {self.n_targets} {self.targets} targets and {self.groups} groups")
        if not 1 <= self.x_bits <= 16 or not 1 <= self.y_bits <= 16 or self.x_scale > 40 or self.y_scale > 40:
            raise ProgramError(f"dataset windows of {self.x_bits} and {self.y_bits} bits; 1 to 16 are possible")

    def shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """(layout name, shape) in declaration order."""
        out: list[tuple[str, tuple[int, ...]]] = [("X", (self.rows, self.features)), ("Y", (self.rows, self.n_targets))]
        if self.groups:
            out.append(("G", (self.rows, self.groups)))
        return [*out, ("norm2", (self.rows,))]

    def intervals(self) -> dict[str, Interval]:
        """What a dataset certificate of this spec establishes, by layout name."""
        x, y = 1 << (self.x_bits - 1), 1 << (self.y_bits - 1)
        out: dict[str, Interval] = {"X": (-x, x - 1), "Y": (0, 1) if self.targets == "onehot" else (-y, y - 1)}
        if self.groups:
            out["G"] = (0, 1)
        return out | {"norm2": (0, self.features * x * x)}

    def bounds(self) -> dict[str, Interval]:
        """`intervals` by program tensor name."""
        return {f"D.{name}": interval for name, interval in self.intervals().items()}

    def encode(self) -> bytes:
        writer = Writer().u64(self.rows).u32(self.features).u8(self.x_bits).u8(self.x_scale)
        writer.u8(TARGETS.index(self.targets)).u32(self.n_targets).u8(self.y_bits).u8(self.y_scale).u32(self.groups)
        return writer.bytes()

    @staticmethod
    def read(reader: Reader) -> DatasetSpec:
        rows, features, x_bits, x_scale, targets = reader.u64(), reader.u32(), reader.u8(), reader.u8(), reader.u8()
        if targets >= len(TARGETS):
            raise MalformedError(f"unknown target kind {targets}")
        n_targets, y_bits, y_scale, groups = reader.u32(), reader.u8(), reader.u8(), reader.u32()
        spec = DatasetSpec(rows, features, x_bits, x_scale, TARGETS[targets], n_targets, y_bits, y_scale, groups)
        spec.check()
        return spec


def declare_dataset(b: Builder, spec: DatasetSpec, n: str, f: str, c: str) -> None:
    """Declare every tensor of role D, so that its layout is complete even where a program reads only part of it."""
    b.stored("D.X", "D", n, f)
    b.stored("D.Y", "D", n, c)
    if spec.groups:
        b.stored("D.G", "D", n, b.dim("g", spec.groups))
    b.stored("D.norm2", "D", n)


def _dataset_builder(spec: DatasetSpec) -> tuple[Builder, str, str, str]:
    b = Builder(["D"])
    n, f, c = b.dim("n", spec.rows), b.dim("f0", spec.features), b.dim("c", spec.n_targets)
    declare_dataset(b, spec, n, f, c)
    return b, n, f, c


def build_dataset_certificate(spec: DatasetSpec) -> Program:
    """Windows of X and Y, one-hot rows, norm2 = sum X^2."""
    b, n, f, c = _dataset_builder(spec)
    signed_window(b, "D.X", (n, f), spec.x_bits)
    if spec.targets == "onehot":
        one_hot(b, "D.Y", (n, c), c)
    else:
        signed_window(b, "D.Y", (n, c), spec.y_bits)
    if spec.groups:
        one_hot(b, "D.G", (n, "g"), "g")
    squares = b.product("norm2.sum", (n,), "D.X", "D.X")
    b.equation((n,), term("D.norm2"), term(squares, -1))
    return b.finish()


def build_label_histogram(spec: DatasetSpec, counts: tuple[int, ...]) -> Program:
    """counts[c] = number of rows with label c."""
    if spec.targets != "onehot":
        raise ProgramError("a label histogram needs one-hot targets")
    b, n, _, c = _dataset_builder(spec)
    out = b.public("out.counts", (c,), counts)
    b.equation((c,), term("D.Y", 1, SumDim(n)), term(out, -1))
    return b.finish()


def build_predicate_count(spec: DatasetSpec, feature: int, threshold: int, counts: tuple[int, ...]) -> Program:
    """counts[c] = number of rows with X[., feature] >= threshold (in integer units) and label c."""
    if spec.targets != "onehot" or not 0 <= feature < spec.features:
        raise ProgramError(f"predicate on feature {feature} needs one-hot targets and a feature below {spec.features}")
    if not -(1 << spec.x_bits) <= threshold <= 1 << spec.x_bits:
        raise ProgramError(f"threshold {threshold} is outside the feature window of {spec.x_bits} bits")
    b, n, f, c = _dataset_builder(spec)
    out = b.public("out.counts", (c,), counts)
    shift = (one(-threshold),) if threshold else ()
    difference = (term("D.X", 1, Select(f, feature)), *shift)
    bit = at_least(b, "pred", (n,), difference, spec.x_bits + 1)
    joint = b.product("pred.joint", (c,), bit, "D.Y")
    b.equation((c,), term(joint), term(out, -1))
    return b.finish()


def build_nearest_row(spec: DatasetSpec, query: tuple[int, ...], distance: int) -> Program:
    """distance = min over rows of |X[n] - query|^2 in squared integer units; which row attains it stays hidden."""
    top = 1 << spec.x_bits
    if len(query) != spec.features or any(abs(value) > top for value in query):
        raise ProgramError(f"query of {len(query)} values; {spec.features} integers of at most {spec.x_bits} bits expected")
    limit = spec.features * top * top * 4
    if not 0 <= distance <= limit:
        raise ProgramError(f"distance {distance} is outside 0..{limit}")
    b, n, f, _ = _dataset_builder(spec)
    chosen = b.stored("nearest.e", "SEG", n)
    one_hot(b, chosen, (n,), n)
    shift = one(sum(value * value for value in query) - distance)
    cross: tuple[Term, ...] = (term("D.X", -2, SumDim(f, query)),)
    excess = b.virtual("nearest.excess", (n,), term("D.norm2"), *cross, *((shift,) if shift.coef else ()))
    b.equation((n,), term(b.product("nearest.attained", (n,), chosen, excess)))
    limbs = declare_limbs(b, "nearest", (n,), limit.bit_length())
    b.equation((n,), term(excess), *(item.scaled(-1) for item in limbs))
    return b.finish()
