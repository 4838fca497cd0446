"""Levels chosen after the fact by an adversary who sees everything, the answer's own score included."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conformal.calibration import find_threshold
from conformal.posthoc import calibrate_band, calibrate_menu

MENU = [Fraction(1, 20), Fraction(1, 10), Fraction(1, 5), Fraction(3, 10)]
FRESH = 400


def worst_choice(thresholds: dict[Fraction, float], fresh: Any) -> float:
    """Mean of 1{failure} / alpha over fresh scores when the smallest level that fails is picked for each."""
    worst = np.zeros(len(fresh))
    for level in sorted(thresholds, reverse=True):
        worst[fresh > thresholds[level]] = float(1 / level)
    return float(worst.mean())


def menu_draws(draws: int, n: int, plain: bool = False, tied: bool = False) -> Any:
    rng, out = np.random.default_rng(n), []
    for _ in range(draws):
        values = rng.random(n + FRESH)
        values = np.floor(values * 8) if tied else values
        menu = calibrate_menu(values[:n], MENU)
        thresholds = {level: find_threshold(values[:n], level).value if plain else menu.threshold(level) for level in MENU}
        out.append(worst_choice(thresholds, values[n:]))
    return np.array(out)


def judge(values: Any) -> None:
    assert values.mean() <= 1 + 3 * values.std() / np.sqrt(len(values)), values.mean()


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n", [20, 100, 1000])
def test_menu(n: int, tied: bool) -> None:
    values = menu_draws(1000, n, tied=tied)
    print(f"n {n}, tied {tied}: E[1(failure) / alpha] {values.mean():.3f}")
    judge(values)


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["order-statistics", "dkw"])
@pytest.mark.parametrize("n", [20, 100, 1000])
def test_band(n: int, kind: Any) -> None:
    bounds = calibrate_band(np.arange(float(n)), Fraction(1, 20), kind).bounds
    uniforms = np.sort(np.random.default_rng(n).random((4000, n)), axis=1)
    broken = int((uniforms < bounds).any(axis=1).sum())
    print(f"{kind}, n {n}: some bound fails in {broken / 4000:.4f} of draws")
    assert stats.binom.sf(broken - 1, 4000, 0.05) > 1e-3
    if kind == "order-statistics":
        assert stats.binom.cdf(broken, 4000, 0.0475) > 1e-3


def test_posthoc_slice() -> None:
    judge(menu_draws(80, 60))
    bounds = calibrate_band(np.arange(60.0), Fraction(1, 20)).bounds
    uniforms = np.sort(np.random.default_rng(1).random((400, 60)), axis=1)
    assert stats.binom.sf(int((uniforms < bounds).any(axis=1).sum()) - 1, 400, 0.05) > 1e-3


def test_plain_thresholds_would_fail() -> None:
    with pytest.raises(AssertionError):
        judge(menu_draws(80, 60, plain=True))
