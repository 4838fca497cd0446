"""Tests of calibration reject a calibrated reader at most as often as they say, at every n; and their p-values are uniform.

A slice with fixed seeds is in tests/unit/conformal/linguistic/test_calibration_error.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from conformal.linguistic.calibration_error import calibration_test, expected_calibration_error
from conformal.linguistic.sets import class_wise_test, distribution_test
from tests.unit.conformal.linguistic.readers_world import beta_reader, calibrated_forecasts
from tests.unit.conformal.linguistic.test_calibration_error import FLOORS

LEVELS = (0.01, 0.05, 0.1)


def _holds(p_values: list[float], what: str) -> None:
    runs = len(p_values)
    for level in LEVELS:
        rejected = sum(p <= level for p in p_values)
        print(f"| {what} | {level} | {rejected / runs:.4f} |")
        assert rejected <= level * runs + 3 * math.sqrt(runs * level * (1 - level)), (what, level, rejected)


@pytest.mark.guarantee
@pytest.mark.parametrize("n", FLOORS)
def test_size_of_the_calibration_test(n: int) -> None:
    """2,000 calibrated Beta(2, 1) readers (1,000 at the two largest n), 199 simulations each."""
    rng = np.random.default_rng(n)
    runs = 2000 if n <= 1000 else 1000
    _holds([calibration_test(*beta_reader(n, rng), draws=199, seed=seed).p_value for seed in range(runs)], f"top label, n {n}")


@pytest.mark.guarantee
def test_size_with_stated_tenths() -> None:
    """Confidences as texts state them, in tenths: heavy ties, few bins."""
    rng = np.random.default_rng(10)
    found = []
    for seed in range(2000):
        confidence = rng.integers(1, 11, 300) / 10
        outcomes = (rng.random(300) < confidence).astype(float)
        found.append(calibration_test(confidence, outcomes, draws=199, seed=seed).p_value)
    _holds(found, "tenths, n 300")


@pytest.mark.guarantee
@pytest.mark.parametrize("n", [50, 200, 1000])
def test_size_of_the_tests_of_all_answers(n: int) -> None:
    rng = np.random.default_rng(n)
    for name, test in (("class-wise", class_wise_test), ("distribution", distribution_test)):
        _holds([test(calibrated_forecasts(n, 4, rng), draws=199, seed=seed).p_value for seed in range(1000)], f"{name}, n {n}")


@pytest.mark.guarantee
@pytest.mark.parametrize("n", FLOORS)
def test_noise_floor(n: int) -> None:
    """Mean and 95 % quantile of the ECE over 2,000 calibrated readers."""
    rng = np.random.default_rng(n + 1)
    found = [expected_calibration_error(*beta_reader(n, rng)) for _ in range(2000)]
    print(f"| floor, n {n} | {np.mean(found):.4f} | {np.quantile(found, 0.95):.4f} |")
    assert np.mean(found) == pytest.approx(FLOORS[n][0], abs=0.002)
    assert np.quantile(found, 0.95) == pytest.approx(FLOORS[n][1], abs=0.004)
