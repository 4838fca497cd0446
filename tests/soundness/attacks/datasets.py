"""Small commitments and statements that the attacks share; toy profile, every proof made by the unchanged prover."""

from __future__ import annotations

from typing import Any

import numpy as np

from zk.protocol.layout import layout_of
from zk.protocol.params import STORE_PROFILES
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import Scales, TrainingSpec
from zk.protocol.record import CKPT, DATA, NO_CONTEXT
from zk.protocol.statement import AUDIT, CERT, Auditor, Bound, Statement
from zk.prover.commitment import StoreTableau, commit_store
from zk.prover.ledger import Ledger
from zk.prover.prove import prove

Array = np.ndarray[Any, Any]
TOY = STORE_PROFILES["TOY4"]
AUDITOR = Auditor("auditor", bytes(range(32)))
Pair = tuple[str, bytes, bytes]


def commit_rows(x: Array, y: Array, extra: dict[str, Array] | None = None) -> StoreTableau:
    """A dataset tableau X, Y[, G], norm2 whatever Y holds."""
    tensors = {"X": x, "Y": y} | (extra or {}) | {"norm2": (x**2).sum(axis=1)}
    return commit_store(layout_of([(n, v.shape) for n, v in tensors.items()], TOY.l), TOY, tensors, DATA, NO_CONTEXT)


def commit_model(spec: TrainingSpec, weights: list[Array], context: bytes = NO_CONTEXT) -> StoreTableau:
    tensors = {name: value for (name, _), value in zip(spec.weight_shapes(), weights, strict=True)}
    return commit_store(layout_of(spec.weight_shapes(), TOY.l), TOY, tensors, CKPT, context)


def proven(name: str, st: Statement, witness: dict[str, Array], tableaux: dict[str, StoreTableau]) -> Pair:
    return name, st.encode(), prove(st, witness, tableaux, Ledger())


def certificate(name: str, spec: DatasetSpec, data: StoreTableau) -> Pair:
    st = Statement(CERT, "TOY4", "dataset-certificate", spec.encode(), (("D", data.record),))
    return proven(name, st, {}, {"D": data})


def histogram(spec: DatasetSpec, data: StoreTableau, counts: tuple[int, ...], *bounds: Bound) -> Pair:
    publics = (("counts", counts),)
    st = Statement(AUDIT, "TOY4", "label-histogram", spec.encode(), (("D", data.record),), publics, b"", bounds, AUDITOR)
    return proven("histogram", st, {}, {"D": data})


def value_spec(rows: int, features: int, classes: int, y_bits: int) -> DatasetSpec:
    return DatasetSpec(rows, features, 6, 4, "value", classes, y_bits, 0)


def onehot_spec(rows: int, features: int, classes: int, groups: int = 0) -> DatasetSpec:
    return DatasetSpec(rows, features, 6, 4, "onehot", classes, 1, 0, groups)


def small_model(rows: int, layers: tuple[int, ...] = (3, 2), batch: int = 2, s_z: int = 2) -> TrainingSpec:
    """A softmax model whose dataset is `onehot_spec` at scale 4."""
    scales = Scales(s_x=4, s_d=4, e=2, s_z=s_z, s_e=4, a=8, q=8, w_d=8, w_m=8)
    spec = TrainingSpec(layers, "softmax_ce", onehot_spec(rows, layers[0], layers[-1]), batch, 1, scales)
    spec.check()
    return spec
