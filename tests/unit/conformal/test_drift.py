"""Drift: p-values against their definition, bets that are fair, alarms, saved states, and streams that must be refused."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conformal.drift.adaptive import AdaptiveLevel, fails
from conformal.drift.betting import BETS, open_bet
from conformal.drift.error_process import ErrorProcess
from conformal.drift.monitor import DriftMonitor, Settings
from conformal.drift.ranks import ScorePool, tie_break
from conformal.drift.state import read_state, write_state
from conformal.errors import LedgerError, LevelError
from conformal.losses import AtMostFalse
from tests.unit.conformal.drift_streams import biographies, conformity, scored

MINUS = -math.inf


def monitor(n: int = 60, seed: int = 1, **settings: Any) -> DriftMonitor:
    return DriftMonitor(Settings(**settings), scored(np.random.default_rng(seed).normal(size=n), "c"))


def fed(rng: np.random.Generator, outputs: int = 40, shift: float = 0.0, **settings: Any) -> DriftMonitor:
    found = monitor(**settings)
    for item in scored(rng.normal(size=outputs) + shift, "s"):
        found.feed(*item)
    return found


def test_p_values_against_the_definition() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, 80).astype(float)
    values[values == 0] = MINUS
    pool = ScorePool(values[:50])
    for i, score in enumerate(values[50:]):
        before = values[: 50 + i]
        uniform = float(rng.random())
        expected = ((before > score).sum() + uniform * ((before == score).sum() + 1)) / (len(before) + 1)
        assert pool.smoothed_p(float(score), uniform) == pytest.approx(expected, abs=1e-15)
        pool.add(float(score))


def test_p_values_are_uniform_even_when_most_scores_are_tied() -> None:
    rng = np.random.default_rng(2)
    stream = np.where(rng.random(4000) < 0.7, MINUS, rng.integers(0, 3, 4000))
    found = DriftMonitor(Settings(), scored(stream[:1000], "c"))
    p_values = [found.feed(*item).p for item in scored(stream[1000:], "s")]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    unbroken = [ScorePool(stream[:1000]).smoothed_p(float(score), 0.5) for score in stream[1000:]]
    assert stats.kstest(unbroken, "uniform").pvalue < 1e-6


def test_tie_breaks_are_a_function_of_seed_and_index() -> None:
    assert tie_break(3, 5) == tie_break(3, 5) and 0 <= tie_break(3, 5) < 1
    assert len({tie_break(seed, index) for seed in range(20) for index in range(50)}) == 1000


@pytest.mark.parametrize("name", BETS)
def test_bets_are_fair(name: str) -> None:
    """Whatever was learnt, the mean of the next factor over uniform p is 1."""
    rng = np.random.default_rng(4)
    grid = (np.arange(1000) + 0.5) / 1000
    history = rng.beta(1, 3, 60).tolist()
    factors = []
    for p in grid.tolist():
        bet = open_bet(name)
        for seen in history:
            bet.factor(seen)
        factors.append(bet.factor(p))
    assert np.mean(factors) == pytest.approx(1.0, abs=1e-12)
    assert np.std(factors) > 0.1  # it does bet
    assert open_bet(name).factor(0.0) > 0 and open_bet(name).factor(1.0) > 0


def test_jumper_is_the_published_recursion() -> None:
    p_values = np.random.default_rng(5).random(200)
    slopes, capital = np.array([-1, -0.5, 0, 0.5, 1]), np.full(5, 0.2)
    bet, log_wealth = open_bet("jumper"), 0.0
    for p in p_values:
        capital = (0.99 * capital + 0.01 * capital.sum() / 5) * (1 + slopes * (p - 0.5))
        log_wealth += math.log(bet.factor(float(p)))
    assert log_wealth == pytest.approx(math.log(capital.sum()), abs=1e-9)


def test_errors_may_be_as_frequent_as_calibration_allows() -> None:
    process = ErrorProcess(500, 451, 0.05)
    assert process.base_rate == pytest.approx(1 - stats.beta(451, 50).ppf(0.01), abs=1e-9)
    for bet in process._bets:
        mean = process.base_rate * (1 + bet * (1 - process.base_rate)) + (1 - process.base_rate) * (1 - bet * process.base_rate)
        assert mean == pytest.approx(1.0)
    for _ in range(40):
        process.feed(True)
    assert process.log_wealth > process.alarm_at
    never = ErrorProcess(5, None, 0.05)
    assert never.base_rate == 0 and never.feed(False) == 0


def test_level_is_shared_by_the_tests() -> None:
    both = fed(np.random.default_rng(0), tests=("ranks", "errors")).summary()["tests"]
    alone = fed(np.random.default_rng(0)).summary()["tests"]
    assert set(both) == {"ranks", "errors"} and set(alone) == {"ranks"}
    assert both["ranks"]["alarm_at"] == pytest.approx(alone["ranks"]["alarm_at"] + math.log(2))
    assert alone["ranks"]["alarm_at"] == pytest.approx(math.log(20))


def test_a_shift_raises_an_alarm_that_stays() -> None:
    found = fed(np.random.default_rng(3), outputs=150, shift=1.0, tests=("ranks", "errors"))
    assert found.alarm_index is not None and found.summary()["verdict"] == "alarm"
    assert found.readings[found.alarm_index].alarm and not found.readings[found.alarm_index - 1].alarm
    for item in scored(np.random.default_rng(4).normal(size=400), "later"):
        assert found.feed(*item).alarm


def test_no_alarm_is_not_called_no_shift() -> None:
    """A shift that leaves r alike: other claims, the same conformity scores."""
    summary = fed(np.random.default_rng(5)).summary()
    assert summary["verdict"] == "no-alarm" and "not that there is none" in summary["note"]
    assert "no-shift" not in json.dumps(summary)


def test_design_shift_is_found_and_quiet_before_it() -> None:
    """A seeded slice of the guarantee: base rate .71 -> .47, at most 3 false, calibrated on 500."""
    rng, loss = np.random.default_rng(7), AtMostFalse(3)
    delays, early = [], 0
    for _ in range(20):
        calibration = conformity(biographies(rng, 500, 0.897), loss)
        found = DriftMonitor(Settings(), scored(calibration, "c"))
        before, after = conformity(biographies(rng, 200, 0.897), loss), conformity(biographies(rng, 600, 0.817), loss)
        for item in scored(np.concatenate([before, after]), "s"):
            found.feed(*item)
            if found.alarm_index is not None:
                break
        early += found.alarm_index is not None and found.alarm_index < 200
        delays.append(math.inf if found.alarm_index is None else found.alarm_index - 200)
    assert early <= 3 and np.isfinite(delays).mean() >= 0.9 and np.median(delays) <= 120


def test_adaptive_level_is_exact_and_bounded() -> None:
    level = AdaptiveLevel(Fraction(1, 10))
    for error in (True, False, False):
        level.feed(error)
    assert level.current == Fraction(1, 10) + Fraction(1, 50) * (3 * Fraction(1, 10) - 1)
    pool = ScorePool(range(9))
    assert AdaptiveLevel(Fraction(1, 10)).threshold(pool) == 8 and AdaptiveLevel(Fraction(9, 100)).threshold(pool) == math.inf
    for _ in range(2000):
        level.feed(False)
    assert level.current == 1 and level.threshold(pool) == MINUS


def test_adaptive_bound_holds_against_an_adversary() -> None:
    """Whenever the threshold is finite, the next score lies above it: the share of errors stays below the bound all the same."""
    found = monitor(alpha=Fraction(1, 5))
    for index in range(600):
        threshold = found.next_threshold
        found.feed(f"s{index}", 1e6 + index if threshold < math.inf else 0.0)
        assert found.adaptive.errors / (index + 1) <= found.adaptive.bound + 1e-12
    assert found.adaptive.errors > 0.2 * 600  # the adversary did get its share


def test_failing_follows_the_comparator() -> None:
    assert fails(1.0, 1.0, ">=") and not fails(1.0, 1.0, ">") and fails(1.1, 1.0, ">")
    assert not fails(MINUS, MINUS, ">=") and fails(0.0, MINUS, ">") and not fails(5.0, math.inf, ">=")


def test_state_resumes_where_it_stood() -> None:
    rng = np.random.default_rng(9)
    items = [*scored(np.where(rng.random(80) < 0.3, MINUS, rng.normal(size=80)), "s")]
    settings = {"tests": ("ranks", "errors"), "bet": "mixture", "seed": 5, "described": {"score": "frequency"}}
    whole, part = monitor(**settings), monitor(**settings)
    for item in items:
        whole.feed(*item)
    for item in items[:33]:
        part.feed(*item)
    resumed = read_state(write_state(part))
    assert resumed.settings == part.settings
    for item in items[33:]:
        resumed.feed(*item)
    assert resumed.readings == whole.readings and write_state(resumed) == write_state(whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(alarm_index=3),
        lambda s: s["fed"].pop(),
        lambda s: s["fed"][3].__setitem__(1, 9.0),
        lambda s: s["fed"][3].__setitem__(1, "Infinity"),
        lambda s: s["fed"][3].__setitem__(1, True),
        lambda s: s["fed"][3].__setitem__(1, 10**400),
        lambda s: s["fed"].append(s["calibration"][0]),
        lambda s: s["settings"].update(seed=6),
        lambda s: s["settings"].update(seed=True),
        lambda s: s["settings"].update(level="0"),
        lambda s: s["settings"].update(bet="all-in"),
        lambda s: s["settings"].update(tests=[]),
        lambda s: s["settings"].update(tests=["ranks", 1]),
        lambda s: s["settings"].update(extra=1),
        lambda s: s["settings"].update(described={"a": 1}),
        lambda s: s.update(calibration=[]),
        lambda s: s.update(format="assay-drift-state/2"),
        lambda s: s.pop("evidence"),
        lambda s: s["evidence"].update(ranks=99.0),
        lambda s: s["evidence"].update(ranks="1"),
    ],
)
def test_changed_states_are_refused(change: Any) -> None:
    state = json.loads(write_state(fed(np.random.default_rng(1))))
    assert read_state(json.dumps(state)).fed
    change(state)
    with pytest.raises((LedgerError, LevelError)):
        read_state(json.dumps(state))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": NaN}', "[" * 100_000])
def test_text_that_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(LedgerError):
        read_state(text)


@pytest.mark.parametrize("score", [math.nan, math.inf, None, "1", True])
def test_scores_that_are_none_are_refused_and_change_nothing(score: Any) -> None:
    found = fed(np.random.default_rng(1), outputs=3)
    before = write_state(found)
    with pytest.raises(LedgerError):
        found.feed("new", score)
    assert write_state(found) == before and not found.has_seen("new")


@pytest.mark.parametrize("identity", ["c0", "s1", ""])
def test_outputs_that_are_not_fresh_are_refused(identity: str) -> None:
    with pytest.raises(LedgerError):
        fed(np.random.default_rng(1), outputs=3).feed(identity, 0.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"tests": ()}, {"tests": ("ranks", "ranks")}, {"tests": ("shift",)}, {"level": Fraction(0)}, {"alpha": Fraction(1)},
        {"step": Fraction(2)}, {"seed": -1}, {"seed": 1.0}, {"bet": "x"}, {"comparator": "<"},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings: Any) -> None:
    with pytest.raises(LevelError):
        Settings(**settings)


def test_calibration_must_exist() -> None:
    with pytest.raises(LedgerError):
        DriftMonitor(Settings(), [])
