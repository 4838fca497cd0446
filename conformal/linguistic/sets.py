"""Calibration of more than the top answer: class by class, the whole distribution, and sets of answers.

Each is tested like the ECE: the truth of every question is drawn from its own forecast, again and again, and the statistic of
the real truths is compared with those (valid for independent questions, whatever the bins).

* class-wise: P(truth = y | f_y = b) = b, over all pairs of question and option, in bins of equal mass;
* full distribution: E[1 of truth | f] = f, with options ranked by probability; forecasts are put into cells of equal mass by
  median splits of the ranked probabilities (data-dependent partitions as in Vaicenavicius et al. 2019, arXiv 1902.06977);
* sets: the smallest set of options whose stated mass reaches a level should hold the truth as often as that mass says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from conformal.errors import LevelError
from conformal.linguistic.binning import DEFAULT_BINS, Floats, Indices, equal_mass
from conformal.linguistic.calibration_error import DEFAULT_DRAWS, NullTest, check_draws, chunks, judge
from conformal.linguistic.scores import Forecasts

SPLIT_RANKS = 3
SET_LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class _Groups:
    """Forecasts with every (question, option) in a group: `cumulative` probabilities in the order of the options (n x K),
    `group` of each (n x K), the mass `stated` a group, and the `truth` as a place in that order (n)."""

    cumulative: Floats
    group: Indices
    stated: Floats
    truth: Indices
    scale: float

    def statistic(self, places: Indices) -> Floats:
        """scale x sum over groups of |truths - stated mass|, for truths at `places` (draws x n)."""
        draws, n = places.shape
        groups = len(self.stated)
        found = self.group[np.arange(n), places] + groups * np.arange(draws)[:, None]
        counts = np.bincount(found.ravel(), minlength=draws * groups).reshape(draws, groups)
        return np.asarray(self.scale * np.abs(counts - self.stated).sum(axis=1))

    def draw(self, draws: int, rng: np.random.Generator) -> Indices:
        """Truths drawn from the forecasts themselves (draws x n). An option of probability 0 is never drawn."""
        place = rng.random((draws, len(self.truth)))
        found = np.zeros(place.shape, dtype=np.intp)
        for column in self.cumulative.T[:-1]:
            found += place >= column
        return found


def _groups(forecasts: Forecasts, columns: Indices, group: Indices, scale: float) -> _Groups:
    """`columns` (n x K) is the order of a question's options, `group` (n x K) the group of each in that order."""
    ordered = np.take_along_axis(forecasts.probabilities, columns, axis=1)
    cumulative = np.cumsum(ordered, axis=1)
    # What rounding leaves of 1 belongs to the last option that has any mass.
    width = ordered.shape[1]
    last = width - 1 - (ordered[:, ::-1] > 0).argmax(axis=1)
    cumulative[np.arange(width)[None, :] >= last[:, None]] = 2.0
    stated = np.bincount(group.ravel(), weights=ordered.ravel()).astype(np.float64)
    return _Groups(cumulative, group, stated, (columns == forecasts.truth[:, None]).argmax(axis=1), scale)


def _test(groups: _Groups, draws: int, seed: int) -> NullTest:
    check_draws(draws)
    rng = np.random.default_rng(seed)
    n = len(groups.truth)
    simulated = [groups.statistic(groups.draw(count, rng)) for count in chunks(draws, n)]
    return judge(float(groups.statistic(groups.truth[None, :])[0]), np.concatenate(simulated), n)


def class_wise_test(forecasts: Forecasts, bins: int = DEFAULT_BINS, draws: int = DEFAULT_DRAWS, seed: int = 0) -> NullTest:
    """`statistic` is the class-wise ECE: sum over bins of share of pairs x |frequency - mean forecast|. Raises LevelError."""
    n, width = forecasts.probabilities.shape
    present = np.arange(width)[None, :] < forecasts.sizes[:, None]
    found = equal_mass(forecasts.probabilities[present], bins)
    groups = np.zeros((n, width), dtype=np.intp)
    groups[present] = found.spread(np.arange(len(found.sizes), dtype=np.float64)).astype(np.intp)
    columns = np.broadcast_to(np.arange(width), (n, width))
    return _test(_groups(forecasts, columns, groups, 1.0 / present.sum()), draws, seed)


def distribution_test(forecasts: Forecasts, cells: int = DEFAULT_BINS, draws: int = DEFAULT_DRAWS, seed: int = 0) -> NullTest:
    """`statistic`: mean total variation between stated and observed distribution over ranks, cell by cell. Raises LevelError."""
    if not 1 <= cells <= 1000:
        raise LevelError(f"the number of cells must be a whole number from 1 to 1000, not {cells}")
    n, width = forecasts.probabilities.shape
    shown = np.where(np.arange(width)[None, :] < forecasts.sizes[:, None], forecasts.probabilities, -1.0)
    columns = np.argsort(-shown, axis=1, kind="stable")
    ranked = np.take_along_axis(forecasts.probabilities, columns, axis=1)
    groups = _cells(ranked[:, :SPLIT_RANKS], cells)[:, None] * width + np.arange(width)
    return _test(_groups(forecasts, columns, groups, 0.5 / n), draws, seed)


def _cells(points: Floats, cells: int) -> Indices:
    """Cell numbers (n): again and again the largest cell is split at the median of its most varied coordinate."""
    parts = [np.arange(len(points))]
    while len(parts) < cells:
        largest = max(range(len(parts)), key=lambda i: len(parts[i]))
        inside = points[parts[largest]]
        axis = int(inside.var(axis=0).argmax())
        below = inside[:, axis] < np.median(inside[:, axis])
        if not below.any():
            below = inside[:, axis] <= np.median(inside[:, axis])
        if below.all() or len(inside) < 2:
            break
        parts[largest : largest + 1] = [parts[largest][below], parts[largest][~below]]
    out = np.empty(len(points), dtype=np.intp)
    for number, rows in enumerate(parts):
        out[rows] = number
    return out


@dataclass(frozen=True)
class SetCoverage:
    """Sets that reach `level`: mean stated mass, share that hold the truth, and mean size (all over n questions)."""

    level: float
    stated: float
    covered: float
    size: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def set_coverage(forecasts: Forecasts, levels: Sequence[float] = SET_LEVELS) -> list[SetCoverage]:
    """Stated against observed coverage of sets of answers. Raises LevelError for a level outside (0, 1]."""
    columns = np.argsort(-forecasts.probabilities, axis=1, kind="stable")
    mass = np.cumsum(np.take_along_axis(forecasts.probabilities, columns, axis=1), axis=1)
    place = (columns == forecasts.truth[:, None]).argmax(axis=1)
    found = []
    for level in levels:
        if not 0.0 < level <= 1.0:
            raise LevelError(f"a level of coverage must lie in (0, 1], not {level}")
        size = np.minimum((mass < level - 1e-12).sum(axis=1) + 1, mass.shape[1])
        stated = np.minimum(mass[np.arange(forecasts.n), size - 1], 1.0)
        found.append(SetCoverage(level, float(stated.mean()), float((place < size).mean()), float(size.mean())))
    return found
