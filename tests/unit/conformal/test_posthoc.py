"""Levels chosen after the fact: menus of e-values and simultaneous bands against their definitions; everything else refused."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conformal.calibration import find_threshold
from conformal.errors import GuaranteeError, LedgerError, LevelError
from conformal.posthoc import calibrate_band, calibrate_menu, menu_places, require_post_hoc
from conformal.posthoc_band import berk_jones_bounds, never_below

MENU = [Fraction(1, 20), Fraction(1, 10), Fraction(1, 5), Fraction(3, 10)]


def test_one_level_is_the_plain_threshold() -> None:
    values = np.random.default_rng(0).normal(size=57)
    for level in MENU:
        assert calibrate_menu(values, [level]).threshold(level) == find_threshold(values, level).value


@pytest.mark.parametrize("n", [1, 19, 20, 99, 333])
def test_the_menu_is_an_e_value(n: int) -> None:
    """Over the n + 1 places the fresh score can have, the mean of max over failing levels of 1 / level is at most 1."""
    values = np.arange(n, dtype=float)
    found = calibrate_menu(values, MENU)
    assert found.price == 1 + Fraction(1, 2) + Fraction(1, 2) + Fraction(1, 3)
    e_values = []
    for fresh in np.arange(-0.5, n):  # between every two calibration scores, and beyond
        failing = [1 / level for level in MENU if fresh > found.threshold(level)]
        e_values.append(max(failing, default=Fraction(0)))
    mean = sum(e_values, Fraction(0)) / (n + 1)
    assert len(e_values) == n + 1 and mean <= 1
    assert mean > 1 - Fraction(20, n + 1)  # and less than one place of the strictest level is given away


def test_left_over_places_are_used() -> None:
    menu = sorted(MENU)
    found = calibrate_menu(np.arange(20.0), menu)
    assert menu_places(20, menu, found.price) == [0, 1, 3, 3]  # 10 + 2 * 5 = 20 of 21; rounding down alone: 0, 0, 1, 2
    assert found.threshold(menu[1]) == 19.0


def test_plain_thresholds_are_no_e_value() -> None:
    """What the menu repairs: the same sum over plain thresholds is the price, above 1."""
    values = np.arange(399, dtype=float)
    plain = {level: find_threshold(values, level).value for level in MENU}
    worst = [max((1 / level for level in MENU if fresh > plain[level]), default=Fraction(0)) for fresh in np.arange(-0.5, 399)]
    assert sum(worst, Fraction(0)) / 400 == 1 + Fraction(1, 2) + Fraction(1, 2) + Fraction(1, 3)


def test_levels_outside_the_menu_are_refused() -> None:
    found = calibrate_menu(np.arange(100.0), MENU)
    with pytest.raises(GuaranteeError, match="not declared"):
        found.threshold(Fraction(3, 20))
    with pytest.raises(GuaranteeError, match="after its retention was seen"):
        require_post_hoc(None)
    assert require_post_hoc(found) is found


def test_too_few_labels_abstain() -> None:
    found = calibrate_menu(np.arange(30.0), MENU)
    assert found.threshold(MENU[0]) == math.inf and found.threshold(MENU[-1]) < math.inf
    assert calibrate_band(np.arange(30.0), Fraction(1, 20)).threshold(Fraction(1, 100)) == math.inf


@pytest.mark.parametrize("n", [1, 2, 7])
def test_chance_that_no_order_statistic_falls_below(n: int) -> None:
    """Against the closed forms: one bound alone is a Beta quantile, and bounds 0 .. 0, x cost only the largest."""
    for k in range(1, n + 1):
        bounds = np.array([0.0] * (k - 1) + [0.3] * (n - k + 1))
        assert never_below(bounds) == pytest.approx(stats.beta(k, n + 1 - k).sf(0.3), abs=1e-12)
    assert never_below(np.zeros(n)) == pytest.approx(1.0)
    linear = np.arange(n) / (n + 1)
    assert never_below(linear) == pytest.approx(_by_simulation(linear), abs=0.01)


def _by_simulation(bounds: Any) -> float:
    uniforms = np.sort(np.random.default_rng(0).random((100_000, len(bounds))), axis=1)
    return float((uniforms >= bounds).all(axis=1).mean())


@pytest.mark.parametrize("n", [1, 10, 150])
def test_exact_band_uses_its_delta_up(n: int) -> None:
    band = calibrate_band(np.arange(float(n)), Fraction(1, 20))
    assert 0.95 <= never_below(band.bounds) <= 0.951
    assert (np.diff(band.bounds) > 0).all()


def test_bounds_have_the_same_divergence() -> None:
    bounds = berk_jones_bounds(50, 3.0)
    share = np.arange(1, 51) / 50
    far = share * np.log(share / bounds)
    far[:-1] += (1 - share[:-1]) * np.log((1 - share[:-1]) / (1 - bounds[:-1]))
    assert 50 * far == pytest.approx(np.full(50, 3.0), abs=1e-6)
    assert bounds[-1] == pytest.approx(math.exp(-3 / 50))


def test_bands_are_read_from_both_sides() -> None:
    values = np.random.default_rng(1).normal(size=200)
    for kind in ("dkw", "order-statistics"):
        band = calibrate_band(values, Fraction(1, 20), kind)  # type: ignore[arg-type]
        threshold = band.threshold(Fraction(1, 5))
        assert band.coverage_at(threshold) >= 0.8 > band.coverage_at(np.nextafter(threshold, -9))
        assert threshold > find_threshold(values, Fraction(1, 5)).value
        assert band.coverage_at(-99.0) == 0 and band.coverage_at(99.0) < 1
    tight, wide = (
        calibrate_band(values, Fraction(1, 20), kind).threshold(Fraction(1, 20)) for kind in ("order-statistics", "dkw")
    )
    assert tight < wide == math.inf


@pytest.mark.parametrize("menu", [[], [Fraction(0)], [Fraction(1)], [Fraction(1, 2), Fraction(1, 2)]])
def test_bad_menus_are_refused(menu: Any) -> None:
    with pytest.raises(LevelError):
        calibrate_menu(np.arange(9.0), menu)


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf]])
def test_bad_scores_are_refused(values: Any) -> None:
    for make in (lambda v: calibrate_menu(v, MENU), lambda v: calibrate_band(v, Fraction(1, 20))):
        with pytest.raises(LedgerError):
            make(np.array(values))


def test_bad_bands_are_refused() -> None:
    for arguments in ((Fraction(0), "dkw"), (Fraction(3, 5), "dkw"), (Fraction(1, 20), "wide")):
        with pytest.raises(LevelError):
            calibrate_band(np.arange(9.0), *arguments)  # type: ignore[arg-type]
    with pytest.raises(LevelError):
        calibrate_band(np.arange(5000.0), Fraction(1, 20))
    with pytest.raises(LevelError):
        calibrate_band(np.arange(9.0), Fraction(1, 20)).threshold(Fraction(1))
