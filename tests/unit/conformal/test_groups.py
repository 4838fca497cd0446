"""Overlapping groups: thresholds of every group, what too small or unknown groups get, and the check on held-out labels."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conformal.calibration import find_threshold
from conformal.errors import GuaranteeError, LedgerError, LevelError
from conformal.groups import EVERYONE, calibrate_overlapping, check_groups, holm, read_memberships, require_disjoint
from tests.unit.conformal.test_back_off import ledger

ALPHA = Fraction(1, 10)
A, B, AB = frozenset("a"), frozenset("b"), frozenset("ab")


def grouped(seed: int = 0, n: int = 120) -> tuple[Any, tuple[frozenset[str], ...]]:
    rng = np.random.default_rng(seed)
    memberships = tuple((A, B, AB)[i] for i in rng.integers(0, 3, n))
    return rng.normal(size=n) + np.array([2.0 * ("b" in groups) for groups in memberships]), memberships


def test_an_output_gets_the_highest_threshold_of_its_groups() -> None:
    values, memberships = grouped()
    found = calibrate_overlapping(values, memberships, ALPHA)
    for name in "ab":
        own = find_threshold(values[[name in groups for groups in memberships]], ALPHA)
        assert found.thresholds[name] == own
    assert found.thresholds[EVERYONE] == find_threshold(values, ALPHA)
    assert found.threshold_of(AB) == found.threshold_of(B) == found.thresholds["b"].value
    assert found.threshold_of(frozenset()) == found.thresholds[EVERYONE].value
    assert found.thresholds_for(memberships[:5]).tolist() == [found.threshold_of(groups) for groups in memberships[:5]]


def test_unknown_and_small_groups_withhold() -> None:
    values, memberships = grouped()
    memberships = (*memberships[:-8], *[frozenset({"a", "rare"})] * 8)
    found = calibrate_overlapping(values, memberships, ALPHA)
    assert found.withheld == ("rare",) and found.threshold_of({"a", "rare"}) == math.inf
    assert found.threshold_of({"a", "unheard"}) == math.inf
    least = calibrate_overlapping(values, memberships, ALPHA, minimum=1000)
    assert set(least.withheld) == set(least.thresholds)
    alone = calibrate_overlapping(values, memberships, ALPHA, everyone=False)
    assert EVERYONE not in alone.thresholds and alone.threshold_of(()) == math.inf


def test_simultaneous_pac_shares_delta() -> None:
    values, memberships = grouped(n=400)
    each = calibrate_overlapping(values, memberships, ALPHA, "pac", Fraction(3, 20))
    together = calibrate_overlapping(values, memberships, ALPHA, "pac", Fraction(3, 20), simultaneous=True)
    assert together.delta == Fraction(1, 20) and each.delta == Fraction(3, 20)
    assert all((together.thresholds[n].rank or 0) >= (each.thresholds[n].rank or 0) for n in each.thresholds)
    assert together.thresholds["a"].rank != each.thresholds["a"].rank


def test_mondrian_refuses_overlapping_groups() -> None:
    assert require_disjoint((A, B), ("1", "2")) == ("a", "b")
    with pytest.raises(GuaranteeError, match="'2' is in 2 groups"):
        require_disjoint((A, AB), ("1", "2"))
    with pytest.raises(LedgerError):
        require_disjoint((A, frozenset()), ("1", "2"))


def test_memberships_are_read_strictly() -> None:
    table = ledger(("1", []), group="a|b")
    assert read_memberships(table, "|") == (AB,) and read_memberships(table) == (frozenset({"a|b"}),)
    for group in ("a||b", "a|a", " a|b", None, f"a|{EVERYONE}"):
        with pytest.raises(LedgerError):
            read_memberships(ledger(("1", []), group=group), "|")


def test_bad_calibrations_are_refused() -> None:
    values, memberships = grouped()
    for arguments in ((values[1:], memberships), (values[:0], ())):
        with pytest.raises(LedgerError):
            calibrate_overlapping(arguments[0], arguments[1], ALPHA)  # type: ignore[arg-type]
    with pytest.raises(LedgerError):
        calibrate_overlapping(values[:2], (A, frozenset()), ALPHA, everyone=False)
    with pytest.raises(LevelError):
        calibrate_overlapping(values, memberships, ALPHA, minimum=-1)


def test_holm_against_its_definition() -> None:
    assert holm({"x": 0.01, "y": 0.04, "z": 0.03}) == pytest.approx({"x": 0.03, "z": 0.06, "y": 0.06})
    assert holm({}) == {} and holm({"x": 0.9, "y": 0.8}) == {"y": 1.0, "x": 1.0}


def test_check_uses_the_law_of_an_honest_group() -> None:
    values, memberships = grouped()
    found = calibrate_overlapping(values, memberships, ALPHA, everyone=False)
    holds = np.arange(60) >= 12
    checks = {check.group: check for check in check_groups(found, [AB] * 60, holds)}
    own = found.thresholds["a"]
    assert own.rank is not None
    assert checks["a"].p_value == pytest.approx(stats.betabinom(60, own.rank, own.n + 1 - own.rank).cdf(48), rel=1e-8)
    assert (checks["a"].m, checks["a"].covered) == (60, 48) and checks["a"].adjusted >= checks["a"].p_value


def test_check_finds_the_group_that_fails_and_only_that() -> None:
    values, memberships = grouped(n=600)
    found = calibrate_overlapping(values, memberships, ALPHA)
    rng = np.random.default_rng(1)
    fresh = [A] * 200 + [B] * 200
    holds = rng.random(400) < np.array([0.93] * 200 + [0.7] * 200)
    verdicts = {check.group: check.verdict for check in check_groups(found, fresh, holds)}
    assert verdicts["b"] == "refuted" and verdicts["a"] == "consistent"
    few = {check.group: check.verdict for check in check_groups(found, fresh[:205], holds[:205], minimum=50)}
    assert few["b"] == "not-enough-data"
    assert check_groups(found, fresh[:1], holds[:1])[0].to_json()["group"] == "a"


def test_bad_checks_are_refused() -> None:
    found = calibrate_overlapping(*grouped(), ALPHA)
    with pytest.raises(LedgerError):
        check_groups(found, [A], np.array([True, False]))
    with pytest.raises(LevelError):
        check_groups(found, [A], np.array([True]), level=0)
