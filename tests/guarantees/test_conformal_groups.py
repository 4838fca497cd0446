"""Overlapping groups: miscoverage within every group stays below alpha, and the held-out check keeps its level."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conformal.calibration import find_threshold
from conformal.groups import EVERYONE, OverlappingThresholds, calibrate_overlapping, check_groups

ALPHA, DELTA = Fraction(1, 10), Fraction(1, 10)
KINDS = (frozenset("a"), frozenset("b"), frozenset("ab"), frozenset("c"), frozenset("abc"))
SHARES = np.array([0.35, 0.25, 0.2, 0.15, 0.05])
MEANS = np.array([0.0, 1.0, 0.5, 2.0, -1.0])  # of the conformity scores of each kind of output


def drawn(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    kinds = rng.choice(len(KINDS), n, p=SHARES)
    return rng.normal(size=n) + MEANS[kinds], kinds


def coverage(thresholds: dict[Any, float], group: str) -> float:
    """Exact: the chance that an output of a group does not fail at the threshold its kind gets."""
    inside = [i for i, kind in enumerate(KINDS) if group == EVERYONE or group in kind]
    return float(np.average([stats.norm.cdf(thresholds[KINDS[i]] - MEANS[i]) for i in inside], weights=SHARES[inside]))


def calibrated(rng: np.random.Generator, n: int, mode: Any = "marginal") -> OverlappingThresholds:
    values, kinds = drawn(rng, n)
    return calibrate_overlapping(values, [KINDS[kind] for kind in kinds], ALPHA, mode, DELTA)


def coverages(draws: int, n: int, mode: Any = "marginal") -> dict[str, Any]:
    rng = np.random.default_rng(n)
    rows: dict[str, list[float]] = {}
    for _ in range(draws):
        found = calibrated(rng, n, mode)
        used = {kind: found.threshold_of(kind) for kind in KINDS}
        for group in ("a", "b", "c", EVERYONE):
            rows.setdefault(group, []).append(coverage(used, group))
    return {group: np.array(values) for group, values in rows.items()}


def judge_means(rows: dict[str, Any]) -> None:
    for group, values in rows.items():
        assert values.mean() >= 1 - float(ALPHA) - 3 * values.std() / np.sqrt(len(values)), (group, values.mean())


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 1000])
def test_miscoverage_within_groups(n: int) -> None:
    rows = coverages(1000, n)
    print(n, {group: round(1 - float(values.mean()), 4) for group, values in rows.items()})
    judge_means(rows)


@pytest.mark.guarantee
@pytest.mark.slow
def test_pac_within_groups() -> None:
    for group, values in coverages(1000, 400, "pac").items():
        missed = int((values < 1 - float(ALPHA)).sum())
        assert stats.binom.sf(missed - 1, len(values), float(DELTA)) > 1e-3, (group, missed)


def false_refutations(draws: int) -> int:
    rng, wrong = np.random.default_rng(9), 0
    for _ in range(draws):
        found = calibrated(rng, 200)
        values, kinds = drawn(rng, 150)
        memberships = [KINDS[kind] for kind in kinds]
        checks = check_groups(found, memberships, values <= found.thresholds_for(memberships))
        wrong += any(check.verdict == "refuted" for check in checks)
    return wrong


@pytest.mark.guarantee
@pytest.mark.slow
def test_the_check_keeps_its_level_over_all_groups() -> None:
    wrong = false_refutations(1000)
    assert stats.binom.sf(wrong - 1, 1000, 0.05) > 1e-3, wrong


def test_groups_slice() -> None:
    judge_means(coverages(60, 100))
    assert stats.binom.sf(false_refutations(40) - 1, 40, 0.05) > 1e-3


def test_one_threshold_for_all_would_fail() -> None:
    """The measurement sees what it is for: the marginal threshold breaks the promise within group c."""
    rng, found = np.random.default_rng(2), []
    for _ in range(60):
        value = find_threshold(drawn(rng, 100)[0], ALPHA).value
        found.append(coverage(dict.fromkeys(KINDS, value), "c"))
    with pytest.raises(AssertionError):
        judge_means({"c": np.array(found)})
