"""Bounds on epsilon: published figures, monotone p-values, ties, and refusals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.dp_bounds.canaries import Canaries, parse_canaries
from privacy.dp_bounds.cut_offs import bound_by_grid, bound_by_split, bound_by_splits, default_grid
from privacy.dp_bounds.many_sample import band, band_ranks, bound_many_sample
from privacy.dp_bounds.one_run import CutOffs, bound_one_run, compute_p_value, epsilon_lower, order_coins
from privacy.errors import PlanError, PrivacyError, ScoreError

BRIEF = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize(
    ("figures", "published"), [((1000, 100, 75, 0.05, 1e-4), 0.673), ((100_000, 1510, 1439, 0.05, 1e-5), 2.675)]
)
def test_figures_of_the_paper(figures: tuple[int, int, int, float, float], published: float) -> None:
    """arXiv 2305.08846, Appendix D and Section 7."""
    assert epsilon_lower(*figures) == pytest.approx(published, abs=1e-3)


@given(st.integers(1, 60), st.data(), st.floats(0, 4), st.sampled_from([0.0, 1e-4, 0.01]))
@BRIEF
def test_p_value_against_its_definition(guesses: int, data: st.DataObject, epsilon: float, delta: float) -> None:
    correct, m = data.draw(st.integers(0, guesses)), guesses + data.draw(st.integers(0, 40))
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    pmf = [math.comb(guesses, i) * q**i * (1 - q) ** (guesses - i) for i in range(guesses + 1)]
    slack = max((sum(pmf[correct - i : correct]) / i for i in range(1, correct + 1)), default=0.0)
    wanted = min(1.0, sum(pmf[correct:]) + 2 * m * delta * slack)
    assert compute_p_value(m, guesses, correct, epsilon, delta) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@given(st.integers(1, 200), st.data())
@BRIEF
def test_bound_is_where_p_reaches_alpha(guesses: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, guesses))
    epsilon = epsilon_lower(guesses, guesses, correct)
    if epsilon == 0:
        assert compute_p_value(guesses, guesses, correct, 0.0) >= 0.05
    else:
        assert compute_p_value(guesses, guesses, correct, epsilon) == pytest.approx(0.05, rel=1e-6)


def test_extremes() -> None:
    assert epsilon_lower(100, 0, 0) == 0 and epsilon_lower(100, 100, 0) == 0
    assert epsilon_lower(10**4, 10**4, 10**4) == pytest.approx(math.log(1 / math.expm1(-math.log(0.05) / 10**4)), rel=1e-4)
    assert compute_p_value(10, 10, 5, 0.0, 0.5) == 1.0


@pytest.mark.parametrize("wrong", [(5, 6, 1), (5, 4, 5), (5, -1, 0)])
def test_impossible_guesses(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(PlanError):
        compute_p_value(*wrong, epsilon=0.0)


@pytest.mark.parametrize(
    ("alpha", "delta"), [(0.0, 0.0), (1.0, 0.0), (math.nan, 0.0), (0.05, 1.0), (0.05, -0.1), (0.05, math.nan)]
)
def test_impossible_levels(alpha: float, delta: float) -> None:
    canaries = Canaries.build(np.arange(20.0), np.arange(20) % 2 == 0)
    for bound in (bound_by_grid, bound_by_split, bound_by_splits, bound_many_sample):
        with pytest.raises(PlanError):
            bound(canaries, alpha, delta)


def test_order_of_rows_decides_no_ties() -> None:
    """All scores equal, rows sorted by the coins: a stable sort would reveal every coin."""
    canaries = Canaries.build(np.zeros(400), np.arange(400) >= 200)
    assert bound_one_run(canaries, CutOffs(100, 100)).epsilon < 0.5
    assert order_coins(canaries, 1).sum() == 200
    assert bound_many_sample(canaries).epsilon == 0


@pytest.mark.parametrize("bound", [bound_by_grid, bound_by_split, bound_by_splits, bound_many_sample])
def test_order_of_rows_changes_nothing(bound: Callable[[Canaries], Any]) -> None:
    rng = np.random.default_rng(6)
    included = rng.random(100) < 0.5
    canaries = Canaries.build(np.round(rng.normal(size=100) + 2 * included), included)
    assert bound(canaries) == bound(canaries.take(np.argsort(included, kind="stable")))
    assert bound(canaries) == bound(canaries.take(rng.permutation(100)))


def test_both_sides_count() -> None:
    """Only the lowest scores tell anything: k- guesses see it, k+ guesses do not."""
    rng = np.random.default_rng(1)
    included = rng.random(400) < 0.5
    scores = np.where(~included & (rng.random(400) < 0.5), -9.0, 0.0) + rng.normal(0, 0.1, 400)
    canaries = Canaries.build(scores, included)
    assert bound_one_run(canaries, CutOffs(50, 0)).epsilon > 1.5 > bound_one_run(canaries, CutOffs(0, 50)).epsilon
    assert bound_by_grid(canaries).best.cut_offs.k_minus > 0


def test_all_directions_count() -> None:
    rng = np.random.default_rng(2)
    included = np.arange(600) % 2 == 0
    base = np.where(rng.random(600) < 0.4, 9.0, 0.0)
    found = {}
    for marked, sign in itertools.product((True, False), (1, -1)):
        scores = sign * np.where(included == marked, base, 0.0)
        found[bound_many_sample(Canaries.build(scores, included)).direction] = True
    assert set(found) == {"TPR/FPR", "TNR/FNR", "FPR/TPR", "FNR/TNR"}


def test_delta_lowers_a_bound() -> None:
    rng = np.random.default_rng(3)
    included = rng.random(500) < 0.5
    canaries = Canaries.build(rng.normal(size=500) + 2 * included, included)
    for bound in (bound_by_grid, bound_many_sample):
        assert 0 < bound(canaries, 0.05, 1e-5).epsilon < bound(canaries, 0.05).epsilon


@given(st.integers(1, 100))
@BRIEF
def test_bands_are_ordered_and_tight_at_the_ends(n: int) -> None:
    low, high = band(n, 0.05)
    assert low[0] == 0 and high[n] == 1 and (low <= high).all() and (np.diff(low) >= 0).all() and (np.diff(high) >= 0).all()
    assert {1, n} <= set(band_ranks(n)) and len(band_ranks(n)) <= 60


def test_grid_depends_on_m_alone() -> None:
    assert default_grid(2) and all(1 <= p.k_minus + p.k_plus <= 100 for p in default_grid(100))
    assert len(default_grid(10_000)) == 18


def test_too_few_canaries() -> None:
    few = Canaries.build([1.0], [True])
    for bound in (bound_by_grid, bound_by_split, bound_by_splits, bound_many_sample):
        with pytest.raises(PlanError):
            bound(few)
    with pytest.raises(PlanError):
        bound_one_run(few, CutOffs(1, 1))
    with pytest.raises(PlanError):
        bound_by_splits(Canaries.build(np.arange(20.0), np.arange(20) % 2 == 0), repeats=20)


@pytest.mark.parametrize(
    "text",
    ["", "score\n1", "score,included\n", "score,included\n1,2", "score,included\nnan,1", "score,included\nx,1",
     "score,included\n1", "canary,score,included\na,1,1\na,2,0", 'score,included\n"1,1'],
)  # fmt: skip
def test_malformed_files(text: str) -> None:
    with pytest.raises(ScoreError):
        parse_canaries(text.encode())


def test_reading() -> None:
    found = parse_canaries(b"\xef\xbb\xbfcanary,included,score\na,in,1.5\nb,0,-2\nc,TRUE,0\n")
    assert list(found.scores) == [1.5, -2.0, 0.0] and list(found.included) == [True, False, True]
    with pytest.raises(PrivacyError):
        parse_canaries(b"\xff")
