"""Drift monitoring keeps its false-alarm level over exchangeable streams, and finds the shifts of section 5.5."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conformal.drift.monitor import DriftMonitor, Settings
from conformal.losses import AtMostFalse
from tests.data.folder import data_folder
from tests.unit.conformal.drift_streams import biographies, conformity, scored

CALIBRATION, QUIET, SHIFTED = 500, 200, 600
USUAL, RARE = 0.897, 0.817  # at most 3 false: base rates .71 and .47, as medium and above, rare and very rare


def first_alarm(calibration: Any, stream: Any, settings: Settings) -> float:
    found = DriftMonitor(settings, scored(calibration, "c"))
    for item in scored(stream, "s"):
        if found.feed(*item).alarm:
            return float(found.alarm_index or 0)
    return math.inf


def alarm_rate(draws: int, settings: Settings, stream: int, tied: float, calibrated_on: int = CALIBRATION) -> float:
    """Of exchangeable streams; a share `tied` of the scores is -Infinity. Ranks do not depend on the law of the others."""
    rng = np.random.default_rng(20260804)
    alarms = 0
    for _ in range(draws):
        values = np.where(rng.random(calibrated_on + stream) < tied, -np.inf, rng.random(calibrated_on + stream))
        alarms += first_alarm(values[:calibrated_on], values[calibrated_on:], settings) < math.inf
    return alarms / draws


def at_most(rate: float, draws: int, level: float = 0.05) -> bool:
    return bool(stats.binom.sf(round(rate * draws) - 1, draws, level) > 1e-3)


SETTINGS = {
    "ranks": Settings(),
    "mixture": Settings(bet="mixture"),
    "histogram": Settings(bet="histogram"),
    "errors": Settings(tests=("errors",)),
    "both": Settings(tests=("ranks", "errors")),
}


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("tied", [0.0, 0.65])
@pytest.mark.parametrize("name", SETTINGS)
def test_false_alarms(name: str, tied: float) -> None:
    rate = alarm_rate(1000, SETTINGS[name], QUIET + SHIFTED, tied)
    assert at_most(rate, 1000), rate


@pytest.mark.guarantee
@pytest.mark.slow
def test_false_alarms_after_a_small_calibration() -> None:
    """Ranks hold whatever n; errors hold although the true error rate of 20 outputs' threshold varies widely."""
    for name in ("ranks", "errors"):
        rate = alarm_rate(1000, SETTINGS[name], 1000, 0.0, calibrated_on=20)
        assert at_most(rate, 1000), (name, rate)


@pytest.mark.guarantee
@pytest.mark.slow
def test_the_shift_of_the_design_document() -> None:
    rng = np.random.default_rng(55)
    usual, rare = banks(rng)
    alarms = []
    for _ in range(1000):
        like = rng.choice(usual, CALIBRATION + QUIET, replace=False)
        stream = np.concatenate([like[CALIBRATION:], rng.choice(rare, SHIFTED, replace=False)])
        alarms.append(first_alarm(like[:CALIBRATION], stream, Settings()))
    after = np.array(alarms) - QUIET
    early, found = float((after < 0).mean()), after[(after >= 0) & np.isfinite(after)]
    print(f"false alarm {early:.3f}, found {len(found) / 1000:.3f}, median delay {np.median(found):.0f}")
    assert at_most(early, 1000) and len(found) / (1000 * (1 - early)) >= 0.95 and np.median(found) <= 90


def banks(rng: np.random.Generator) -> tuple[Any, Any]:
    """Conformity scores (at most 3 false) of usual and of rare biographies, to draw from without replacement."""
    loss = AtMostFalse(3)
    return conformity(biographies(rng, 20_000, USUAL), loss), conformity(biographies(rng, 20_000, RARE), loss)


@pytest.mark.guarantee
@pytest.mark.slow
def test_adaptive_level_restores_the_target() -> None:
    rng = np.random.default_rng(56)
    usual, rare = banks(rng)
    fixed, adaptive = [], []
    for _ in range(100):
        found = DriftMonitor(Settings(), scored(rng.choice(usual, CALIBRATION, replace=False), "c"))
        for item in scored(rng.choice(rare, SHIFTED, replace=False), "s"):
            found.feed(*item)
        fixed.append(np.mean([reading.error for reading in found.readings]))
        adaptive.append(np.mean([reading.adaptive_error for reading in found.readings]))
    print(f"miscoverage after the shift: fixed {np.mean(fixed):.3f}, adaptive {np.mean(adaptive):.3f}")
    assert np.mean(fixed) > 0.14 and abs(np.mean(adaptive) - 0.1) < 0.01


def test_false_alarms_slice() -> None:
    for name, settings in SETTINGS.items():
        rate = alarm_rate(40, settings, 200, 0.5, calibrated_on=100)
        assert at_most(rate, 40), (name, rate)


def test_counting_would_see_a_level_that_does_not_hold() -> None:
    """The same measurement with the alarm at wealth 2 instead of 20."""
    rate = alarm_rate(60, Settings(level=Fraction(1, 2)), 200, 0.5, calibrated_on=100)
    assert not at_most(rate, 60)


@pytest.mark.data
@pytest.mark.parametrize("score", ["frequencies", "logprobs", "selfevals"])
def test_medical_answers(score: str) -> None:
    """200 answers like those calibrated on, then those with more unsupported claims than three quarters of all."""
    path = data_folder() / "conformal" / "medlfqa.npz"
    if not path.exists():
        pytest.skip(f"no {path}")
    from conformal.arrays import hash_jitter, read_arrays
    from conformal.labels import LabelPolicy

    table = read_arrays(path)
    truth = table.truth(LabelPolicy())
    values = AtMostFalse(0).conformity(table, hash_jitter(table.score(score)), truth)
    unsupported = np.bincount(table.owners, weights=~truth, minlength=table.n_outputs)
    rng, alarms = np.random.default_rng(1), []
    for _ in range(20):
        order = rng.permutation(len(values))
        rest = order[CALIBRATION + QUIET :]
        worse = rest[unsupported[rest] >= np.quantile(unsupported, 0.75)][:SHIFTED]
        stream = values[np.concatenate([order[CALIBRATION : CALIBRATION + QUIET], worse])]
        alarms.append(first_alarm(values[order[:CALIBRATION]], stream, Settings()))
    early, found = np.mean(np.array(alarms) < QUIET), np.mean(np.isfinite(alarms))
    print(f"{score}: early {early:.2f}, found {found:.2f}, median delay {np.median(alarms) - QUIET:.0f}")
    assert at_most(float(early), 20) and found >= 0.95
