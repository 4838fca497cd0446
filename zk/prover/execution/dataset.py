"""Tensors over a committed dataset: the dataset itself, its certificate, and the audits on its rows (PROTOCOL 12.1, 19)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zk.protocol.errors import ProvingError
from zk.protocol.programs.dataset import DatasetSpec
from zk.prover.execution.exact import IntArray
from zk.prover.execution.windows import limbs, require_row_windows, signed, unsigned

ADVICE = "commit the dataset with a wider window or a smaller scale"


@dataclass(frozen=True)
class RowAudit:
    """SEG tensors of a dataset audit (without multiplicities) and its public integers."""

    tensors: dict[str, IntArray]
    output: tuple[int, ...]


def dataset_tensors(
    spec: DatasetSpec, features: IntArray, targets: IntArray, groups: IntArray | None = None
) -> dict[str, IntArray]:
    """Tensors of the dataset tableau by layout name (X, Y, [G,] norm2), every window and one-hot row checked.

    features [rows, features]; targets [rows, n_targets], one-hot or values; groups [rows] are indices below
    `spec.groups`. Raises `WindowError` or `ProvingError` naming the row that does not fit.
    """
    out = {"X": features, "Y": targets}
    if spec.groups:
        out["G"] = _one_hot_groups(spec, groups)
    shapes = dict(spec.shapes())
    for name, values in out.items():
        if values.dtype != np.int64 or values.shape != shapes[name]:
            raise ProvingError(f"{name}: {values.dtype} of shape {values.shape}, expected int64 of shape {shapes[name]}")
    onehot = spec.targets == "onehot"
    labels = unsigned("D.Y", targets, 1) if onehot else signed("D.Y", targets, spec.y_bits)
    require_row_windows([signed("D.X", features, spec.x_bits), labels], ADVICE)
    if onehot and np.any(targets.sum(axis=1) != 1):
        row = int(np.argmax(targets.sum(axis=1) != 1))
        raise ProvingError(f"D.Y: row {row} does not mark exactly one class")
    return out | {"norm2": np.einsum("nf,nf->n", features, features)}


def label_histogram(spec: DatasetSpec, targets: IntArray) -> RowAudit:
    """Rows of every class; the program stores nothing."""
    return RowAudit({}, tuple(int(v) for v in targets.sum(axis=0)))


def predicate_count(spec: DatasetSpec, features: IntArray, targets: IntArray, feature: int, threshold: int) -> RowAudit:
    """Rows with features[:, feature] >= threshold (integer units), by class; tensors of `build_predicate_count`."""
    if not 0 <= feature < spec.features:
        raise ProvingError(f"feature {feature} is outside 0..{spec.features - 1}")
    difference = features[:, feature] - threshold
    bit = (difference >= 0).astype(np.int64)
    held = np.where(difference >= 0, difference, -1 - difference)
    require_row_windows([unsigned("pred.A", held, spec.x_bits + 1)], "choose a threshold inside the feature window")
    counts = targets[difference >= 0].sum(axis=0)
    return RowAudit({"pred.bit": bit} | limbs("pred.A", held, spec.x_bits + 1), tuple(int(v) for v in counts))


def nearest_row(spec: DatasetSpec, features: IntArray, query: IntArray) -> RowAudit:
    """Smallest squared distance of a row to `query` (integer units); tensors of `build_nearest_row`."""
    if query.shape != (spec.features,):
        raise ProvingError(f"query of shape {query.shape}, expected ({spec.features},)")
    top = 1 << spec.x_bits
    if np.any(np.abs(query) > top):
        raise ProvingError(f"a query value leaves {spec.x_bits} bits; bring the query to the scale of the dataset")
    distances = ((features - query) ** 2).sum(axis=1)
    row = int(distances.argmin())
    chosen = np.zeros(len(features), dtype=np.int64)
    chosen[row] = 1
    width = (spec.features * top * top * 4).bit_length()
    held = limbs("nearest", distances - distances[row], width)
    return RowAudit({"nearest.e": chosen} | held, (int(distances[row]),))


def _one_hot_groups(spec: DatasetSpec, groups: IntArray | None) -> IntArray:
    if groups is None or groups.shape != (spec.rows,) or groups.min() < 0 or groups.max() >= spec.groups:
        raise ProvingError(f"groups must hold {spec.rows} indices below {spec.groups}")
    return np.eye(spec.groups, dtype=np.int64)[groups]
