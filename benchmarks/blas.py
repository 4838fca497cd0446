"""Ordinary float64 SGD on NumPy's BLAS with the schedule of a proven segment: the yardstick for the proving time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


def train(loss: str, rate: float, weights: list[Float], features: Float, targets: Float, order: npt.NDArray[np.int64]) -> None:
    """One step for every row of `order` [steps, batch]; updates `weights` (weight, bias, layer by layer) in place.

    `rate` is the learning rate divided by the batch size; `loss` is softmax_ce or squared_error.
    """
    depth = len(weights) // 2
    for rows in order:
        inputs = [features[rows]]
        for i in range(depth - 1):
            inputs.append(np.maximum(inputs[-1] @ weights[2 * i] + weights[2 * i + 1], 0.0))
        out = inputs[-1] @ weights[-2] + weights[-1]
        if loss == "softmax_ce":
            out = np.exp(out - out.max(axis=1, keepdims=True))
            out /= out.sum(axis=1, keepdims=True)
        delta = out - targets[rows]
        for i in range(depth - 1, -1, -1):
            below = (delta @ weights[2 * i].T) * (inputs[i] > 0) if i else delta
            weights[2 * i] -= rate * (inputs[i].T @ delta)
            weights[2 * i + 1] -= rate * delta.sum(axis=0)
            delta = below
