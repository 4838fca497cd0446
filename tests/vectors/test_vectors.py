"""Known-answer vectors: the files are what the independent generator writes, and what the product computes."""

from __future__ import annotations

import ast
import json
import struct
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.soundness.statements import SPEC
from tests.vectors import generate
from zk.protocol.claims import multilinear
from zk.protocol.field import P, centred, k_add, k_mul, root_of_unity
from zk.protocol.functional import Kernel, Prefix
from zk.protocol.hashing import leaf_digest
from zk.protocol.merkle import path_positions
from zk.protocol.order import batch_order, epoch_permutation, initial_values, run_seed
from zk.protocol.record import Record, tag16
from zk.protocol.tables import exp_values
from zk.protocol.transcript import Transcript
from zk.prover.backend import kernels
from zk.prover.execution.exact import round_shift
from zk.prover.execution.loss import SoftmaxTrace
from zk.prover.execution.training import _Hidden, _hidden_tensors
from zk.prover.execution.windows import rescale_limbs
from zk.prover.merkle import build_tree, open_paths
from zk.verifier.commitment import domain_points
from zk.verifier.merkle import verify_paths

HERE = Path(__file__).parent


def load(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text())


def pairs(values: Any) -> list[tuple[int, int]]:
    return [(a, b) for a, b in values]


@pytest.mark.parametrize("name", sorted(generate.FILES))
def test_files_are_what_the_generator_writes(name: str) -> None:
    assert (HERE / f"{name}.json").read_text() == generate.render(name)


def test_generator_is_independent() -> None:
    """Standard library only, nothing of the project."""
    tree = ast.parse((HERE / "generate.py").read_text())
    names = {alias.name for item in ast.walk(tree) if isinstance(item, ast.Import) for alias in item.names}
    names |= {str(item.module) for item in ast.walk(tree) if isinstance(item, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_anchors_of_the_design() -> None:
    """The published anchors of section 21, so that generator and product cannot drift together."""
    field, transcript, tables, order = load("field"), load("transcript"), load("tables"), load("order")
    assert field["omega"] | {"128": 0, "16": 0} == {
        "4294967296": 1753635133440165772,
        "65536": 6115771955107415310,
        "4096": 17492915097719143606,
        "512": 1803076106186727246,
        "128": 0,
        "16": 0,
    }
    assert field["products"][1][2] == [18446744069414584248, 11]
    assert transcript["after_absorb"] == "28c74548e66a93d4cc6ce84617b99aedb0c68de2076b90a9e8fa884770fa9d26"
    assert transcript["after_draw"] == "39c01486387db8d83d0719eb3206a98e66e6a86972f890114e0ec79d9f5d4024"
    assert transcript["alpha"] == [[6444934749647932978, 4358450237472157237], [6098972103258150783, 7031219730743547268]]
    assert transcript["indices"] == [4499, 19916, 52380, 60110, 60751, 62663]
    assert tables["exp_6_11_13"] == {
        "first": [2048, 2016, 1985, 1954, 1924, 1894],
        "sha256": "ccf59fb04c112c4ea0e4fafcbcd3df057dce4e832c88f9983c6503b6fe85c21c",
        "64": 753,
        "487": 1,
        "first_zero": 533,
    }
    assert order["anchor_1797"] == [218, 1624, 776, 1098, 1587, 980, 241, 265]
    assert load("encoding")["small"][:4] == [21, 18446744069414584318, 1125899906842627, 18445618169507741700]


def test_field() -> None:
    data = load("field")
    assert data["p"] == P
    assert all(root_of_unity(int(n)) == value for n, value in data["omega"].items())
    assert all(k_mul(tuple(a), tuple(b)) == tuple(c) for a, b, c in data["products"])
    assert all(k_add(tuple(a), tuple(b)) == tuple(c) for a, b, c in data["sums"])
    assert all(centred(x) == value for x, value in data["centred"])
    for a, b, c in data["products"]:
        left, right = (np.array([[x[0]], [x[1]]], dtype=np.uint64) for x in (a, b))
        assert kernels.k_mul(left, right).ravel().tolist() == c


def test_transcript() -> None:
    data, transcript = load("transcript"), Transcript()
    transcript.absorb("T1.statement", 2, bytes(range(32)))
    assert transcript.state.hex() == data["after_absorb"]
    assert transcript.challenge_k("T5.alpha", 2) == pairs(data["alpha"])
    assert transcript.state.hex() == data["after_draw"]
    assert transcript.challenge_indices("T20.Q", 65536, 6) == data["indices"]
    typed = Transcript()
    typed.absorb_f("f", [1, 2, P - 1])
    typed.absorb_k("k", [(1, 2), (3, 4)])
    assert typed.state.hex() == data["typed"]
    assert Transcript().challenge_k("many", 9) == pairs(data["many"])
    assert Transcript().challenge_indices("x", 128, 100) == data["small_domain"]


def test_multilinear() -> None:
    data = load("multilinear")
    for case in data["prefix_sums"]:
        z, r = pairs(case["z"]), pairs(case["r"])
        assert multilinear.eq_prefix(z, r, case["d"]) == tuple(case["eq"])
        assert multilinear.ones_prefix(r, case["d"]) == tuple(case["ones"])
    assert multilinear.index_extension(pairs(data["index"]["r"])) == tuple(data["index"]["value"])
    z = pairs(data["kernel"]["z"])
    table = multilinear.eq_table(z)
    assert [multilinear.eq_index(z, i) for i in range(8)] == table
    assert Kernel("t", tuple(data["kernel"]["weights"])).transpose(table) == pairs(data["kernel"]["pull_back"])
    assert Prefix("t").transpose(table) == pairs(data["running"]["pull_back"])
    less = data["less_than"]
    rows = Kernel("t", (1,) * 8).transpose(multilinear.eq_table(pairs(less["y"])))  # sum over j > i, then against eq(x)
    total = (0, 0)
    for weight, value in zip(multilinear.eq_table(pairs(less["x"])), rows, strict=True):
        total = k_add(total, k_mul(weight, value))
    assert total == tuple(less["value"])


def test_encoding() -> None:
    data = load("encoding")
    small = kernels.encode(np.arange(1, 7, dtype=np.uint64)[None], 16)
    assert small[:, 0].tolist() == data["small"]
    row = np.array([[(17 * i * i + 3) % P for i in range(2048)]], dtype=np.uint64)
    assert kernels.encode(row, 8192)[data["S10"]["columns"], 0].tolist() == data["S10"]["values"]
    coset = np.array([data["TOYP"]["row"]], dtype=np.uint64)
    assert kernels.encode(coset, 128, 7)[:8, 0].tolist() == data["TOYP"]["values"]
    xs = domain_points(list(range(8)), 128, shift=7)
    assert [sum(c * pow(x, i, P) for i, c in enumerate(data["TOYP"]["row"])) % P for x in xs] == data["TOYP"]["values"]


def test_tables() -> None:
    data, values = load("tables"), exp_values(6, 11, 13)
    assert sha256(struct.pack("<8192I", *values)).hexdigest() == data["exp_6_11_13"]["sha256"]
    assert list(exp_values(2, 4, 5)) == data["exp_2_4_5"]


def test_order() -> None:
    data, seed = load("order"), bytes(range(32))
    assert list(epoch_permutation(bytes(32), 0, 1797)[:8]) == data["anchor_1797"]
    assert [list(rows) for rows in batch_order(seed, 1, 4, 11, 3)] == data["steps_1_to_4_of_11_by_3"]
    assert list(initial_values(seed, 3, 20, 5)) == data["init_3_scale_5"]
    assert run_seed(*(bytes([i]) * 32 for i in (1, 2, 3, 4)), 77, bytes([5]) * 32).hex() == data["run_seed"]


def test_hashing() -> None:
    data = load("hashing")
    layout, context, root = bytes([7]) * 32, bytes([8]) * 32, bytes([9]) * 32
    for kind in range(1, 7):
        record = Record("S10", kind, context, layout, 12, 8192, root)
        assert record.encode().hex() == data["records"][str(kind)]
        assert record.digest().hex() == data["record_digests"][str(kind)]
        assert Record.decode(record.encode()) == record
        assert tag16(kind, layout, context).hex() == data["tags"][str(kind)]
    column = struct.pack("<600Q", *(i * i for i in range(600)))
    for rows, name in ((10, "leaf_narrow_10"), (256, "leaf_narrow_256"), (600, "leaf_banded_600")):
        assert leaf_digest(bytes(range(16)), 5, bytes(range(16, 32)), column[: 8 * rows]).hex() == data[name]


def test_octopus() -> None:
    data = load("hashing")["octopus"]
    indices = [int(i) for i in data["leaves"]]
    digests = b"".join(sha256(b"leaf" + bytes([i])).digest() for i in range(data["n"]))
    levels = build_tree(np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32))
    assert [digest.hex() for digest in open_paths(levels, indices)] == data["path"]
    assert levels[-1][0].tobytes().hex() == data["root"]
    leaves = {int(i): bytes.fromhex(digest) for i, digest in data["leaves"].items()}
    verify_paths(bytes.fromhex(data["root"]), 4, leaves, [bytes.fromhex(d) for d in data["path"]], "vector")
    assert sum(map(len, path_positions(indices, 4))) == len(data["path"])


def test_relations() -> None:
    """The executor's integers: rounding, sign split, softmax columns."""
    data = load("relations")
    values, quotients, rests = (np.array(column, dtype=np.int64) for column in zip(*data["rescale_16"], strict=True))
    for kind in (np.int64, np.float64):
        found = round_shift(values.astype(kind), 40, 4).astype(np.int64)
        assert (found == quotients).all()
    assert (rescale_limbs("q", values, quotients, 4)["q.limb0"] == rests).all()
    y, sign, magnitude, active = (np.array(column, dtype=np.int64) for column in zip(*data["relu"], strict=True))
    shaped = y.reshape(1, -1, 1)
    hidden = _Hidden(shaped << SPEC.scales.s_w, shaped, shaped * 0, shaped * 0)
    tensors = _hidden_tensors(SPEC, "L1", hidden)
    assert (tensors["L1.S"].ravel() == sign).all() and (tensors["L1.A"].ravel() == magnitude).all()
    assert (sign * magnitude == active).all()
    _check_softmax(data["softmax_2_4_3"])


def _check_softmax(rows: Any) -> None:
    spec = replace(SPEC, layers=(3, 3), scales=replace(SPEC.scales, s_z=2, s_e=4, s_d=3, w_d=5, w_m=5))
    z = np.array([row["z"] for row in rows], dtype=np.int64)
    trace = SoftmaxTrace(spec, (1, *z.shape))
    trace.step(spec, 0, z << spec.scales.logit_shift, 1 << 40, np.zeros_like(z))
    found = trace.tensors(spec)
    for name in ("d", "E", "p", "r", "m"):
        assert found[f"out.{name}"][0].tolist() == [row[name] for row in rows], name
