"""Small odd-sized training cases shared by the execution tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zk.protocol.order import batch_order, initial_values
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import Scales, TrainingSpec

IntArray = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    spec: TrainingSpec
    order: tuple[tuple[int, ...], ...]
    features: IntArray
    targets: IntArray
    weights: list[IntArray]

    @property
    def dataset(self) -> dict[str, IntArray]:
        return {"D.X": self.features, "D.Y": self.targets, "D.norm2": (self.features**2).sum(axis=1)}


def make_case(layers: tuple[int, ...], loss: str, batch: int = 5, steps: int = 7, rate: int = 3, e: int = 6) -> Case:
    """Random rows in the windows of the default scales, public initial weights, the public order of a fixed seed."""
    rng = np.random.default_rng(list(layers))
    rows, seed = 17, bytes(range(32))
    scales = Scales(s_x=8, s_d=12, e=e, s_z=6, s_e=11, a=13, q=16, w_d=13, w_m=14)
    onehot = loss == "softmax_ce"
    kind = ("onehot", layers[-1], 1, 0) if onehot else ("value", layers[-1], 10, 6)
    data = DatasetSpec(rows, layers[0], 12, 8, *kind)
    spec = TrainingSpec(layers, loss, data, batch, rate, scales)
    spec.check()
    features = rng.integers(-500, 500, (rows, layers[0]))
    if onehot:
        targets = np.eye(layers[-1], dtype=np.int64)[rng.integers(0, layers[-1], rows)]
    else:
        targets = rng.integers(-60, 60, (rows, layers[-1]))
    weights = [
        np.array(initial_values(seed, i, int(np.prod(shape)), scale), dtype=np.int64).reshape(shape)
        for i, ((_, shape), scale) in enumerate(zip(spec.weight_shapes(), spec.initial_scales(), strict=True))
    ]
    return Case(spec, batch_order(seed, 2, steps, rows, batch), features, targets, weights)
