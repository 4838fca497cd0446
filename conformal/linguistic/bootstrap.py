"""Intervals that resample texts, not questions: questions about one text are not independent (cluster bootstrap).

Percentile intervals of the figures themselves. They show the spread between samples of texts; the upward bias of ECE they do
not remove but double, so the interval of an ECE may lie above it. The noise floor, and the debiased error with a reflected
interval (`evaluation`), are what to judge by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from conformal.errors import LevelError
from conformal.linguistic.binning import Indices

DEFAULT_RESAMPLES = 1000
MAX_RESAMPLES = 100_000
Figures = Callable[[npt.NDArray[np.intp]], Mapping[str, float]]


def resamples(clusters: Indices, count: int, seed: int = 0) -> Iterator[npt.NDArray[np.intp]]:
    """Row numbers of `count` samples that draw whole clusters with replacement. Raises LevelError for fewer than 2 clusters."""
    if not 2 <= count <= MAX_RESAMPLES:
        raise LevelError(f"between 2 and {MAX_RESAMPLES} resamples are needed, not {count}")
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.r_[True, clusters[order][1:] != clusters[order][:-1]])
    sizes = np.diff(np.r_[starts, len(order)])
    if len(starts) < 2:
        raise LevelError("intervals need at least two paragraphs: with one there is nothing to resample")
    rng = np.random.default_rng(seed)
    for _ in range(count):
        drawn = rng.integers(0, len(starts), len(starts))
        lengths = sizes[drawn]
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield order[np.repeat(starts[drawn], lengths) + offsets]


def intervals(
    figures: Figures, clusters: Indices, count: int = DEFAULT_RESAMPLES, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """(low, high) of every figure. `figures` takes row numbers. Raises LevelError."""
    if not 0.0 < level < 1.0:
        raise LevelError(f"the level of an interval must lie strictly between 0 and 1, not {level}")
    found = [figures(rows) for rows in resamples(clusters, count, seed)]
    tail = (1.0 - level) / 2.0
    out = {}
    for name in found[0]:
        low, high = np.quantile([row[name] for row in found], [tail, 1.0 - tail])
        out[name] = (float(low), float(high))
    return out
