"""Error rates of the privacy statistics over null runs: exact p-values, levels over many tests, gates, stopping."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from privacy.dp_bounds.many_sample import band
from privacy.errors import PlanError
from privacy.membership.dataset_inference import infer_dataset
from privacy.membership.rates import compute_auc, conformal_threshold
from privacy.statistics.binomial import binomial_sf
from privacy.statistics.equivalence import Outcome, paired_equivalence
from privacy.statistics.hits import HitMonitor
from privacy.statistics.multiplicity import benjamini_hochberg, discover, holm
from privacy.statistics.ranking import item_p_value, rank_sum_p_value
from privacy.statistics.validity import DecoyGate

ALPHA = 0.05
Event = Callable[[np.random.Generator], float]


def hold(event: Event, level: float, runs: int, seed: int = 20260802) -> float:
    """The mean of `event` (0 or 1) over runs; fails where that is not compatible with at most `level`."""
    rng = np.random.default_rng(seed)
    hits = sum(bool(event(rng)) for _ in range(runs))
    assert binomial_sf(hits, runs, level) > 1e-3, f"{hits} of {runs} at level {level}"
    return hits / runs


def draws(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Exchangeable scores of an unpleasant kind: templates of different scale, correlated over templates, rounded into ties."""
    common = rng.normal(size=shape[1:])
    scale = np.array([1.0, 30.0, 0.2])[: shape[0], None]
    return np.round((common + rng.standard_t(3, size=shape)) * scale, 1)


def item_is_accused(rng: np.random.Generator) -> bool:
    scores = draws(rng, (3, 40))
    return item_p_value(scores[:, 0], scores[:, 1:]) <= ALPHA


def family_errs(rng: np.random.Generator) -> bool:
    """Five items of a subject, two of them memorised: is one of the other three accused?"""
    p = []
    for item in range(5):
        scores = draws(rng, (3, 100))
        p.append(item_p_value(scores[:, 0] + 400 * (item < 2), scores[:, 1:]))
    return bool((holm(p)[2:] <= ALPHA).any())


def global_null_errs(rng: np.random.Generator) -> bool:
    """Fifteen innocent subjects of three items each: is anyone accused?"""
    n = 899
    items = [(1 + rng.integers(0, n + 1, 3)) / (n + 1) for _ in range(15)]
    return any(discover(items, ALPHA).subjects)


def authors_err(rng: np.random.Generator) -> bool:
    """Fifteen subjects of twenty facts among six candidates, none known to the model: is anyone accused?"""
    p = [rank_sum_p_value([int(r) for r in rng.integers(1, 7, 20)], 6) for _ in range(15)]
    return bool((benjamini_hochberg(p) <= ALPHA).any())


def false_share(rng: np.random.Generator) -> float:
    """Of 40 subjects 10 are memorised: the share of false ones among those found."""
    n = 999
    p = (1 + rng.integers(0, n + 1, 40)) / (n + 1)
    p[:10] = (1 + rng.integers(0, 8, 10)) / (n + 1)
    found = benjamini_hochberg(p) <= ALPHA
    return float(found[10:].sum() / max(1, found.sum()))


def gate_lets_through(rng: np.random.Generator) -> bool:
    """A pipeline that accuses 5.5 % of the innocent, with 120 decoys."""
    return DecoyGate(120, int((rng.random(120) < 0.055).sum()), ALPHA).passes


def monitor_errs(rng: np.random.Generator) -> bool:
    """A hit rate of exactly x0, looked at after each of 800 samples."""
    monitor = HitMonitor(0.02, 0.06, ALPHA)
    return any(monitor.update(bool(hit)) for hit in rng.random(800) < 0.02)


def fixed_test_errs(rng: np.random.Generator) -> bool:
    """What looking every time does to a test that is valid once."""
    hits = np.cumsum(rng.random(800) < 0.02)
    return any(binomial_sf(int(hits[n - 1]), n, 0.02) <= ALPHA for n in range(40, 801, 20))


def band_errs(rng: np.random.Generator) -> bool:
    """A law with atoms: is a distribution function outside its band anywhere?"""
    low, high = band(120, ALPHA / 2)
    scores = np.sort(rng.integers(0, 50, 120))
    counts = np.searchsorted(scores, np.arange(50), side="right")
    truth = np.arange(1, 51) / 50
    return bool(((low[counts] > truth) | (truth > high[counts])).any())


def threshold_errs(rng: np.random.Generator) -> bool:
    """One fresh non-member against a threshold from 199 others."""
    return bool(rng.normal() > conformal_threshold(rng.normal(size=199), ALPHA).value)


def guaranteed_threshold_errs(rng: np.random.Generator) -> bool:
    return bool(rng.random() >= 0 and 1 - conformal_threshold(rng.random(300), ALPHA, 0.95).value > ALPHA)


def auc_is_outside(rng: np.random.Generator) -> bool:
    """Shift 1: the true AUC is Phi(1/sqrt 2)."""
    low, high = compute_auc(rng.normal(size=60) + 1, rng.normal(size=60), seed=int(rng.integers(1 << 30))).certain
    return not low <= 0.7602499389 <= high


def dataset_is_accused(rng: np.random.Generator) -> bool:
    features = rng.standard_t(3, size=(60, 4))
    return infer_dataset(features[:30], features[30:], 99, int(rng.integers(1 << 30))).p_value <= ALPHA


def wrongly_equivalent(rng: np.random.Generator) -> bool:
    """The difference is exactly the margin."""
    reference = rng.normal(size=30)
    return paired_equivalence(reference + rng.normal(0.3, 0.4, 30), reference, 0.3).outcome is Outcome.EQUIVALENT


EVENTS: dict[str, tuple[Event, float]] = {
    "one item, 3 templates, N = 39: p <= 5 %": (item_is_accused, ALPHA),
    "Holm, 5 items, 2 memorised: a false one": (family_errs, ALPHA),
    "15 subjects of 3 items, two levels: anyone": (global_null_errs, ALPHA),
    "15 subjects, sums of 20 ranks of 6: anyone": (authors_err, ALPHA),
    "decoys pass a pipeline that errs in 5.5 %": (gate_lets_through, ALPHA),
    "hit monitor, 800 looks": (monitor_errs, ALPHA),
    "band of a distribution function": (band_errs, ALPHA),
    "conformal threshold at 5 %, fresh non-member": (threshold_errs, ALPHA),
    "guaranteed threshold, true rate above 5 %": (guaranteed_threshold_errs, ALPHA),
    "certain AUC interval misses": (auc_is_outside, ALPHA),
    "dataset inference, 4 features": (dataset_is_accused, ALPHA),
    "equivalence at a difference equal to the margin": (wrongly_equivalent, ALPHA),
}


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("name", EVENTS)
def test_level(name: str) -> None:
    event, level = EVENTS[name]
    print(f"\n| {name} | {hold(event, level, 4000):.4f} |")


@pytest.mark.guarantee
@pytest.mark.slow
def test_false_discovery_rate() -> None:
    """Mean share of false discoveries, 4,000 runs with 10 of 40 memorised: at most alpha, here alpha times 30/40."""
    rng = np.random.default_rng(11)
    shares = np.array([false_share(rng) for _ in range(4000)])
    print(f"\n| Benjamini-Hochberg, 10 of 40 memorised: false share | {shares.mean():.4f} |")
    assert shares.mean() <= ALPHA + 3 * shares.std() / len(shares) ** 0.5
    assert abs(shares.mean() - 0.75 * ALPHA) < 4 * shares.std() / len(shares) ** 0.5


@pytest.mark.parametrize("name", EVENTS)
def test_level_slice(name: str) -> None:
    event, level = EVENTS[name]
    hold(event, level, 120, seed=1)


def test_the_measurement_sees_wrong_levels() -> None:
    """A test valid for one look, looked at often; a maximum over templates taken for the target alone."""

    def maximum_of_target_alone(rng: np.random.Generator) -> bool:
        scores = rng.normal(size=(5, 40))
        return (1 + (scores[0, 1:] >= scores[:, 0].max()).sum()) / 40 <= ALPHA

    for event in (fixed_test_errs, maximum_of_target_alone):
        with pytest.raises(AssertionError):
            hold(event, ALPHA, 300)


def test_a_plan_too_small_is_refused_before_any_rate() -> None:
    with pytest.raises(PlanError, match="at least 19"):
        conformal_threshold(np.arange(10.0), ALPHA)
