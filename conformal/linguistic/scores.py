"""Forecasts over answer options, and their proper scores.

Shapes: n forecasts, at most K options. Brier is the sum over options of (f - 1[truth])^2, in [0, 2] (Brier 1950); scikit-learn's
`brier_score_loss` with more than two classes is the same. The log score is the mean of log max(f_truth, floor) in nats, in
[log floor, 0]; the floor keeps it finite, and below the floor it is not strictly proper (arXiv 2404.00474 uses 1e-4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conformal.errors import LevelError
from conformal.linguistic.binning import Floats, Indices

LOG_FLOOR = 1e-4
MAX_CELLS = 200_000_000


@dataclass(frozen=True)
class Forecasts:
    """`probabilities` (n x K, zero beyond a question's own options), `sizes` (n) how many options, `truth` (n) the right one,
    `chosen` (n) the most probable one, `paragraphs` (n) which text each question is about (numbers from 0)."""

    probabilities: Floats
    sizes: Indices
    truth: Indices
    chosen: Indices
    paragraphs: Indices

    @property
    def n(self) -> int:
        return len(self.truth)

    @property
    def confidence(self) -> Floats:
        """The probability of the chosen option (n)."""
        return self.probabilities[np.arange(self.n), self.chosen]

    @property
    def right(self) -> Floats:
        """1 where the chosen option is the truth, else 0 (n)."""
        return (self.chosen == self.truth).astype(np.float64)

    @property
    def of_truth(self) -> Floats:
        """The probability of the truth (n)."""
        return self.probabilities[np.arange(self.n), self.truth]

    def select(self, rows: npt.NDArray[np.intp]) -> Forecasts:
        """The forecasts of those rows, in that order."""
        return Forecasts(self.probabilities[rows], self.sizes[rows], self.truth[rows], self.chosen[rows], self.paragraphs[rows])


def build_forecasts(
    distributions: Sequence[Sequence[float]],
    truth: Sequence[int],
    paragraphs: Sequence[int] | None = None,
) -> Forecasts:
    """Forecasts from one distribution a question. Without `paragraphs` every question has a text of its own.

    Of equally probable options the first is chosen: the order of the options must not depend on which is true (`evaluation`
    sees to that for files). Raises LevelError for no forecasts, a distribution that does not sum to 1, or a truth that is no
    option.
    """
    n = len(distributions)
    width = max((len(row) for row in distributions), default=0)
    if n == 0:
        raise LevelError("there is no forecast to score")
    if n * width > MAX_CELLS:
        raise LevelError(f"{n} forecasts over up to {width} options are more than {MAX_CELLS} numbers; split them")
    if len(truth) != n or (paragraphs is not None and len(paragraphs) != n):
        raise LevelError(f"{n} forecasts have {len(truth)} truths")
    probabilities = np.zeros((n, width))
    sizes = np.array([len(row) for row in distributions], dtype=np.intp)
    for i, row in enumerate(distributions):
        probabilities[i, : len(row)] = row
    truths = np.asarray(truth, dtype=np.intp)
    inside = np.isfinite(probabilities).all() and (probabilities >= 0).all() and (sizes >= 1).all()
    if not inside or not np.allclose(probabilities.sum(axis=1), 1.0, rtol=0, atol=1e-6):
        raise LevelError("every forecast must hold probabilities that sum to 1")
    if (truths < 0).any() or (truths >= sizes).any():
        raise LevelError("the truth of every question must be one of its options")
    clusters = np.arange(n) if paragraphs is None else np.unique(np.asarray(paragraphs), return_inverse=True)[1]
    return Forecasts(probabilities, sizes, truths, probabilities.argmax(axis=1), clusters.astype(np.intp))


def accuracy(forecasts: Forecasts) -> float:
    """Share of the questions whose most probable option is the truth."""
    return float(forecasts.right.mean())


def brier_terms(forecasts: Forecasts) -> Floats:
    """The Brier score of every forecast (n), 0 best, 2 worst."""
    return np.asarray((forecasts.probabilities**2).sum(axis=1) - 2.0 * forecasts.of_truth + 1.0)


def brier(forecasts: Forecasts) -> float:
    """Mean Brier score over all options."""
    return float(brier_terms(forecasts).mean())


def log_terms(forecasts: Forecasts, floor: float = LOG_FLOOR) -> Floats:
    """The bounded log score of every forecast (n), in nats. Raises LevelError for a floor outside (0, 1)."""
    if not (math.isfinite(floor) and 0.0 < floor < 1.0):
        raise LevelError(f"the floor of the log score must lie strictly between 0 and 1, not {floor}")
    return np.asarray(np.log(np.clip(forecasts.of_truth, floor, 1.0)))


def log_score(forecasts: Forecasts, floor: float = LOG_FLOOR) -> float:
    """Mean bounded log score in nats, at most 0."""
    return float(log_terms(forecasts, floor).mean())
