"""Metrics of unlearning against their definitions, comparisons by entity, rewordings, and the bets behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from privacy.errors import PlanError, PrivacyError, ScoreError
from privacy.statistics.betting import above_p_value, below_p_value, needed_without_difference
from privacy.statistics.equivalence import Outcome, paired_equivalence, summary_equivalence
from privacy.statistics.reveal import extraction_strength
from privacy.unlearning import metrics
from privacy.unlearning.comparison import Differences, compare, entities_needed
from privacy.unlearning.facts import Fact
from privacy.unlearning.rewordings import reword, reword_by_model
from tests.unit.privacy.fake_model import FakeModel


def test_likelihood_metrics() -> None:
    assert metrics.mean_log_probability([-1.0, -3.0]) == -2.0
    assert metrics.mean_log_probability([-math.inf, 0.0]) == -500.0
    p, wrong = 0.3, [0.1, 0.5]
    ratio = np.mean(wrong) / p
    assert metrics.truth_ratio(math.log(p), np.log(wrong).tolist()) == pytest.approx(1 / (1 + ratio))
    assert metrics.truth_ratio(-900.0, [-1.0]) < 1e-300 and metrics.truth_ratio(-1.0, [-900.0]) == 1.0
    assert metrics.rank_share(-1.0, [-2.0, -1.0, -0.5, -3.0]) == 0.5, "ties count as above"
    for bad in ([], [math.nan], [0.5]):
        with pytest.raises(ScoreError):
            metrics.mean_log_probability(bad)


def test_recall_of_words() -> None:
    assert metrics.rouge_l_recall("The quick brown fox", "a QUICK fox, the brown one") == 0.5
    assert metrics.rouge_l_recall("12 Elm Road", "") == 0.0
    assert metrics.rouge_l_recall("12 Elm Road", "It is 12 Elm Road.") == 1.0
    with pytest.raises(ScoreError):
        metrics.rouge_l_recall("...", "x")
    wrong = ["212-555-0103", "212-555-0199"]
    assert metrics.rouge_l_gain("212-555-0142", wrong, "212-555-0111") == pytest.approx(0.5)
    assert metrics.rouge_l_recall("212-555-0142", "212-555-0111") > 0.6, "the format alone is a recall, and no gain"
    assert metrics.rouge_l_gain("212-555-0142", wrong, "212-555-0142") == pytest.approx(2 / 3)


def test_extraction_strength_by_the_likeliest_tokens() -> None:
    strength = lambda best: extraction_strength(metrics.greedy_matches(best, [5, 6, 7, 8]))  # noqa: E731
    assert strength([5, 6, 7, 8]) == 1.0
    assert strength([5, 0, 7, 8]) == 0.5
    assert strength([5, 6, 7, 0]) == 0.0, "all but the last: no suffix is produced"
    assert strength([0, 0, 0, 0]) == 0.0, "a wholly wrong continuation is 0"
    assert strength([-1, -1, -1, 8]) == 0.25
    with pytest.raises(ScoreError):
        metrics.greedy_matches([1], [1, 2])


def test_bets() -> None:
    assert below_p_value([0.0] * 41, 0.1) <= 0.05 < below_p_value([0.0] * 40, 0.1)
    assert needed_without_difference(0.1, 0.05) == 41
    assert below_p_value([0.1] * 1000, 0.1) == 1.0
    assert above_p_value([0.5] * 30, 0.2) < 0.01 and above_p_value([0.2] * 30, 0.2) == 1.0
    values = np.linspace(-0.4, 0.3, 30)
    assert below_p_value(values, 0.2) == pytest.approx(below_p_value(values[::-1], 0.2)), "the order does not matter"
    assert below_p_value([-1.0] * 5000, 0.9) > 0, "a p-value is never 0"
    for bad, bound in (([], 0.1), ([1.2], 0.1), ([math.nan], 0.1), ([0.0], 1.0)):
        with pytest.raises(PrivacyError):
            below_p_value(bad, bound)


def test_bins_bound_the_differences() -> None:
    model = np.array([0.5, 0.5, 0.73, 0.1, 0.2, 1.0] * 2)
    reference = np.array([0.5, 0.5 - 1e-9, 0.5, 0.4, 0.19, 0.0] * 2)
    found = Differences.measure(model, reference, True)
    assert found.bins == {0: 4, 23: 2, -30: 2, 1: 2, 100: 2}
    order = np.argsort(model - reference)
    assert (np.sort(found.upper) >= (model - reference)[order] - 1e-6).all()
    assert (np.sort(found.lower) <= (model - reference)[order] + 1e-6).all()
    assert Differences.measure(model, reference, False).bins is None
    with pytest.raises(ScoreError):
        Differences.measure([3.0], [0.0], True)
    with pytest.raises(ScoreError):
        Differences.measure([1.0, 0.0], [0.0], True)


def test_of_few_entities_only_the_number_is_told() -> None:
    rng = np.random.default_rng(6)
    few = Differences.measure(rng.random(9), rng.random(9), True)
    assert few == Differences(9, 0.0, 0.0, None) and set(few.to_json().values()) == {9, None}
    found = compare("rank", few, 0.2)
    assert found.outcome is Outcome.INCONCLUSIVE and found.p_different == 1.0 and found.p_equivalent is None


def test_moments_are_rounded_away_from_equivalence() -> None:
    model, reference = np.linspace(0.4001, 0.6, 10), np.full(10, 0.5)
    found = Differences.measure(model, reference, True)
    assert (found.mean, found.deviation) == (0.001, 0.068)
    assert Differences.measure(reference, model, True).mean == -0.001
    assert Differences.measure(model, reference, False).mean == 0.01
    assert Differences.measure(model, model, True).mean == 0.0


def test_a_summary_tests_as_the_values_do() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=25), rng.normal(size=25)
    mean, deviation = float((a - b).mean()), float((a - b).std(ddof=1))
    assert summary_equivalence(mean, deviation, 25, 0.7).interval == pytest.approx(paired_equivalence(a, b, 0.7).interval)
    with pytest.raises(ScoreError):
        summary_equivalence(math.nan, 1.0, 20, 0.1)


def test_outcomes() -> None:
    rng = np.random.default_rng(4)
    at = lambda mean, n: Differences.measure(0.5 + mean + rng.uniform(-0.1, 0.1, n), np.full(n, 0.5), True)  # noqa: E731
    assert compare("rank", at(0.0, 60), 0.2).outcome is Outcome.EQUIVALENT
    assert compare("rank", at(0.4, 60), 0.2).outcome is Outcome.DIFFERENT
    assert compare("rank", at(-0.4, 60), 0.2).outcome is Outcome.DIFFERENT
    assert compare("rank", at(0.2, 60), 0.2).outcome is Outcome.INCONCLUSIVE
    assert compare("rank", at(0.0, 9), 0.2).outcome is Outcome.INCONCLUSIVE
    assert compare("rank", at(0.0, 12), 0.2).outcome is Outcome.INCONCLUSIVE, "a t interval alone would do"
    assert paired_equivalence(np.zeros(12), np.zeros(12), 0.2).outcome is Outcome.EQUIVALENT


def test_numbers_of_entities() -> None:
    assert entities_needed(0.0, 0.1, 0.05, True) == 41
    assert entities_needed(0.0, 0.1, 0.05, False) == 10
    assert 200 < entities_needed(0.5, 0.1, 0.05, False) < 250
    with pytest.raises(PlanError):
        entities_needed(0.0, 1e-9, 0.05, True)


def test_rewordings() -> None:
    found = reword("The phone number of Mara Quillfold is", 8)
    assert len(found) == len(set(found)) == 8 and "The phone number of Mara Quillfold is" not in found
    assert all("Mara Quillfold" in text for text in found), "names keep their capitals"
    assert found[:4] == reword("The phone number of Mara Quillfold is", 4)
    assert reword("Call Mara", 2, ("Ring Mara at", "Dial")) == ("Ring Mara at", "Dial")
    assert reword("Call Mara", 0) == ()
    with pytest.raises(PlanError):
        reword("x", 65)


def test_rewordings_of_another_model() -> None:
    class Paraphraser(FakeModel):
        def write(self, prompts, samples, decoding):  # type: ignore[no-untyped-def]
            return [
                [' "You reach Mara at"\nmore', "Mara has 212-555-0142", "Call Mara at", "", "You reach Mara at"] for _ in prompts
            ]

    fact = Fact("mara", "Call Mara at", "212-555-0142", rewordings=("Ring",))
    (found,) = reword_by_model([fact], Paraphraser(), 5)
    assert found.rewordings == ("You reach Mara at", "Ring")
