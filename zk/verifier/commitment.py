"""Store tableaux: column checks of the combined opening test (PROTOCOL 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from operator import mul

from zk.protocol.codec import Reader
from zk.protocol.errors import ProximityError
from zk.protocol.field import ZERO, K, P, k_add, root_of_unity
from zk.protocol.hashing import leaf_digest
from zk.protocol.ir import SEG
from zk.protocol.merkle import path_positions
from zk.protocol.proof import Opening, column_values, read_opening
from zk.protocol.schedule import Schedule
from zk.verifier.merkle import verify_paths

BLOCK = 128
SLOT = 17  # bytes for a sum of BLOCK products below 2^128
PACK = 160  # two sums of up to 2^32 products below 2^128 side by side in one Python integer
MASK = (1 << PACK) - 1


@dataclass(frozen=True)
class Committed:
    """What the verifier holds of one tableau: tag, root and the number of field elements in a column."""

    role: str
    tag16: bytes
    root: bytes
    n_values: int


def read_columns(reader: Reader, committed: Committed, indices: list[int], n_columns: int) -> Opening:
    """Parse one opening (its node count follows from the indices) and check it against the committed root."""
    depth = n_columns.bit_length() - 1
    n_nodes = sum(len(level) for level in path_positions(indices, depth))
    opening = read_opening(reader, len(indices), committed.n_values, n_nodes)
    leaves = {
        index: leaf_digest(committed.tag16, index, salt, column)
        for index, salt, column in zip(indices, opening.salts, opening.columns, strict=True)
    }
    verify_paths(committed.root, depth, leaves, opening.nodes, committed.role)
    return opening


def pack(values: list[K]) -> list[int]:
    return [a0 | a1 << PACK for a0, a1 in values]


def unpack(value: int) -> K:
    return (value & MASK) % P, (value >> PACK) % P


def evaluate_many(polynomials: list[list[K]], points: list[int]) -> list[list[K]]:
    """Values of K-polynomials at base-field points, a list for each polynomial: two-level Horner with blocks of 128.

    All blocks lie side by side in 128 long integers, one for each power inside a block, so that one product with a power
    of x serves every block of every polynomial.
    """
    blocks = [coefficients[i : i + BLOCK] for coefficients in polynomials for i in range(0, len(coefficients), BLOCK)]
    columns = [int.from_bytes(b"".join(_slots(block, i) for block in blocks), "little") for i in range(BLOCK)]
    out: list[list[K]] = [[] for _ in polynomials]
    for x in points:
        powers = [1]
        for _ in range(BLOCK - 1):
            powers.append(powers[-1] * x % P)
        giant = powers[-1] * x % P
        raw = sum(map(mul, columns, powers)).to_bytes(2 * SLOT * len(blocks), "little")
        sums = [int.from_bytes(raw[at : at + SLOT], "little") for at in range(0, len(raw), SLOT)]
        start = 0
        for coefficients, values in zip(polynomials, out, strict=True):
            stop = start - 2 * (-len(coefficients) // BLOCK)
            low = high = 0
            for at in range(stop - 2, start - 2, -2):
                low, high = (low * giant + sums[at]) % P, (high * giant + sums[at + 1]) % P
            values.append((low, high))
            start = stop
    return out


def _slots(block: list[K], i: int) -> bytes:
    low, high = block[i] if i < len(block) else ZERO
    return low.to_bytes(SLOT, "little") + high.to_bytes(SLOT, "little")


def bit_reverse(index: int, n_bits: int) -> int:
    return int(format(index, f"0{n_bits}b")[::-1], 2) if n_bits else 0


def domain_points(indices: list[int], n_columns: int, shift: int = 1) -> list[int]:
    """shift * omega_n^bitrev(j) for column numbers j."""
    n_bits = n_columns.bit_length() - 1
    omega = root_of_unity(n_columns)
    return [shift * pow(omega, bit_reverse(j, n_bits), P) % P for j in indices]


def check_columns(schedule: Schedule, openings: list[Opening], indices: list[int], w: list[K], weights: list[K]) -> None:
    """w(eta_j) = S_j + sum_i (r_i + c a_i) U_i[j] at every opened column."""
    values = [[column_values(column) for column in opening.columns] for opening in openings]
    packed = pack(weights)
    for at, expected in enumerate(evaluate_many([w], domain_points(indices, schedule.profile.n))[0]):
        stacked: list[int] = []
        for tableau, columns in zip(schedule.tableaux, values, strict=True):
            rows = columns[at]
            if tableau.role == SEG:
                blinding = (rows[-2], rows[-1])
                rows = rows[:-2]
            stacked += rows
        if k_add(unpack(sum(map(mul, packed, stacked))), blinding) != expected:
            raise ProximityError(f"column {indices[at]} of the store tableaux contradicts w")
