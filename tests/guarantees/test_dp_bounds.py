"""Lower bounds on epsilon exceed the true epsilon in at most alpha of all runs, however the threshold was found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from privacy.dp_bounds.canaries import Canaries
from privacy.dp_bounds.cut_offs import bound_by_grid, bound_by_split, bound_by_splits
from privacy.dp_bounds.many_sample import bound_many_sample
from privacy.dp_bounds.one_run import CutOffs, bound_one_run
from privacy.statistics.binomial import binomial_sf
from tests.guarantees.published_bounds import privacy_meter_is_positive, tf_privacy_is_positive

ALPHA = 0.05
METHODS: dict[str, Callable[[Canaries], float]] = {
    "one run, fixed cut-offs": lambda c: bound_one_run(c, CutOffs(c.m // 8, c.m // 8), ALPHA).epsilon,
    "one run, grid at alpha/G": lambda c: bound_by_grid(c, ALPHA).epsilon,
    "one run, split": lambda c: bound_by_split(c, ALPHA).epsilon,
    "one run, median of 21 splits": lambda c: bound_by_splits(c, ALPHA).epsilon,
    "many samples, all thresholds": lambda c: bound_many_sample(c, ALPHA).epsilon,
}
PUBLISHED: dict[str, Callable[[Canaries], bool]] = {
    "privacy-meter, argmax of its grid": lambda c: privacy_meter_is_positive(c.scores, c.included),
    "TF-privacy, best Clopper-Pearson": lambda c: tf_privacy_is_positive(c.scores, c.included, "clopper-pearson"),
    "TF-privacy, best Bailey": lambda c: tf_privacy_is_positive(c.scores, c.included, "bailey"),
}


def coin_canaries(m: int, rng: np.random.Generator) -> Canaries:
    """One run under the null: fair coins, and scores that know nothing of them."""
    return Canaries.build(rng.normal(size=m), rng.random(m) < 0.5)


def halves(m: int, rng: np.random.Generator) -> Canaries:
    """Many samples under the null: as many canaries in as out."""
    return Canaries.build(rng.normal(size=m), rng.permutation(np.arange(m) % 2 == 0))


def draw_null(name: str, m: int, rng: np.random.Generator) -> Canaries:
    return (halves if name.startswith(("many", "TF")) else coin_canaries)(m, rng)


def runs_of(name: str) -> int:
    """The repeated splits are the slow ones."""
    return 1000 if "21 splits" in name else 4000


def randomised_response(m: int, epsilon: float, rng: np.random.Generator) -> Canaries:
    """The mechanism that spends its epsilon exactly: the coin itself, flipped with probability 1/(1 + e^eps). Rows by coin, so
    that ties broken by the order of rows would reveal them."""
    included = np.sort(rng.random(m) < 0.5)
    told = np.where(rng.random(m) < 1 / (1 + np.exp(epsilon)), ~included, included)
    return Canaries.build(told.astype(float), included)


def rate_above(bound: Callable[[Canaries], float], draw: Callable[[], Canaries], limit: float, runs: int) -> float:
    """How often the bound exceeds `limit`; fails where that is not compatible with at most alpha."""
    hits = sum(bound(draw()) > limit for _ in range(runs))
    assert binomial_sf(hits, runs, ALPHA) > 1e-3, f"{hits} of {runs} above {limit}"
    return hits / runs


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("m", [100, 400, 1000])
def test_null_runs(m: int) -> None:
    """At least 1,000 null runs: every method, and the published procedures beside them."""
    print(f"\n| m = {m}, 4,000 null runs (splits: 1,000) | bounds above 0 |\n|---|---|")
    for name, bound in METHODS.items():
        rng = np.random.default_rng([20260802, m])
        rate = rate_above(bound, partial(draw_null, name, m, rng), 0.0, runs_of(name))
        print(f"| {name} | {rate:.3f} |")
    for name, positive in PUBLISHED.items():
        rng = np.random.default_rng([20260802, m])
        print(f"| {name} | {np.mean([positive(draw_null(name, m, rng)) for _ in range(runs_of(name))]):.3f} |")


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_tight_mechanism(name: str) -> None:
    """Randomised response with epsilon 1: the bound above 1 in at most alpha of them."""
    rng = np.random.default_rng(7)
    rate = rate_above(METHODS[name], lambda: randomised_response(300, 1.0, rng), 1.0, runs_of(name))
    print(f"\n| {name}: above epsilon = 1 | {rate:.3f} |")


@pytest.mark.parametrize("name", METHODS)
def test_slice(name: str) -> None:
    rng = np.random.default_rng(3)
    runs = 28 if "21 splits" in name else 200
    rate_above(METHODS[name], partial(draw_null, name, 100, rng), 0.0, runs)
    rate_above(METHODS[name], lambda: randomised_response(100, 1.0, rng), 1.0, runs // 4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_procedures_are_no_bounds(name: str) -> None:
    """The measurement sees what it is for."""
    rng = np.random.default_rng(5)
    hits = sum(PUBLISHED[name](draw_null(name, 400, rng)) for _ in range(400))
    assert binomial_sf(hits, 400, ALPHA) < 1e-3, hits


@pytest.mark.parametrize("name", METHODS)
def test_leaks_are_seen(name: str) -> None:
    """A bound of 0 would hold its level too."""
    rng = np.random.default_rng(9)
    included = rng.random(400) < 0.5
    assert METHODS[name](Canaries.build(rng.normal(size=400) + 2.5 * included, included)) > 1
