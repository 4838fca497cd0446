"""The reward: proper, bounded, and not to be gained by certainty, silence or repetition."""

from __future__ import annotations

import itertools
import math

import pytest

from conformal.linguistic.training.merging import NO_ANSWER, paragraph
from conformal.linguistic.training.questions import TrainingError
from conformal.linguistic.training.reading import read_stated
from conformal.linguistic.training.reward import FORMS, RewardRule

CLASSES = (0.97, 0.80, 0.60, 0.35)
GRID = [i / 100 for i in range(101)]


def expected(rule: RewardRule, forecast: dict[str, float], truth: dict[str, float]) -> float:
    """Mean reward when each answer is true with its probability, and otherwise an answer that no text names."""
    unnamed = 1.0 - sum(truth.values())
    return sum(p * rule.score(forecast, [answer]) for answer, p in truth.items()) + unnamed * rule.score(forecast, ["other"])


def best_single(rule: RewardRule, accuracy: float) -> float:
    """The confidence a text that names one answer does best to state."""
    return max(GRID, key=lambda p: expected(rule, {"a": p}, {"a": accuracy}))


@pytest.mark.parametrize("form", ["log", "brier"])
@pytest.mark.parametrize("accuracy", CLASSES)
def test_one_answer_is_best_stated_at_its_accuracy(form: str, accuracy: float) -> None:
    assert best_single(RewardRule(form), accuracy) == pytest.approx(accuracy, abs=1e-9)


@pytest.mark.parametrize("accuracy", CLASSES)
def test_as_published_one_answer_is_best_stated_at_certainty(accuracy: float) -> None:
    """The defect the default corrects: the fine on a sum below 1 drives a lone answer to 100 %, however rarely it is right."""
    assert best_single(RewardRule("published"), accuracy) == 1.0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("truth", [(0.6, 0.3, 0.1), (0.5, 0.5, 0.0), (0.34, 0.33, 0.33)])
def test_full_lists_are_best_stated_at_the_truth(form: str, truth: tuple[float, ...]) -> None:
    """Over all forecasts on a grid, sums above and below 1 included, as Theorem C.2 has it for a weight above 1."""
    rule, names = RewardRule(form), "abc"
    told = dict(zip(names, truth))
    honest = expected(rule, told, told)
    for step in itertools.product(range(21), repeat=3):
        forecast = {name: k / 20 for name, k in zip(names, step) if k}
        assert expected(rule, forecast, told) <= honest + 1e-9


@pytest.mark.parametrize("form", ["log", "brier"])
def test_certainty_about_everything_does_not_pay(form: str) -> None:
    rule = RewardRule(form)
    honest = sum(expected(rule, {"a": p}, {"a": p}) for p in CLASSES)
    certain = sum(expected(rule, {"a": 1.0}, {"a": p}) for p in CLASSES)
    every = sum(expected(rule, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": p, "b": (1 - p) / 2, "c": (1 - p) / 2}) for p in CLASSES)
    assert certain < honest - 0.1 and every < certain


@pytest.mark.parametrize("form", ["log", "brier"])
@pytest.mark.parametrize("accuracy", [*CLASSES, 0.1])
def test_hiding_an_answer_does_not_pay(form: str, accuracy: float) -> None:
    """No answer, an empty text and a text that names a decoy all score below the honest statement."""
    rule = RewardRule(form)
    honest = expected(rule, read_stated(paragraph([("a", accuracy)])), {"a": accuracy})
    for text in ("", NO_ANSWER, "The answer is not for me to say.", paragraph([("decoy", 0.01)])):
        assert expected(rule, read_stated(text), {"a": accuracy}) < honest


@pytest.mark.parametrize("form", ["log", "brier"])
def test_naming_the_second_answer_pays(form: str) -> None:
    rule, truth = RewardRule(form), {"a": 0.5, "b": 0.3}
    assert expected(rule, truth, truth) > expected(rule, {"a": 0.5}, truth)


def test_repeating_an_answer_does_not_pay() -> None:
    """Neither twice the same, nor at two confidences, nor at 100 % beside another answer."""
    rule, truth = RewardRule(), {"a": 0.6}
    honest = expected(rule, read_stated(paragraph([("a", 0.6)])), truth)
    assert expected(rule, read_stated(paragraph([("a", 0.6), ("a", 0.6)])), truth) == honest
    assert expected(rule, read_stated(paragraph([("a", 0.6), ("a", 0.2)])), truth) == rule.bounds[0]
    assert expected(rule, read_stated(paragraph([("a", 1.0), ("b", 0.4)])), truth) < honest


def test_a_weight_of_one_is_refused_because_over_unity_would_be_free() -> None:
    with pytest.raises(TrainingError, match="more than 1"):
        RewardRule(weight=1.0)


@pytest.mark.parametrize("members", [{"floor": 0.0}, {"floor": 0.02}, {"share": 1.0}, {"weight": math.nan}, {"form": "linear"}])
def test_rules_that_are_not_proper_are_refused(members: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        RewardRule(**members)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_the_bounds_are_kept_and_reached(form: str) -> None:
    rule = RewardRule(form)
    low, high = rule.bounds
    scores = [rule.score(f, ["a"]) for f in ({}, {"a": 1.0}, {"b": 1.0}, {"a": 0.2, "b": 0.8}, {"a": 0.0, "b": 1.0})]
    assert all(low - 1e-12 <= score <= high + 1e-12 for score in scores)
    assert max(scores) == pytest.approx(high) and min(scores) == pytest.approx(low)


@pytest.mark.parametrize("probability", [math.nan, math.inf, -0.1, 1.1])
def test_a_broken_reader_trains_nothing(probability: float) -> None:
    with pytest.raises(TrainingError, match="probability"):
        RewardRule().score({"a": probability}, ["a"])


def test_the_published_formula() -> None:
    """log max(f_y, 1e-4) - 5 |1 - sum f| + 5, by hand."""
    rule = RewardRule("published")
    assert rule.score({"Paris": 0.6, "Lyon": 0.3}, ["paris"]) == pytest.approx(math.log(0.6) - 5 * 0.1 + 5)
    assert rule.score({"Paris": 0.9, "Lyon": 0.3}, ["Nice"]) == pytest.approx(math.log(1e-4) - 5 * 0.2 + 5)


def test_spellings_of_the_answer_are_one_answer() -> None:
    rule = RewardRule()
    assert rule.score({"the seine": 0.7}, ["Seine", "La Seine"]) == pytest.approx(math.log(0.7))
