"""Expected calibration error with what it takes to read one: its noise floor, an estimate without the bias, a test.

A calibrated reader does not have ECE 0: with n answers in b bins it has about sqrt(2 b v / (pi n)), v the mean of p(1 - p), so
ECE figures of different n or bins are on different scales and `difference` refuses them. The null here is that the outcomes are
independent with the stated probabilities; everything simulated is simulated from it, given the very confidences at hand.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from conformal.errors import GuaranteeError, LevelError
from conformal.linguistic.binning import DEFAULT_BINS, Binning, Floats, equal_mass

DEFAULT_DRAWS = 1999
MAX_DRAWS = 1_000_000
_CHUNK = 4_000_000


@dataclass(frozen=True)
class CalibrationError:
    """ECE with everything that decides its scale."""

    value: float
    n: int
    bins: int
    statistic: str = "top-label ECE, equal mass"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class NullTest:
    """`floor` and `floor_95` are mean and 95 % quantile of the statistic for a calibrated reader with the same forecasts.

    `p_value` = (1 + simulations at least as large) / (1 + draws): P(p_value <= a) <= a under the null, for any n, bins or
    draws, since the observed and the simulated statistics are exchangeable then.
    """

    statistic: float
    p_value: float
    floor: float
    floor_95: float
    draws: int
    n: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def expected_calibration_error(confidence: Floats, outcomes: Floats, bins: int = DEFAULT_BINS) -> float:
    """Sum over bins of share x |mean outcome - mean confidence|. Raises LevelError."""
    check_pair(confidence, outcomes)
    return _absolute(equal_mass(confidence, bins), confidence, outcomes)


def check_pair(confidence: Floats, outcomes: Floats) -> None:
    """Raises LevelError unless both are as long, confidences lie in [0, 1] and outcomes are 0 or 1."""
    if confidence.shape != outcomes.shape or confidence.ndim != 1 or not len(confidence):
        raise LevelError(f"confidences of shape {confidence.shape} do not go with outcomes of shape {outcomes.shape}")
    if not (np.isfinite(confidence).all() and (confidence >= 0).all() and (confidence <= 1).all()):
        raise LevelError("a confidence lies outside [0, 1]")
    if not np.isin(outcomes, (0.0, 1.0)).all():
        raise LevelError("an outcome is neither 0 nor 1")


def _absolute(found: Binning, confidence: Floats, outcomes: Floats) -> float:
    return float(np.abs(found.sums(outcomes) - found.sums(confidence)).sum() / len(confidence))


def debiased_squared_error(confidence: Floats, outcomes: Floats, bins: int = DEFAULT_BINS) -> float:
    """Squared calibration error without its bias from noise: sum over bins of share x ((o - c)^2 - o(1 - o)/(size - 1)), with
    o the mean outcome and c the mean confidence of a bin (Kumar, Liang & Ma 2019, arXiv 1909.10155, definition 5.3).

    Its mean for a calibrated reader is 0 up to the spread of confidences within a bin, so it may be negative. There are at most
    n / 2 bins, since one point has no variance to take off; where a run of equal forecasts leaves a bin of one all the same, it
    counts (o - c)^2 - c(1 - c), which has mean 0 under calibration. Raises LevelError.
    """
    found, outcome, stated = _bin_means(confidence, outcomes, bins)
    noise = outcome * (1 - outcome) / np.maximum(found.sizes - 1, 1)
    noise = np.where(found.sizes == 1, stated * (1 - stated), noise)
    return float((found.sizes / len(confidence) * ((outcome - stated) ** 2 - noise)).sum())


def squared_error(confidence: Floats, outcomes: Floats, bins: int = DEFAULT_BINS) -> float:
    """The same with its noise: sum over bins of share x (o - c)^2, in the same bins. Raises LevelError."""
    found, outcome, stated = _bin_means(confidence, outcomes, bins)
    return float((found.sizes / len(confidence) * (outcome - stated) ** 2).sum())


def _bin_means(confidence: Floats, outcomes: Floats, bins: int) -> tuple[Binning, Floats, Floats]:
    check_pair(confidence, outcomes)
    found = equal_mass(confidence, min(bins, max(1, len(confidence) // 2)))
    return found, found.means(outcomes), found.means(confidence)


def debiased_error(confidence: Floats, outcomes: Floats, bins: int = DEFAULT_BINS) -> float:
    """The root of `debiased_squared_error`, 0 where that is negative; in probability, comparable across n."""
    return math.sqrt(max(0.0, debiased_squared_error(confidence, outcomes, bins)))


def simulate_floor(confidence: Floats, bins: int = DEFAULT_BINS, draws: int = DEFAULT_DRAWS, seed: int = 0) -> Floats:
    """ECE of a calibrated reader with these confidences, once a draw (draws). Raises LevelError."""
    check_draws(draws)
    check_pair(confidence, np.zeros_like(confidence))
    found, n = equal_mass(confidence, bins), len(confidence)
    ranked, stated = confidence[found.order], found.sums(confidence)
    rng = np.random.default_rng(seed)
    out = []
    for count in chunks(draws, n):
        hits = (rng.random((count, n)) < ranked).astype(np.int32)
        out.append(np.abs(np.add.reduceat(hits, found.starts, axis=1) - stated).sum(axis=1) / n)
    return np.concatenate(out)


def calibration_test(
    confidence: Floats, outcomes: Floats, bins: int = DEFAULT_BINS, draws: int = DEFAULT_DRAWS, seed: int = 0
) -> NullTest:
    """Whether the ECE is larger than chance gives a calibrated reader. Valid for independent outcomes: hand in one question a
    text, or texts that do not share facts. Raises LevelError."""
    statistic = expected_calibration_error(confidence, outcomes, bins)
    return judge(statistic, simulate_floor(confidence, bins, draws, seed), len(confidence))


def judge(statistic: float, simulated: Floats, n: int) -> NullTest:
    """The test that compares a statistic with its simulations. Sums in another order must not break a tie: 1e-12 is slack."""
    at_least = int((simulated >= statistic - 1e-12).sum())
    p_value = (1 + at_least) / (1 + len(simulated))
    return NullTest(statistic, p_value, float(simulated.mean()), float(np.quantile(simulated, 0.95)), len(simulated), n)


def difference(first: CalibrationError, second: CalibrationError) -> float:
    """first - second. Raises GuaranteeError where n, bins or the statistic differ: the noise floor would differ with them."""
    for name in ("n", "bins", "statistic"):
        ours, theirs = getattr(first, name), getattr(second, name)
        if ours != theirs:
            raise GuaranteeError(
                f"ECE figures with different {name} ({ours} and {theirs}) are not on one scale; compare the same questions, "
                "or compare debiased errors"
            )
    return first.value - second.value


def check_draws(draws: int) -> None:
    """Raises LevelError for a number of simulations that gives no p-value or never ends."""
    if not 19 <= draws <= MAX_DRAWS:
        raise LevelError(f"between 19 and {MAX_DRAWS} simulations are needed, not {draws}")


def chunks(draws: int, n: int) -> list[int]:
    """Sizes of pieces of the simulation that fit in memory; they sum to `draws`."""
    size = max(1, _CHUNK // max(1, n))
    return [min(size, draws - start) for start in range(0, draws, size)]
