"""The zero-knowledge simulator (zk/PROTOCOL.md section 16): proofs without a witness, under an oracle chosen first.

`FrozenOracle` replaces the transcript's draws by a fixed function of label and count, which is what programming the random
oracle amounts to here. `simulate` then produces statement and proof from public data alone: masked scalars, answers and
opened columns are uniform, blinding values are solved from the verifier's own checks, unopened leaves are random strings.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace

from zk.protocol.claims.constraints import draw_pad_challenge
from zk.protocol.claims.replay import Replayed, replay
from zk.protocol.codec import encode_f
from zk.protocol.compiler import compile_schedule
from zk.protocol.field import ZERO, K, P, k_add, k_mul, k_scale, k_sub, root_of_unity
from zk.protocol.hashing import leaf_digest, node_digest
from zk.protocol.ir import SEG
from zk.protocol.merkle import path_positions
from zk.protocol.padlayout import N_BLINDING_ROWS, PadLayout, pad_layout
from zk.protocol.preamble import fresh_tags
from zk.protocol.programs.families import build_program
from zk.protocol.proof import Opening, Proof, encode_opening
from zk.protocol.record import Record, tag16
from zk.protocol.schedule import Schedule
from zk.protocol.statement import Statement
from zk.protocol.transcript import Transcript
from zk.verifier.commitment import domain_points


class FrozenOracle(Transcript):
    """Challenges fixed in advance by `seed`: they depend on label and count only, never on what was absorbed."""

    seed = b"frozen"

    def _source(self, label: str, n: int) -> random.Random:
        self.key(label, n)
        return random.Random(hashlib.sha256(self.seed + f"{label} {n}".encode()).digest())

    def challenge_k(self, label: str, n: int) -> list[K]:
        source = self._source(label, n)
        return [(source.randrange(P), source.randrange(P)) for _ in range(n)]

    def challenge_indices(self, label: str, bound: int, n: int) -> list[int]:
        return sorted(self._source(label, n).sample(range(bound), n))


@dataclass
class Committed:
    """A simulated tableau: random leaves but for the opened columns."""

    root: bytes
    opening: Opening


def commit_columns(rng: random.Random, tag: bytes, columns: dict[int, list[int]], n_columns: int) -> Committed:
    """Merkle tree whose leaves at the opened indices hash the given columns and are random strings elsewhere."""
    salts = {index: rng.randbytes(16) for index in columns}
    data = {index: encode_f(values) for index, values in columns.items()}
    level = [leaf_digest(tag, j, salts[j], data[j]) if j in columns else rng.randbytes(32) for j in range(n_columns)]
    levels = [level]
    for number in range(n_columns.bit_length() - 1):
        below = levels[-1]
        levels.append([node_digest(number, i, below[2 * i], below[2 * i + 1]) for i in range(len(below) // 2)])
    indices = sorted(columns)
    positions = path_positions(indices, n_columns.bit_length() - 1)
    nodes = [levels[number][i] for number, missing in enumerate(positions) for i in missing]
    return Committed(levels[-1][0], Opening([salts[j] for j in indices], [data[j] for j in indices], nodes))


def element(rng: random.Random) -> K:
    return rng.randrange(P), rng.randrange(P)


def evaluate_many(coefficients: list[K], points: list[int]) -> list[K]:
    """A K-polynomial at base-field points."""
    out = []
    for x in points:
        value = ZERO
        for coefficient in reversed(coefficients):
            value = k_add(k_scale(value, x), coefficient)
        out.append(value)
    return out


def interpolate(slots: list[K]) -> list[K]:
    """Coefficients of the polynomial with the given values on <omega_l>, by the defining sum."""
    size = len(slots)
    root, scale = pow(root_of_unity(size), -1, P), pow(size, -1, P)
    powers = [pow(root, i, P) for i in range(size)]
    return [
        tuple(sum(value[part] * powers[i * j % size] for i, value in enumerate(slots)) * scale % P for part in (0, 1))  # type: ignore[misc]
        for j in range(size)
    ]


def simulate(st: Statement, rng: random.Random, oracle: type[FrozenOracle] = FrozenOracle) -> tuple[bytes, bytes]:
    """A statement like `st` (its records replaced by simulated ones) and a proof of it, from nothing secret.

    The caller must have put `oracle` in the place of `Transcript` where `replay` looks it up.
    """
    schedule = compile_schedule(build_program(st), st.store_profile, st.pad_profile)
    layout, profile = pad_layout(schedule), schedule.profile
    indices = oracle().challenge_indices("28.columns", profile.n, profile.t)
    columns: dict[str, dict[int, list[int]]] = {}
    openings: list[Committed] = []
    roles: list[tuple[str, Record]] = []
    for role, record in st.roles:
        columns[role] = {j: [rng.randrange(P) for _ in range(record.n_rows)] for j in indices}
        tag = tag16(record.kind, record.layout, record.context)
        openings.append(commit_columns(rng, tag, columns[role], profile.n))
        roles.append((role, replace(record, root=openings[-1].root)))
    st = replace(st, roles=tuple(roles))
    scalars = [element(rng) for _ in range(schedule.n_scalars)]
    w = [element(rng) for _ in range(profile.k)]
    done = replay(st, st.digest(), schedule, layout, (bytes(32), bytes(32)), scalars, w)
    seg = _seg_columns(rng, schedule, done, columns, indices, w)
    openings.append(commit_columns(rng, done.tags[0], seg, profile.n))
    answers, pad_columns = _pad_tableau(rng, schedule, layout, done, oracle)
    pads = commit_columns(rng, fresh_tags(schedule, layout, st.digest())[1], pad_columns, layout.profile.n)
    tail = b"".join(encode_opening(item.opening) for item in [*openings, pads])
    proof = Proof(st.digest(), openings[-1].root, pads.root, scalars, w, *answers, tail)
    return st.encode(), proof.encode()


def _seg_columns(
    rng: random.Random,
    schedule: Schedule,
    done: Replayed,
    columns: dict[str, dict[int, list[int]]],
    indices: list[int],
    w: list[K],
) -> dict[int, list[int]]:
    """Uniform message rows of SEG; S from the check w(eta_j) = S_j + sum weights_i U_i[j]."""
    out = {}
    n_rows = schedule.tableau(SEG).layout.n_rows
    for j, expected in zip(indices, evaluate_many(w, domain_points(indices, schedule.profile.n)), strict=True):
        rows = [rng.randrange(P) for _ in range(n_rows)]
        stacked = [
            value for tableau in schedule.tableaux for value in (rows if tableau.role == SEG else columns[tableau.role][j])
        ]
        total = ZERO
        for value, weight in zip(stacked, done.row_weights, strict=True):
            total = k_add(total, k_scale(weight, value))
        out[j] = [*rows, *k_sub(expected, total)]
    return out


def _pad_tableau(
    rng: random.Random, schedule: Schedule, layout: PadLayout, done: Replayed, oracle: type[FrozenOracle]
) -> tuple[tuple[list[K], list[K], list[K]], dict[int, list[int]]]:
    """Uniform answers with the one public sum, uniform columns; L0, G0 and B_ldt solved from the three checks."""
    profile = layout.profile
    challenge = draw_pad_challenge(done.transcript, done.pads, schedule, layout)
    ldt, linear, quadratic = ([element(rng) for _ in range(n)] for n in (profile.k, profile.n_linear, profile.n_quadratic))
    rest = ZERO
    for coefficient in linear[profile.l :: profile.l]:
        rest = k_add(rest, coefficient)
    linear[0] = k_sub(k_scale(challenge.target, pow(profile.l, -1, P)), rest)
    indices = oracle().challenge_indices("28.columns.pad", profile.n, profile.t)
    xs = domain_points(indices, profile.n, shift=7)
    weights = {row: evaluate_many(interpolate(slots), xs) for row, slots in challenge.rows.items()}
    values = [evaluate_many(poly, xs) for poly in (ldt, linear, quadratic)]
    out = {}
    for at, (j, x) in enumerate(zip(indices, xs, strict=True)):
        u = [element(rng) for _ in range(layout.n_rows)]
        total = k_scale(u[2], pow(x, profile.l, P))
        for row, evaluations in weights.items():
            total = k_add(total, k_mul(evaluations[at], u[row]))
        u[1] = k_sub(values[1][at], total)
        vanishing, products = (pow(x, profile.l, P) - 1) % P, ZERO
        for group, weight in enumerate(challenge.quadratic):
            first = N_BLINDING_ROWS + layout.n_single_rows + 3 * group
            products = k_add(products, k_mul(weight, k_sub(k_mul(u[first], u[first + 1]), u[first + 2])))
        shifted = k_add(k_scale(u[4], pow(x, profile.quadratic_shift, P)), k_scale(products, pow(vanishing, -1, P)))
        u[3] = k_sub(values[2][at], shifted)
        total = ZERO
        for value, weight in zip(u[1:], challenge.ldt, strict=True):
            total = k_add(total, k_mul(weight, value))
        u[0] = k_sub(values[0][at], total)
        out[j] = [part for value in u for part in value]
    return (ldt, linear, quadratic), out
