"""ECE with its floor, without its bias, and its test: closed forms, the published floor, sizes, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conformal.errors import GuaranteeError, LevelError
from conformal.linguistic.binning import equal_mass
from conformal.linguistic.bootstrap import intervals, resamples
from conformal.linguistic.calibration_error import (
    CalibrationError,
    calibration_test,
    debiased_error,
    debiased_squared_error,
    difference,
    expected_calibration_error,
    simulate_floor,
    squared_error,
)
from conformal.linguistic.scores import build_forecasts
from conformal.linguistic.sets import class_wise_test, distribution_test, set_coverage
from tests.unit.conformal.linguistic.readers_world import beta_reader, calibrated_forecasts

# Mean and 95 % quantile of the ECE of a calibrated Beta(2, 1) reader, 20 bins of equal mass (measured by others).
FLOORS = {200: (0.0998, 0.1260), 500: (0.0626, 0.0803), 1000: (0.0436, 0.0566), 5000: (0.0198, 0.0250), 11313: (0.0131, 0.0170)}


@pytest.mark.parametrize("n", FLOORS)
def test_floor_of_the_beta_reader(n: int) -> None:
    """Averaged over readers, since the floor depends a little on which confidences were drawn."""
    rng = np.random.default_rng(n)
    draws = np.concatenate([simulate_floor(rng.beta(2, 1, n), draws=25, seed=seed) for seed in range(100, 200)])
    mean, quantile = FLOORS[n]
    assert draws.mean() == pytest.approx(mean, abs=0.002)
    assert np.quantile(draws, 0.95) == pytest.approx(quantile, abs=0.005)


@pytest.mark.parametrize("n", [2000, 5000])
def test_floor_has_its_closed_form(n: int) -> None:
    """Large bins: each |gap| is half normal, so the mean is the sum over bins of sqrt(2 size mean(p(1 - p)) / pi) / n."""
    confidence = np.random.default_rng(1).beta(2, 1, n)
    found = equal_mass(confidence, 20)
    expected = np.sqrt(2 * found.sums(confidence * (1 - confidence)) / math.pi).sum() / n
    assert simulate_floor(confidence, draws=400).mean() == pytest.approx(expected, rel=0.03)


def test_a_known_error_is_estimated_without_bias() -> None:
    """Overconfident by 0.1 everywhere: the squared error is 0.01; ECE has the noise on top, the debiased figure has not."""
    rng = np.random.default_rng(2)
    found, plain, calibrated = [], [], []
    for _ in range(300):
        confidence = rng.uniform(0.3, 0.9, 400)
        outcomes = (rng.random(400) < confidence - 0.1).astype(float)
        found.append(debiased_squared_error(confidence, outcomes))
        plain.append(squared_error(confidence, outcomes))
        calibrated.append(debiased_squared_error(confidence, (rng.random(400) < confidence).astype(float)))
    assert np.mean(found) == pytest.approx(0.01, abs=0.0015)
    assert np.mean(plain) > 0.015
    assert np.mean(calibrated) == pytest.approx(0.0, abs=0.001)


def test_debiased_error_of_one_answer() -> None:
    """One point has no variance: (o - c)^2 - c(1 - c)."""
    assert debiased_squared_error(np.array([0.5]), np.array([1.0])) == pytest.approx(0.0)
    assert debiased_error(np.array([0.9]), np.array([0.0])) == pytest.approx(math.sqrt(0.81 - 0.09))


def test_size_is_nominal_and_faults_are_found() -> None:
    """The seeded slice of tests/guarantees/test_calibration_scores.py."""
    rng = np.random.default_rng(3)
    honest = [calibration_test(*beta_reader(200, rng), draws=99, seed=seed).p_value for seed in range(400)]
    assert sum(p <= 0.05 for p in honest) <= 0.05 * 400 + 3 * math.sqrt(400 * 0.05 * 0.95)
    faulty = [calibration_test(*beta_reader(500, rng, power=2.0), draws=99, seed=seed).p_value for seed in range(50)]
    assert sum(p <= 0.05 for p in faulty) >= 45


def test_tests_of_all_answers_keep_their_size_and_find_faults() -> None:
    rng = np.random.default_rng(4)
    tests = {"class-wise": class_wise_test, "distribution": distribution_test}
    for name, test in tests.items():
        p_values = [test(calibrated_forecasts(120, 4, rng), draws=99, seed=seed).p_value for seed in range(200)]
        assert sum(p <= 0.05 for p in p_values) <= 0.05 * 200 + 3 * math.sqrt(200 * 0.05 * 0.95), name
    honest = calibrated_forecasts(800, 4, rng)
    # The top answer stays calibrated, the others are swapped: only the tests that look at them can see it.
    order = np.argsort(-honest.probabilities, axis=1)
    swapped = honest.probabilities.copy()
    rows = np.arange(800)
    swapped[rows, order[:, 1]], swapped[rows, order[:, 3]] = (
        honest.probabilities[rows, order[:, 3]],
        honest.probabilities[rows, order[:, 1]],
    )
    faulty = build_forecasts(swapped.tolist(), honest.truth.tolist())
    assert calibration_test(faulty.confidence, faulty.right, draws=199).p_value > 0.05
    assert class_wise_test(faulty, draws=199).p_value <= 0.01
    assert distribution_test(faulty, draws=199).p_value <= 0.01


def test_a_sure_reader_that_is_wrong_once_is_rejected() -> None:
    outcomes = np.array([1.0] * 99 + [0.0])
    assert calibration_test(np.ones(100), outcomes, draws=199).p_value == pytest.approx(1 / 200)
    assert calibration_test(np.ones(100), np.ones(100), draws=199).p_value == 1.0


def test_sets_hold_the_truth_as_often_as_they_say() -> None:
    found = set_coverage(calibrated_forecasts(20_000, 5, np.random.default_rng(5)), [0.5, 0.9, 1.0])
    for one in found:
        assert one.stated >= one.level - 1e-9 and one.covered == pytest.approx(one.stated, abs=0.012)
    assert found[-1].size == 5 and found[-1].covered == 1.0


def test_figures_of_different_n_or_bins_are_not_compared() -> None:
    base = CalibrationError(0.1, 1000, 20)
    assert difference(base, CalibrationError(0.06, 1000, 20)) == pytest.approx(0.04)
    for other in (CalibrationError(0.1, 11313, 20), CalibrationError(0.1, 1000, 10), CalibrationError(0.1, 1000, 20, "another")):
        with pytest.raises(GuaranteeError, match="not on one scale"):
            difference(base, other)


def test_resamples_draw_whole_paragraphs() -> None:
    clusters = np.array([0, 0, 0, 1, 2, 2])
    for rows in resamples(clusters, 50, seed=1):
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[1] == counts[2] and counts[4] == counts[5] and counts[0] + counts[3] + counts[4] == 3


def test_intervals_widen_with_clusters() -> None:
    """Twenty questions a text that share one outcome are worth one: the interval must be about sqrt(20) as wide."""
    rng = np.random.default_rng(6)
    outcomes = np.repeat((rng.random(100) < 0.6).astype(float), 20)

    def mean(rows: np.ndarray) -> dict[str, float]:
        return {"mean": float(outcomes[rows].mean())}

    naive = intervals(mean, np.arange(2000), 300)["mean"]
    clustered = intervals(mean, np.repeat(np.arange(100), 20), 300)["mean"]
    assert (clustered[1] - clustered[0]) / (naive[1] - naive[0]) == pytest.approx(math.sqrt(20), rel=0.25)


def test_bad_input_is_refused() -> None:
    half, one = np.array([0.5]), np.array([1.0])
    for confidence, outcomes in ((half, np.array([0.5])), (np.array([1.1]), one), (np.array([np.nan]), one), (half, np.ones(2))):
        with pytest.raises(LevelError):
            expected_calibration_error(confidence, outcomes)
    with pytest.raises(LevelError, match="simulations"):
        calibration_test(half, one, draws=3)
    with pytest.raises(LevelError, match="two paragraphs"):
        list(resamples(np.zeros(5, dtype=np.intp), 10))
