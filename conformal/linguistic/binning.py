"""Bins of equal mass over forecasts: no point is dropped, and equal forecasts never lie in two bins.

With n points and b bins the cuts are at ranks floor(i n / b), so sizes differ by at most one. A cut inside a run of equal
forecasts moves to the nearer end of the run (up where both are as near); the bins then depend on the values only, not on the
order of the rows, and there may be fewer of them. What depends on outcomes plays no part, so the outcomes of a calibrated
reader stay independent given the bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conformal.errors import LevelError

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
MAX_BINS = 1000
DEFAULT_BINS = 20


@dataclass(frozen=True)
class Binning:
    """`order` sorts the forecasts (n); bin j holds order[starts[j]] up to order[starts[j + 1]]; `sizes` sum to n."""

    order: Indices
    starts: Indices
    sizes: Indices

    def sums(self, values: Floats) -> Floats:
        """Sum of the values (n) in every bin."""
        return np.add.reduceat(values[self.order], self.starts)

    def means(self, values: Floats) -> Floats:
        """Mean of the values (n) in every bin."""
        return self.sums(values) / self.sizes

    def spread(self, per_bin: Floats) -> Floats:
        """One value a bin, given to every point of it (n, in the order of the points)."""
        out = np.empty(len(self.order))
        out[self.order] = np.repeat(per_bin, self.sizes)
        return out


def equal_mass(forecasts: Floats, bins: int = DEFAULT_BINS) -> Binning:
    """The bins of n forecasts. Raises LevelError for no forecasts, for NaN, or for a number of bins outside 1 to 1,000."""
    if isinstance(bins, bool) or not isinstance(bins, int) or not 1 <= bins <= MAX_BINS:
        raise LevelError(f"the number of bins must be a whole number from 1 to {MAX_BINS}, not {bins}")
    n = len(forecasts)
    if n == 0:
        raise LevelError("there is no forecast to put into bins")
    if not np.isfinite(forecasts).all():
        raise LevelError("a forecast is not a finite number")
    order = np.argsort(forecasts, kind="stable")
    ranked = forecasts[order]
    cuts = np.unique(np.arange(1, bins) * n // bins)
    cuts = cuts[cuts > 0]
    below, above = np.searchsorted(ranked, ranked[cuts], "left"), np.searchsorted(ranked, ranked[cuts], "right")
    moved = np.unique(np.where(cuts - below < above - cuts, below, above))
    starts = np.concatenate([[0], moved[(moved > 0) & (moved < n)]]).astype(np.intp)
    return Binning(order, starts, np.diff(np.concatenate([starts, [n]])))
