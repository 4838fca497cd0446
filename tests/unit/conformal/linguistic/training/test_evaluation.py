"""Figures of the before/after table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from conformal.linguistic.training.evaluation import Judged, compare, figures, judge, resamples
from conformal.linguistic.training.questions import Question, TrainingError
from conformal.linguistic.training.reading import read_stated
from conformal.linguistic.training.recipe import ANOTHER, extractive_judge, named_options
from conformal.linguistic.training.reward import RewardRule

QUESTIONS = [Question(str(i), f"q{i}?", ("yes",), f"entity {i // 2}") for i in range(8)]


def _read(question: Question, text: str, options: Sequence[str]) -> Mapping[str, float]:
    return read_stated(text)


def _judged(confidence: list[float], right: list[float]) -> Judged:
    zeros = np.zeros(len(right))
    return Judged(np.array(confidence), np.array(right), zeros, zeros)


def test_a_silent_paragraph_is_wrong_with_full_confidence() -> None:
    judged = judge(
        QUESTIONS[:2], ["I do not know the answer.", "The answer is yes, with 80% confidence."], _read, {}, RewardRule()
    )
    assert figures(judged) == pytest.approx(
        {"accuracy": 0.5, "ece": (1.0 + 0.2) / 2, "brier": (1 + 0.04) / 2, "reward": (math.log(1e-4) + math.log(0.8)) / 2}
        | {"no_answer": 0.5}
    )


def test_silence_cannot_lower_the_error() -> None:
    """Answering at 50 % and being right half the time is calibrated; saying nothing instead is not."""
    spoken = ["The answer is yes, with 50% confidence.", "The answer is no, with 50% confidence."] * 4
    calibrated = figures(judge(QUESTIONS, spoken, _read, {}, RewardRule()))
    silent = figures(judge(QUESTIONS, spoken[:4] + [""] * 4, _read, {}, RewardRule()))
    assert calibrated["ece"] == pytest.approx(0.0) and silent["ece"] > 0.4


def test_resamples_keep_entities_whole() -> None:
    for rows in resamples(QUESTIONS, seed=1, count=50):
        counts = np.bincount(rows, minlength=8)
        assert (counts[0::2] == counts[1::2]).all() and counts.sum() == 8


def test_changes_are_paired_with_the_first_model() -> None:
    """A model that is 0.2 less sure of the same answers changes accuracy by nothing at all, in every resample."""
    right = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    table = compare({"before": _judged([1.0] * 8, right), "after": _judged([0.8] * 8, right)}, QUESTIONS)
    accuracy = table["after"]["accuracy"]
    assert accuracy["change"] == accuracy["change_low"] == accuracy["change_high"] == 0.0
    assert "change" not in table["before"]["accuracy"]
    assert table["after"]["ece"]["change"] == pytest.approx(-0.2)
    assert table["after"]["ece"]["noise_floor"] > 0.0
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]


def test_questions_without_paragraphs_are_refused() -> None:
    with pytest.raises(TrainingError):
        judge(QUESTIONS, [], _read, {}, RewardRule())
    with pytest.raises(TrainingError):
        judge([], [], _read, {}, RewardRule())


def test_open_questions_are_answered_by_what_the_models_name() -> None:
    """The judge reads every model's answer among the same options, and what no model names is another answer."""
    question = Question("1", "Capital?", ("Bern", "Berne"), "e")
    written = ["The answer is Basel, with 60% confidence.", "I do not know the answer."]
    options = named_options(question, written)
    assert options == ("Bern", "basel", ANOTHER)
    read = extractive_judge()
    assert read(question, written[0], options) == pytest.approx({"Bern": 0.2, "basel": 0.6, ANOTHER: 0.2})
    assert read(question, written[1], options) == {}
    assert read(question, "Bern is the capital, I am almost certain.", options)["Bern"] > 0.9
