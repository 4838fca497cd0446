"""Scores against scikit-learn and closed forms; bins that drop nothing; the decomposition as an identity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformal.errors import LevelError
from conformal.linguistic.binning import equal_mass
from conformal.linguistic.calibration_error import expected_calibration_error
from conformal.linguistic.decomposition import decompose
from conformal.linguistic.scores import Forecasts, accuracy, brier, build_forecasts, log_score


def sample(n: int, width: int, seed: int) -> Forecasts:
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.ones(width), n)
    return build_forecasts(rows.tolist(), rng.integers(0, width, n).tolist())


def test_proper_scores_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    forecasts = sample(300, 4, 1)
    labels = list(range(4))
    ours = -log_score(forecasts, floor=1e-15)
    assert ours == pytest.approx(metrics.log_loss(forecasts.truth, forecasts.probabilities, labels=labels), rel=1e-12)
    onehot = np.eye(4)[forecasts.truth]
    assert brier(forecasts) == pytest.approx(float(((forecasts.probabilities - onehot) ** 2).sum(axis=1).mean()), rel=1e-12)
    assert accuracy(forecasts) == metrics.accuracy_score(forecasts.truth, forecasts.probabilities.argmax(axis=1))
    parts = decompose(forecasts.confidence, forecasts.right)
    assert parts.brier == pytest.approx(metrics.brier_score_loss(forecasts.right, forecasts.confidence), rel=1e-12)


def test_two_options_have_twice_the_binary_brier_score() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    forecasts = sample(200, 2, 3)
    binary = metrics.brier_score_loss(forecasts.truth, forecasts.probabilities[:, 1])
    assert brier(forecasts) == pytest.approx(2 * binary, rel=1e-12)


def test_bins_agree_with_the_calibration_curve_of_scikit_learn() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    rng = np.random.default_rng(5)
    confidence = rng.random(1000)
    outcomes = (rng.random(1000) < confidence**2).astype(float)
    observed, stated = calibration.calibration_curve(outcomes, confidence, n_bins=20, strategy="quantile")
    found = equal_mass(confidence, 20)
    assert found.means(outcomes) == pytest.approx(observed) and found.means(confidence) == pytest.approx(stated)
    assert expected_calibration_error(confidence, outcomes, 20) == pytest.approx(np.abs(observed - stated).mean())


def test_closed_forms() -> None:
    """A uniform forecast over K options: Brier 1 - 1/K, log score -log K. A sure and wrong one: 2 and the floor."""
    uniform = build_forecasts([[0.25] * 4] * 8, [0, 1, 2, 3] * 2)
    assert brier(uniform) == pytest.approx(0.75) and log_score(uniform) == pytest.approx(-math.log(4))
    wrong = build_forecasts([[1.0, 0.0]], [1])
    assert brier(wrong) == 2.0 and log_score(wrong) == pytest.approx(math.log(1e-4)) and accuracy(wrong) == 0.0


def test_ece_of_constant_confidence_is_the_gap() -> None:
    """Equal forecasts share a bin whatever the number of bins, so the error is |accuracy - confidence| exactly."""
    outcomes = np.array([1.0] * 30 + [0.0] * 73)
    assert expected_calibration_error(np.full(103, 0.9), outcomes, 20) == pytest.approx(0.9 - 30 / 103)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=70), st.integers(1, 25), st.integers(0, 2**32 - 1)
)
def test_bins_and_decomposition(points: list[tuple[int, bool]], bins: int, seed: int) -> None:
    confidence = np.array([value / 8 for value, _ in points])
    outcomes = np.array([float(hit) for _, hit in points])
    found = equal_mass(confidence, bins)
    assert sorted(found.order.tolist()) == list(range(len(points)))
    assert found.sizes.sum() == len(points) and (found.sizes > 0).all() and len(found.sizes) <= bins
    bin_of = found.spread(np.arange(len(found.sizes), dtype=float))
    for value in set(confidence.tolist()):
        assert len(set(bin_of[confidence == value].tolist())) == 1
    parts = decompose(confidence, outcomes, bins)
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within_variance - parts.within_covariance
    assert whole == pytest.approx(parts.brier, abs=1e-12)
    assert parts.reliability - parts.generalized_resolution + parts.uncertainty == pytest.approx(parts.brier, abs=1e-12)
    shuffled = np.random.default_rng(seed).permutation(len(points))
    again = expected_calibration_error(confidence[shuffled], outcomes[shuffled], bins)
    assert again == pytest.approx(expected_calibration_error(confidence, outcomes, bins), abs=1e-12)


@pytest.mark.parametrize("n", [19, 20, 21, 997, 1013])
def test_sizes_differ_by_one_and_no_point_is_dropped(n: int) -> None:
    found = equal_mass(np.random.default_rng(0).random(n), 20)
    assert found.sizes.sum() == n and found.sizes.max() - found.sizes.min() <= 1


def test_hedging_everything_alike_is_reliable_and_resolves_nothing() -> None:
    rng = np.random.default_rng(9)
    truth = rng.random(4000)
    outcomes = (rng.random(4000) < truth).astype(float)
    hedged, sharp = decompose(np.full(4000, outcomes.mean()), outcomes), decompose(truth, outcomes)
    assert hedged.reliability < 1e-12 and hedged.resolution < 1e-12
    assert sharp.resolution > 0.05 and sharp.brier < hedged.brier


@pytest.mark.parametrize(
    ("rows", "truth"),
    [
        ([], []),
        ([[0.5, 0.6]], [0]),
        ([[0.5, float("nan")]], [0]),
        ([[1.5, -0.5]], [0]),
        ([[0.5, 0.5]], [2]),
        ([[0.5, 0.5]], [0, 1]),
    ],
)
def test_bad_forecasts_are_refused(rows: list[list[float]], truth: list[int]) -> None:
    with pytest.raises(LevelError):
        build_forecasts(rows, truth)


@pytest.mark.parametrize("floor", [0.0, 1.0, -1.0, float("nan")])
def test_bad_floors_are_refused(floor: float) -> None:
    with pytest.raises(LevelError):
        log_score(sample(5, 3, 0), floor)


def test_bad_bins_are_refused() -> None:
    for bins in (0, -1, 1001, True):
        with pytest.raises(LevelError):
            equal_mass(np.array([0.5]), bins)
    with pytest.raises(LevelError):
        equal_mass(np.array([np.nan]), 2)
