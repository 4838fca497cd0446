"""Realised coverage of certificates and the size and power of their audits, over at least 1,000 synthetic vendors each.

The true coverage of a threshold is known in closed form here: an output has one false claim with a uniform score, or none with
probability BASE, so its conformity score lies at or below q with probability BASE + (1 - BASE) q. With BASE = 0 the scores have
no ties and the coverage follows Beta(k, n + 1 - k) exactly.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from conformal.betting import BettingAudit
from conformal.issuing import make_promise
from conformal.levels import pac_rank
from conformal.losses import ALL_TRUE
from conformal.planning import audit_certificate, audit_size
from conformal.promise import GroupThreshold, Promise, find_group_threshold
from tests.unit.conformal.crossing import crossing_probability

ALPHA, DELTA, DRAWS = Fraction(1, 10), Fraction(1, 20), 1000
SIZES = (20, 50, 100, 200, 500, 1000)
# Every test below is one look at fixed seeds; with about 60 looks a chance alarm at 1e-4 each stays unlikely.
CHANCE = 1e-4
pytestmark = pytest.mark.guarantee


@cache
def promise(delta: Fraction | None = None, by_group: bool = False) -> Promise:
    return make_promise("s", ALL_TRUE, ALPHA, delta=delta, by_group=by_group)


def coverages(n: int, delta: Fraction | None, base: float, draws: int) -> tuple[GroupThreshold, npt.NDArray[np.float64]]:
    """The true coverage of `draws` calibrated vendors."""
    rng = np.random.default_rng([n, draws, int(100 * base), delta is None])
    out = np.empty(draws)
    for i in range(draws):
        scores = np.where(rng.random(n) < base, -np.inf, rng.random(n))
        found = find_group_threshold(promise(delta), None, scores.tolist())
        out[i] = 1.0 if found.abstains else base + (1 - base) * max(found.value, 0.0) if found.value > -np.inf else base
    return found, out


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("mode", ["marginal", "pac"])
def test_coverage_follows_the_beta_law(mode: str, n: int) -> None:
    delta = DELTA if mode == "pac" else None
    found, realised = coverages(n, delta, 0.0, DRAWS)
    if found.rank is None:
        assert mode == "pac" and n < 29 and (realised == 1).all()
        return
    assert stats.kstest(realised, stats.beta(found.rank, n + 1 - found.rank).cdf).pvalue > CHANCE
    low, high = (float(text) for text in found.interval)
    inside = int(((realised >= low) & (realised <= high)).sum())
    assert stats.binomtest(inside, DRAWS, 0.95).pvalue > CHANCE


@pytest.mark.parametrize("n", SIZES)
def test_marginal_coverage_on_fresh_outputs(n: int) -> None:
    """P(right) over draw and output lies in [1 - alpha, 1 - alpha + 1/(n + 1)]."""
    _, realised = coverages(n, None, 0.0, 4 * DRAWS)
    right = int((np.random.default_rng(n).random(len(realised)) < realised).sum())
    assert stats.binomtest(right, len(realised), 0.9, alternative="less").pvalue > CHANCE
    assert stats.binomtest(right, len(realised), 0.9 + 1 / (n + 1), alternative="greater").pvalue > CHANCE


@pytest.mark.parametrize("base", [0.3, 0.95])
@pytest.mark.parametrize("n", SIZES)
def test_ties_at_minus_infinity_only_raise_coverage(n: int, base: float) -> None:
    found, realised = coverages(n, None, base, DRAWS)
    assert found.rank is not None
    law = stats.beta(found.rank, n + 1 - found.rank)
    assert stats.kstest(realised, law.cdf, alternative="greater").pvalue > CHANCE
    assert base < 0.9 or realised.mean() >= base - 1e-9


@pytest.mark.parametrize("n", [30, 50, 100, 200, 500, 1000])
def test_pac_mode_fails_no_more_often_than_delta(n: int) -> None:
    _, realised = coverages(n, DELTA, 0.0, 4 * DRAWS)
    below = int((realised < 0.9).sum())
    assert stats.binomtest(below, len(realised), float(DELTA), alternative="greater").pvalue > CHANCE


@pytest.mark.parametrize("delta", [None, DELTA], ids=["marginal", "pac"])
@pytest.mark.parametrize("sizes", [(20, 100), (50, 500), (100, 900)])
def test_every_group_by_itself_follows_its_law(sizes: tuple[int, int], delta: Fraction | None) -> None:
    """Two groups, one much harder than the other, through the certificate's own derivation of thresholds."""
    from conformal.certificate import Row, derive_thresholds

    rng = np.random.default_rng(sizes)
    hardness = {"easy": 3.0, "hard": 0.5}
    realised: dict[str, list[float]] = {name: [] for name in hardness}
    ranks = {}
    for _ in range(DRAWS):
        rows = tuple(
            Row("0" * 64, float(rng.random() ** power), name)
            for (name, power), n in zip(hardness.items(), sizes)
            for _ in range(n)
        )
        for found in derive_thresholds(promise(delta, by_group=True), rows):
            assert found.group is not None
            ranks[found.group] = (found.rank, found.n)
            realised[found.group].append(1.0 if found.abstains else found.value ** (1 / hardness[found.group]))
    for name, (rank, n) in ranks.items():
        if rank is None:
            assert n < 29 and set(realised[name]) == {1.0}
        else:
            assert stats.kstest(realised[name], stats.beta(rank, n + 1 - rank).cdf).pvalue > CHANCE


@pytest.mark.parametrize("m", [50, 200, 1000])
@pytest.mark.parametrize("n", [50, 200, 1000])
def test_the_fixed_audit_refutes_honest_vendors_at_most_at_its_level(n: int, m: int) -> None:
    found, realised = coverages(n, None, 0.0, 2 * DRAWS)
    assert found.rank is not None
    verdicts = {s: audit_certificate(s, m, n, found.rank).verdict for s in range(m + 1)}
    right = np.random.default_rng([n, m]).binomial(m, realised)
    refuted = sum(verdicts[int(s)] == "refuted" for s in right)
    assert stats.binomtest(refuted, len(realised), 0.05, alternative="greater").pvalue > CHANCE
    assert refuted > 0


@pytest.mark.parametrize("n", [500, 1000, 5000])
def test_a_five_point_shortfall_is_found_with_the_planned_power(n: int) -> None:
    found, _ = coverages(n, None, 0.0, 1)
    assert found.rank is not None
    m = audit_size(n, ALPHA, 0.05)
    bad = found.rank / (n + 1) - 0.05
    right = np.random.default_rng(n).binomial(m, bad, DRAWS)
    verdicts = {s: audit_certificate(int(s), m, n, found.rank).verdict for s in set(right.tolist())}
    refuted = sum(verdicts[int(s)] == "refuted" for s in right)
    assert stats.binomtest(refuted, DRAWS, 0.8, alternative="less").pvalue > CHANCE


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_bets_against_honest_vendors_hold_at_every_stopping_time(n: int) -> None:
    """The worst stopping rule, stop as soon as the wealth is high, over real label streams, beside the exact probability."""
    found, realised = coverages(n, None, 0.0, DRAWS)
    assert found.rank is not None
    rng, refuted, horizon = np.random.default_rng(n), 0, 150
    for coverage in realised:
        audit = BettingAudit(n, found.rank)
        labels = rng.random(horizon) < coverage
        for right in labels:
            audit.add(bool(right))
        refuted += audit.state().p_value <= 0.05
    exact = crossing_probability(n, found.rank, horizon, 0.05)
    assert exact <= 0.05
    assert stats.binomtest(refuted, DRAWS, exact).pvalue > CHANCE


@pytest.mark.parametrize("mode", ["marginal", "pac"])
@pytest.mark.parametrize("n", [20, 50, 200, 1000])
def test_the_exact_crossing_probability_stays_below_the_level(mode: str, n: int) -> None:
    rank = promise().rank(n) if mode == "marginal" else pac_rank(n, ALPHA, DELTA)
    if rank is not None:
        assert crossing_probability(n, rank, 2000, 0.05) <= 0.05


def test_bets_find_a_five_point_shortfall() -> None:
    """At n = 1000, against a fixed coverage five points below, with the power that the fixed plan promises, sooner or later."""
    assert crossing_probability(1000, 901, 1000, 0.05, 901 / 1001 - 0.05) >= 0.8
