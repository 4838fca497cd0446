"""Known-answer vectors from the text of zk/PROTOCOL.md alone: standard library, no code of the project.

python tests/vectors/generate.py        writes the JSON files next to this one
"""

from __future__ import annotations

import decimal
import hashlib
import json
import struct
from itertools import product
from pathlib import Path
from typing import Any

P = 2**64 - 2**32 + 1
HERE = Path(__file__).parent
K = tuple[int, int]


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def mul(a: K, b: K) -> K:
    return (a[0] * b[0] + 7 * a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def add(a: K, b: K) -> K:
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def omega(order: int) -> int:
    return pow(7, (P - 1) // order, P)


def field() -> dict[str, Any]:
    a, b = (P - 1, 2), (3, P - 5)
    pairs = [((1, 2), (3, 4)), (a, b), ((P // 2, P // 3), (P - 1, P - 2)), ((2**32, 2**32 - 1), (2**63, 5))]
    return {
        "p": P,
        "omega": {str(n): omega(n) for n in (2**32, 2**16, 4096, 512, 128, 16)},
        "products": [[x, y, mul(x, y)] for x, y in pairs],
        "sums": [[x, y, add(x, y)] for x, y in pairs],
        "centred": [[x, x if x <= P // 2 else x - P] for x in (0, 1, P // 2, P // 2 + 1, P - 1)],
    }


class Chain:
    """The transcript of section 3."""

    def __init__(self) -> None:
        self.s = sha(b"zkaudit/v1/transcript")

    def absorb(self, label: bytes, kind: int, data: bytes) -> None:
        self.s = sha(b"\1", self.s, struct.pack("<H", len(label)), label, bytes([kind]), struct.pack("<Q", len(data)), data)

    def blocks(self, label: bytes, n: int) -> Any:
        k = sha(b"\2", self.s, struct.pack("<H", len(label)), label, struct.pack("<Q", n))
        self.s = sha(b"\4", self.s, k)
        return (sha(b"\3", k, struct.pack("<Q", i)) for i in range(1 << 30))

    def elements(self, label: bytes, n: int) -> list[K]:
        words: list[int] = []
        for block in self.blocks(label, n):
            words += [w for w in struct.unpack("<4Q", block) if w < P]
            if len(words) >= 2 * n:
                return [(words[2 * i], words[2 * i + 1]) for i in range(n)]
        raise AssertionError

    def indices(self, label: bytes, bound: int, t: int) -> list[int]:
        found: list[int] = []
        for block in self.blocks(label, t):
            for w in struct.unpack("<8I", block):
                if w % bound not in found and len(found) < t:
                    found.append(w % bound)
            if len(found) == t:
                return sorted(found)
        raise AssertionError


def transcript() -> dict[str, Any]:
    c = Chain()
    c.absorb(b"T1.statement", 2, bytes(range(32)))
    after = c.s.hex()
    alpha = c.elements(b"T5.alpha", 2)
    drawn = c.s.hex()
    q = c.indices(b"T20.Q", 65536, 6)
    more = Chain()
    more.absorb(b"f", 1, struct.pack("<3Q", 1, 2, P - 1))
    more.absorb(b"k", 3, struct.pack("<4Q", 1, 2, 3, 4))
    return {
        "after_absorb": after,
        "alpha": alpha,
        "after_draw": drawn,
        "indices": q,
        "typed": more.s.hex(),
        "many": Chain().elements(b"many", 9),
        "small_domain": Chain().indices(b"x", 128, 100),
    }


def eq(z: list[K], i: int) -> K:
    out: K = (1, 0)
    for j, c in enumerate(z):
        out = mul(out, c if i >> (len(z) - 1 - j) & 1 else ((1 - c[0]) % P, -c[1] % P))
    return out


def total(items: list[K]) -> K:
    out: K = (0, 0)
    for item in items:
        out = add(out, item)
    return out


def multilinear() -> dict[str, Any]:
    """Closed forms by their defining sums."""
    points = Chain().elements(b"points", 12)
    cases = []
    for n in (1, 2, 3, 4):
        z, r = points[:n], points[6 : 6 + n]
        for d in range(1, 2**n + 1):
            both = total([mul(eq(z, i), eq(r, i)) for i in range(d)])
            cases.append({"z": z, "r": r, "d": d, "eq": both, "ones": total([eq(r, i) for i in range(d)])})
    z, r = points[:3], points[6:9]
    pairs = [(i, j) for i, j in product(range(8), repeat=2) if i < j]
    weights = (3, 1, 4, 1, 5, 9, 2, 6)
    suffix = [total([mul((weights[s], 0), eq(z, t)) for t in range(s + 1, 8)]) for s in range(8)]
    prefix = [total([eq(z, t) for t in range(s, 8)]) for s in range(8)]
    return {
        "prefix_sums": cases,
        "less_than": {"x": z, "y": r, "value": total([mul(eq(z, i), eq(r, j)) for i, j in pairs])},
        "index": {"r": r, "value": total([mul((i, 0), eq(r, i)) for i in range(8)])},
        "kernel": {"z": z, "weights": weights, "pull_back": suffix},
        "running": {"z": z, "pull_back": prefix},
    }


def reversed_bits(j: int, n: int) -> int:
    return int(format(j, f"0{n.bit_length() - 1}b")[::-1], 2)


def codeword(coefficients: list[int], n: int, columns: list[int], shift: int = 1) -> list[int]:
    xs = [shift * pow(omega(n), reversed_bits(j, n), P) % P for j in columns]
    return [sum(c * pow(x, i, P) for i, c in enumerate(coefficients)) % P for x in xs]


def encoding() -> dict[str, Any]:
    row = [(17 * i * i + 3) % P for i in range(2048)]
    coset = [(i + 1) * 0x9E3779B97F4A7C15 % P for i in range(24)]
    return {
        "small": codeword([1, 2, 3, 4, 5, 6], 16, list(range(16))),
        "S10": {"columns": [0, 1, 2, 4097, 8191], "values": codeword(row, 8192, [0, 1, 2, 4097, 8191])},
        "TOYP": {"row": coset, "values": codeword(coset, 128, list(range(8)), shift=7)},
    }


def exp_table(s_z: int, s_e: int, w: int) -> list[int]:
    with decimal.localcontext(decimal.Context(prec=60)) as context:
        half, scale = decimal.Decimal("0.5"), decimal.Decimal(2**s_e)
        exact = [(scale * (decimal.Decimal(-u) / 2**s_z).exp(context) + half) for u in range(2**w)]
        return [int(v.to_integral_value(decimal.ROUND_FLOOR)) for v in exact]


def tables() -> dict[str, Any]:
    large, small = exp_table(6, 11, 13), exp_table(2, 4, 5)
    digest = sha(struct.pack(f"<{len(large)}I", *large)).hex()
    spots = {"64": large[64], "487": large[487], "first_zero": large.index(0)}
    return {"exp_6_11_13": {"first": large[:6], "sha256": digest, **spots}, "exp_2_4_5": small}


def order() -> dict[str, Any]:
    def permutation(seed: bytes, epoch: int, n: int) -> list[int]:
        stream = b"".join(sha(b"zkaudit/v1/order", seed, struct.pack("<II", epoch, i)) for i in range((n + 1) // 2))
        return sorted(range(n), key=lambda i: (stream[16 * i : 16 * i + 16], i))

    seed = bytes(range(32))
    first = permutation(seed, 0, 11), permutation(seed, 1, 11)
    steps = [(first[t // 3])[t % 3 * 3 : t % 3 * 3 + 3] for t in range(1, 5)]
    init = [[w * 5 for b in range(2) for w in struct.unpack("<16h", sha(b"zkaudit/v1/init", seed, struct.pack("<II", 3, b)))]]
    run = sha(b"zkaudit/v1/seed", *(bytes([i]) * 32 for i in (1, 2, 3, 4)), struct.pack("<Q", 77), bytes([5]) * 32)
    anchor = permutation(bytes(32), 0, 1797)[:8]
    return {"anchor_1797": anchor, "steps_1_to_4_of_11_by_3": steps, "init_3_scale_5": init[0][:20], "run_seed": run.hex()}


def node(level: int, index: int, left: bytes, right: bytes) -> bytes:
    return sha(b"\x12", struct.pack("<BI", level, index), left, right)


def hashing() -> dict[str, Any]:
    layout, context, root = bytes([7]) * 32, bytes([8]) * 32, bytes([9]) * 32
    tags = {str(kind): sha(b"\x14", bytes([kind]), layout, context)[:16].hex() for kind in range(1, 7)}
    tag, salt = bytes(range(16)), bytes(range(16, 32))
    head = tag + struct.pack("<I", 5) + salt
    column = struct.pack("<600Q", *(i * i for i in range(600)))
    bands = [sha(b"\x10", column[at : at + 2048]) for at in range(0, 4800, 2048)]
    narrow, exact = sha(b"\x15", head, column[:80]), sha(b"\x15", head, column[:2048])
    bodies, digests = {}, {}
    for kind in range(1, 7):
        body = struct.pack("<I", 3) + b"S10" + bytes([kind]) + context + layout + struct.pack("<II", 12, 8192) + root
        bodies[str(kind)], digests[str(kind)] = body.hex(), sha(b"\x13", body).hex()
    return {
        "tags": tags,
        "records": bodies,
        "record_digests": digests,
        "leaf_narrow_10": narrow.hex(),
        "leaf_narrow_256": exact.hex(),
        "leaf_banded_600": sha(b"\x11", head, *bands).hex(),
        "octopus": octopus([1, 4, 5, 14], 16),
    }


def octopus(indices: list[int], n: int) -> dict[str, Any]:
    levels = [[sha(b"leaf", bytes([i])) for i in range(n)]]
    while len(levels[-1]) > 1:
        below, number = levels[-1], len(levels) - 1
        levels.append([node(number, i, below[2 * i], below[2 * i + 1]) for i in range(len(below) // 2)])
    path, known = [], sorted(indices)
    for level in levels[:-1]:
        path += [level[i ^ 1].hex() for i in known if i ^ 1 not in known]
        known = sorted({i // 2 for i in known})
    leaves = {str(i): levels[0][i].hex() for i in indices}
    return {"n": n, "leaves": leaves, "path": path, "root": levels[-1][0].hex()}


def relations() -> dict[str, Any]:
    """Every stored value that the relations of sections 9 and 11 determine, from their inputs."""
    rescaled = [[v, y := (v + 8) // 16, v + 8 - 16 * y] for v in range(-40, 41)]
    relu = [[y, int(y >= 0), y if y >= 0 else -y - 1, max(y, 0)] for y in range(-5, 6)]
    table, rows = exp_table(2, 4, 5), []
    for z in ((4, -1, 4), (9, 2, 0), (0, 0, 0), (-3, 5, -16)):
        m = max(z)
        e = [table[m - v] for v in z]
        s = sum(e)
        p = [((e_j << 4) + s) // (2 * s) for e_j in e]
        r = [(e_j << 4) + s - 2 * s * p_j for e_j, p_j in zip(e, p, strict=True)]
        rows.append({"z": z, "m": m, "d": [m - v for v in z], "E": e, "p": p, "r": r})
    return {"rescale_16": rescaled, "relu": relu, "softmax_2_4_3": rows}


FILES = {
    "field": field,
    "transcript": transcript,
    "multilinear": multilinear,
    "encoding": encoding,
    "tables": tables,
    "order": order,
    "hashing": hashing,
    "relations": relations,
}


def render(name: str) -> str:
    return json.dumps(FILES[name](), indent=1) + "\n"


if __name__ == "__main__":
    for name in FILES:
        (HERE / f"{name}.json").write_text(render(name))
