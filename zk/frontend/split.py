"""Seeded train/test split and standardisation with the statistics of the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zk.frontend.datasets import FloatArray, IntArray, RawDataset

PEAK = 8.0


@dataclass(frozen=True)
class Preprocess:
    """(x - mean) / scale for every feature, and the same for targets that are values."""

    mean: FloatArray
    scale: FloatArray
    target_mean: FloatArray
    target_scale: FloatArray

    def features(self, raw: FloatArray) -> FloatArray:
        return (raw - self.mean) / self.scale

    def targets(self, raw: FloatArray) -> FloatArray:
        return (raw - self.target_mean) / self.target_scale


def split_rows(data: RawDataset, test_fraction: float, seed: int) -> tuple[IntArray, IntArray]:
    """(train, test) row indices, each increasing; stratified for classes, and every class keeps a training row."""
    rng = np.random.default_rng(seed)
    if not data.is_classification:
        test = _take(rng, np.arange(data.n_rows), test_fraction)
    else:
        labels = np.asarray(data.targets)
        rows = [np.flatnonzero(labels == label) for label in range(len(data.class_names))]
        test = np.concatenate([_take(rng, members, test_fraction) for members in rows])
    mask = np.zeros(data.n_rows, dtype=bool)
    mask[test] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def fit_preprocess(data: RawDataset, train: IntArray, standardise: bool) -> Preprocess:
    """Mean and deviation of the training rows; a constant feature is only centred. Identity if not `standardise`.

    A feature with rare spikes is divided by peak / 8 where that exceeds its deviation: training values then stay within
    +-8 without being clipped, and fixed-point bits are not spent on a pixel that is set once in a thousand rows.
    """
    zeros, ones = np.zeros(data.n_features), np.ones(data.n_features)
    n_outputs = 1 if data.is_classification else data.targets.shape[1]
    identity = Preprocess(zeros, ones, np.zeros(n_outputs), np.ones(n_outputs))
    if not standardise:
        return identity
    rows = data.features[train]
    mean = rows.mean(axis=0)
    scale = _spread(rows - mean)
    if data.is_classification:
        return Preprocess(mean, scale, identity.target_mean, identity.target_scale)
    values = np.asarray(data.targets, dtype=np.float64)[train]
    return Preprocess(mean, scale, values.mean(axis=0), _spread(values - values.mean(axis=0)))


def _take(rng: np.random.Generator, rows: IntArray, fraction: float) -> IntArray:
    count = min(round(fraction * len(rows)), len(rows) - 1) if len(rows) else 0
    return rng.permutation(rows)[:count]


def _spread(centred: FloatArray) -> FloatArray:
    scale = np.maximum(centred.std(axis=0), np.abs(centred).max(axis=0) / PEAK)
    return np.where(scale > 0, scale, 1.0)
