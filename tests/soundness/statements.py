"""Honest statements of every kind over one tiny dataset: certificate, training segments, refresh, audits.

Each is proven once a test run in the toy profile; tests that need another prover re-prove from the `Instance`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

import zk.prover.prove as prover
from tests.soundness.harness import TOY, Array, Proven
from zk.protocol.layout import layout_of
from zk.protocol.params import STORE_PROFILES
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.refresh import encode_shapes
from zk.protocol.programs.spec import Scales, TrainingSpec
from zk.protocol.record import CKPT, DATA, NO_CONTEXT
from zk.protocol.registration import SELF_MADE_CHAIN, Registration, Segment
from zk.protocol.statement import AUDIT, CERT, FROM_CERTIFICATE, FROM_PREDECESSOR, REFRESH, SEGMENT, Auditor, Bound, Statement
from zk.prover.commitment import StoreTableau, commit_store
from zk.prover.execution.training import Execution, run_training
from zk.prover.ledger import Ledger

ROWS, FEATURES, CLASSES = 7, 3, 2
DATASET = DatasetSpec(ROWS, FEATURES, 6, 3, "onehot", CLASSES, 1, 0)
SPEC = TrainingSpec((FEATURES, 3, CLASSES), "softmax_ce", DATASET, 2, 1, Scales(3, 3, 2, 2, 3, 8, 8, 8, 8))
STEPS = 3
BEACON = bytes(range(32))
AUDITOR = Auditor("inspector", bytes(range(1, 33)))


@dataclass(frozen=True)
class Instance:
    """A statement with what its honest prover holds."""

    st: Statement
    witness: dict[str, Array]
    tableaux: dict[str, StoreTableau]

    def prove(self, st: Statement | None = None) -> Proven:
        """A fresh proof of `st` (default: the honest statement), with an empty ledger."""
        wanted = st or self.st
        return Proven(wanted.encode(), prover.prove(wanted, dict(self.witness), self.tableaux, Ledger()))


def rows_of_data() -> dict[str, Array]:
    rng = np.random.default_rng(3)
    x = rng.integers(-12, 12, (ROWS, FEATURES))
    y = np.eye(CLASSES, dtype=np.int64)[rng.integers(0, CLASSES, ROWS)]
    return {"X": x, "Y": y, "norm2": (x**2).sum(axis=1)}


def commit(
    tensors: dict[str, Array], kind: int, context: bytes = NO_CONTEXT, profile: str = TOY, seed: bytes = b"first"
) -> StoreTableau:
    """Commitments repeat from run to run, because the data order follows from their records."""
    parameters = STORE_PROFILES[profile]
    layout = layout_of([(name, array.shape) for name, array in tensors.items()], parameters.l)
    message = b"".join(array.astype("<i8").tobytes() for array in tensors.values())
    expanded = hashlib.sha256(seed + bytes([kind]) + context + message).digest()
    return commit_store(layout, parameters, tensors, kind, context, seed=expanded)


@lru_cache
def dataset(profile: str = TOY) -> StoreTableau:
    return commit(rows_of_data(), DATA, profile=profile)


@lru_cache
def initial(profile: str = TOY) -> StoreTableau:
    """Committed initial weights; public ones need scales whose tables are too large for the toy profile."""
    rng = np.random.default_rng(4)
    weights = [rng.integers(-150, 150, shape) for _, shape in SPEC.weight_shapes()]
    return commit_weights(weights, NO_CONTEXT, profile)


def registration(profile: str = TOY) -> Registration:
    records = (dataset(profile).record.digest(), initial(profile).record.digest())
    return Registration(*records, SPEC, SELF_MADE_CHAIN, 1, STEPS, 2 * STEPS)


def weights_of(tableau: StoreTableau) -> list[Array]:
    return [tableau.tensors[name] for name, _ in SPEC.weight_shapes()]


def commit_weights(weights: list[Array], context: bytes, profile: str = TOY) -> StoreTableau:
    return commit({name: w for w, (name, _) in zip(weights, SPEC.weight_shapes(), strict=True)}, CKPT, context, profile)


@lru_cache
def executed(index: int, profile: str = TOY) -> Execution:
    """The honest integer run of segment `index`."""
    place = Segment(registration(profile), index, BEACON, 0)
    data = rows_of_data()
    return run_training(SPEC, place.order(), data["X"], data["Y"], weights_of(checkpoint(index - 1, profile)))


@lru_cache
def checkpoint(index: int, profile: str = TOY) -> StoreTableau:
    """Weights after segment `index`; -1 is the initial model."""
    if index < 0:
        return initial(profile)
    return commit_weights(executed(index, profile).weights, registration(profile).run_id, profile)


@lru_cache
def segment(index: int = 0, profile: str = TOY) -> Instance:
    place = Segment(registration(profile), index, BEACON, 0)
    roles = {"D": dataset(profile), "W_in": checkpoint(index - 1, profile), "W_out": checkpoint(index, profile)}
    source, limit = (FROM_PREDECESSOR, 1 << 30) if index else (FROM_CERTIFICATE, 1 << 20)
    bounds = tuple(Bound(f"W_in.{name}", -limit, limit, source) for name, _ in SPEC.weight_shapes())
    witness = dict(executed(index, profile).tensors)
    return instance(SEGMENT, profile, "mlp-sgd", b"", roles, witness, run=place.encode(), bounds=bounds)


def instance(
    kind: int, profile: str, family: str, params: bytes, roles: dict[str, StoreTableau], witness: dict[str, Array], **fields: Any
) -> Instance:
    records = tuple((role, tableau.record) for role, tableau in roles.items())
    return Instance(Statement(kind, profile, family, params, records, **fields), witness, roles)


@lru_cache
def certificate(profile: str = TOY) -> Instance:
    return instance(CERT, profile, "dataset-certificate", DATASET.encode(), {"D": dataset(profile)}, {})


@lru_cache
def histogram(profile: str = TOY) -> Instance:
    counts = tuple(int(v) for v in rows_of_data()["Y"].sum(axis=0))
    fields = {"publics": (("counts", counts),), "auditor": AUDITOR}
    return instance(AUDIT, profile, "label-histogram", DATASET.encode(), {"D": dataset(profile)}, {}, **fields)


@lru_cache
def nearest(profile: str = TOY) -> Instance:
    """Distance from a public item to the nearest row: the audit with lookups and private choice."""
    data, query = rows_of_data(), (3, -20, 11)
    distances = ((data["X"] - np.array(query)) ** 2).sum(axis=1)
    best = int(distances.min())
    excess = distances - best
    limit = FEATURES * 64 * 64 * 4
    width = limit.bit_length()
    witness = {"nearest.e": np.eye(ROWS, dtype=np.int64)[int(distances.argmin())]}
    witness |= {"nearest.limb0": excess & 0xFFFF} | ({"nearest.limb1": excess >> 16} if width > 16 else {})
    fields = {"publics": (("query", query), ("distance", (best,))), "auditor": AUDITOR}
    return instance(AUDIT, profile, "nearest-row", DATASET.encode(), {"D": dataset(profile)}, witness, **fields)


@lru_cache
def predicate(profile: str = TOY) -> Instance:
    """Count by label of rows whose feature 1 is at least -5."""
    from zk.protocol.codec import Writer

    data, threshold = rows_of_data(), -5
    x = data["X"][:, 1] - threshold
    bit = (x >= 0).astype(np.int64)
    witness = {"pred.bit": bit, "pred.A.limb0": np.where(x >= 0, x, -x - 1)}
    counts = tuple(int(v) for v in (bit[:, None] * data["Y"]).sum(axis=0))
    params = DATASET.encode() + Writer().u32(1).i64(threshold).bytes()
    fields = {"publics": (("counts", counts),), "auditor": AUDITOR}
    return instance(AUDIT, profile, "predicate-count", params, {"D": dataset(profile)}, witness, **fields)


@lru_cache
def refreshed(profile: str = TOY) -> StoreTableau:
    return commit(rows_of_data(), DATA, profile=profile, seed=b"second")


@lru_cache
def refresh(profile: str = TOY) -> Instance:
    shapes = [(name, array.shape) for name, array in rows_of_data().items()]
    return instance(REFRESH, profile, "refresh", encode_shapes(shapes), {"old": dataset(profile), "new": refreshed(profile)}, {})


KINDS = {"certificate": certificate, "segment": segment, "refresh": refresh, "histogram": histogram, "predicate": predicate}


@lru_cache
def proven(kind: str, profile: str = TOY) -> Proven:
    """The shared honest proof of a kind; it verifies."""
    out = KINDS[kind](profile=profile).prove()
    out.verify()
    return out


def with_digest(proof: bytes, st: Statement) -> bytes:
    """The proof with its statement field replaced, so that only the transcript can tell the difference."""
    return proof[:4] + st.digest() + proof[36:]


def other(st: Statement, **fields: Any) -> Statement:
    return replace(st, **fields)
