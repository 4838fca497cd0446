"""White-box beats black-box on held-out planted people; a model that never saw them shows no gain; levels of the gain's tests."""

from __future__ import annotations

import numpy as np
import pytest

from audit.runners.planted import PlantedPlan
from privacy.probes.white_box.gain import Gain, betting_p_value, measure_gain, shift_interval, sign_flip_p_value
from privacy.probes.white_box.results import WhiteBoxResult, ranks_of_people
from privacy.probes.white_box.tuning import Tuning
from privacy.statistics.binomial import binomial_sf
from tests import planted_white_box

pytestmark = pytest.mark.guarantee
PLANTED = [PlantedPlan(seed=seed, people=((16, 140),), heldout=60, types=("phone",)) for seed in (2, 1)]
RUNS = 1000


def probe(planted: PlantedPlan, model: PlantedPlan) -> WhiteBoxResult:
    """80 people to tune on, 60 others measured, at a level that keeps the number of nulls and decoys, and the time, low."""
    tuning = Tuning(steps=200, patience=4)
    result = planted_white_box.probe(planted, model, planted_white_box.LETTER, trained=80, alpha=0.2, decoys=30, tuning=tuning)[1]
    print(planted_white_box.describe(result))
    return result


def pool(results: list[WhiteBoxResult]) -> list[Gain]:
    """The gains over black box and control prompt, over the people of several models together."""
    ranks = [
        {
            f"{place} {id_}": row
            for place, result in enumerate(results)
            for id_, row in ranks_of_people(getattr(result, name)).items()
        }
        for name in ("black_box", "control", "prompted")
    ]
    nulls = results[0].plan.probe.nulls
    return [measure_gain(ranks[2], other, nulls, name) for other, name in zip(ranks, ("black box", "control prompt"))]


def test_held_out_people_are_recalled_better_after_a_soft_prompt() -> None:
    over_none, over_control = pool([probe(planted, planted) for planted in PLANTED])
    print(over_none, over_control, sep="\n")
    # Measured: +0.109 with p = 2.5e-6, and +0.038 with p = 0.02. The second varies from model to model: a prompt tuned on
    # invented people of the same format brings out much of what is remembered, too.
    assert over_none.p_value <= 0.01 and over_none.interval[0] > 0
    assert over_control.mean > -0.02


def test_a_model_that_never_saw_them_shows_no_gain() -> None:
    result = probe(PLANTED[0], PLANTED[0].reference())
    assert max(gain.p_value for gain in result.gains) > 0.01
    assert result.prompted.found <= 6


def ranks_under_two_prompts(rng: np.random.Generator, people: int = 30, nulls: int = 60) -> np.ndarray:
    """Differences of percentiles where nobody is remembered: a value is one of N + 1 alike, scored by two related prompts."""
    first = rng.normal(size=(people, nulls + 1))
    second = 0.6 * first + 0.8 * rng.exponential(size=(people, nulls + 1))  # related, and of another shape
    ranks = [1 + (scores[:, 1:] >= scores[:, :1]).sum(axis=1) for scores in (first, second)]
    return np.asarray((ranks[0] - ranks[1]) / (nulls + 1))


def test_levels_where_nothing_is_remembered() -> None:
    rng = np.random.default_rng(20260804)
    flips = bets = missed = 0
    for _ in range(RUNS):
        differences = ranks_under_two_prompts(rng)
        flips += sign_flip_p_value(differences) <= 0.05
        bets += betting_p_value(differences) <= 0.05
    for _ in range(RUNS // 5):
        low, high = shift_interval(ranks_under_two_prompts(rng), 0.05)
        missed += not low <= 0 <= high
    print(f"sign flips {flips / RUNS:.3f}, betting {bets / RUNS:.3f}, interval misses {missed / (RUNS // 5):.3f}")
    assert binomial_sf(flips, RUNS, 0.05) > 1e-3 and binomial_sf(bets, RUNS, 0.05) > 1e-3
    assert binomial_sf(missed, RUNS // 5, 0.05) > 1e-3
